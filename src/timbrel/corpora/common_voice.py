"""Mozilla Common Voice: sentences read by volunteers, a folder per language.

    en/clips/common_voice_en_1.mp3
    en/validated.tsv, train.tsv, dev.tsv, test.tsv     client_id  path  sentence  age  gender  accents  ...

`validated.tsv` holds every clip that listeners found right; train, dev and test hold some of them,
by speaker. A speaker is a `client_id`, of which the first 16 of 128 digits are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from timbrel.corpora import Utterance, check_ids, one_line, with_held_out, wrong_layout
from timbrel.errors import CorpusError

EXPECTED = (
    "Common Voice, that is the folder clips beside validated.tsv or train.tsv, dev.tsv and test.tsv, "
    "or several such folders, one a language"
)
LICENCE = "CC0-1.0"
SPLITS = ("train", "dev", "test")
NEEDED = ("client_id", "path", "sentence")
_ALL = "validated"
_NAME_DIGITS = 16


def matches(root: Path) -> bool:
    """Whether the folder looks like Common Voice, of one language or several."""
    return bool(_languages(root))


def read(root: Path) -> list[Utterance]:
    """All validated clips, else those of train, dev and test, in the order of the tables.

    A clip that none of these three tables names goes where its speaker's others are, else into
    "train". Without dev.tsv, every 20th clip of a speaker is split "dev".

    Raises:
        CorpusError: the folder is not laid out as Common Voice is, or a table lacks a column.
    """
    languages = _languages(root)
    if not languages:
        raise wrong_layout(root, EXPECTED)
    utterances = [one for folder in languages for one in _language(folder)]
    if not utterances:
        raise CorpusError(f"{root}: the tables of its clips have no rows below their headings.")
    check_ids(utterances)
    return utterances if any(one.split == "dev" for one in utterances) else with_held_out(utterances)


def _languages(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    children = sorted(path for path in root.iterdir() if path.is_dir())
    return [path for path in (root, *children) if (path / "clips").is_dir() and _tables(path)]


def _tables(folder: Path) -> dict[str, Path]:
    paths = {name: folder / f"{name}.tsv" for name in (_ALL, *SPLITS)}
    return {name: path for name, path in paths.items() if path.is_file()}


def _language(folder: Path) -> list[Utterance]:
    rows = {name: list(_rows(path)) for name, path in _tables(folder).items()}
    split_of_clip = {row["path"]: name for name in SPLITS for row in rows.get(name, [])}
    split_of_speaker = {row["client_id"]: name for name in SPLITS for row in rows.get(name, [])}
    wanted = rows.get(_ALL) or [row for name in SPLITS for row in rows.get(name, [])]
    return [
        _utterance(
            folder,
            row,
            split_of_clip.get(row["path"]) or split_of_speaker.get(row["client_id"], "train"),
        )
        for row in wanted
    ]


def _rows(table: Path) -> Iterator[dict[str, str]]:
    """The rows of a table by the names of the columns; nothing in it is quoted.

    Raises:
        CorpusError: a column that is needed is missing, or a row has more cells than the heading.
    """
    heading, *lines = table.read_text(encoding="utf-8-sig", errors="replace").rstrip("\n").split("\n")
    columns = heading.rstrip("\r").split("\t")
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        found = ", ".join(filter(None, columns)) or "none"
        raise CorpusError(f"{table}: expected the columns {', '.join(NEEDED)}, found {found}.")
    for number, line in enumerate(lines, 2):
        cells = [cell.strip() for cell in line.split("\t")]
        row = dict(zip(columns, cells, strict=False))
        if len(cells) > len(columns) or not all(row.get(name) for name in ("client_id", "path")):
            raise CorpusError(f"{table}, line {number}: the row does not fit the heading.")
        yield row


def _utterance(folder: Path, row: dict[str, str], split: str) -> Utterance:
    path = folder / "clips" / row["path"]
    if not path.suffix:  # as in the first releases
        path = path.with_suffix(".mp3")
    speaker = row["client_id"][:_NAME_DIGITS]
    facts = {"age": row.get("age"), "accent": row.get("accents") or row.get("accent"), "licence": LICENCE}
    return Utterance(
        id=f"{speaker}/{path.stem}",
        speaker=speaker,
        path=path,
        language=row.get("locale", ""),
        sex=_sex(row.get("gender", "")),
        text=one_line(row.get("sentence", "")),
        split=split,
        extra={name: fact for name, fact in facts.items() if fact},
    )


def _sex(gender: str) -> str:
    """female, female_feminine -> F; male, male_masculine -> M; what else people say of themselves -> ""."""
    return {"female": "F", "male": "M"}.get(gender.partition("_")[0], "")
