"""LibriSpeech: read books, a folder per subset, speaker and chapter.

    SPEAKERS.TXT                                       ;ID  |SEX| SUBSET           |MINUTES| NAME
    train-clean-100/19/198/19-198-0000.flac
    train-clean-100/19/198/19-198.trans.txt            19-198-0000 THE TEXT IN CAPITALS

No speaker is in two of train, dev and test, so "dev" are unseen speakers. A subset alone will do.
"""

from __future__ import annotations

from pathlib import Path

from timbrel.corpora import Utterance, check_ids, one_line, with_held_out, wrong_layout

EXPECTED = (
    "LibriSpeech, that is folders such as train-clean-100/19/198 with 19-198-0000.flac and 19-198.trans.txt "
    "in them, beside SPEAKERS.TXT"
)
LICENCE = "CC-BY-4.0"


def matches(root: Path) -> bool:
    """Whether the folder looks like LibriSpeech or one subset of it."""
    return any(next(root.glob(f"{depth}.trans.txt"), None) for depth in ("*/*/*/*", "*/*/*"))


def read(root: Path) -> list[Utterance]:
    """All recordings and all lines of the transcripts, sorted by id.

    A line without a recording is a row with a `problem`. Without a dev subset, every 20th clip of a
    speaker is split "dev".

    Raises:
        CorpusError: the folder is not laid out as LibriSpeech is.
    """
    subsets = find_subsets(root, ".flac")
    if not subsets or not matches(root):
        raise wrong_layout(root, EXPECTED)
    people = read_speakers(root, subsets)
    chapters = [(subset, chapter) for subset in subsets for chapter in sorted(subset.glob("*/*"))]
    utterances = [one for subset, chapter in chapters for one in _chapter(subset, chapter, people)]
    utterances.sort(key=lambda one: one.id)
    check_ids(utterances)
    return utterances if any(one.split == "dev" for one in utterances) else with_held_out(utterances)


def find_subsets(root: Path, suffix: str) -> list[Path]:
    """The folders in `root`, or `root` itself, with SPEAKER/CHAPTER/clip recordings in them."""
    if not root.is_dir():
        return []
    children = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = [path for path in children if next(path.glob(f"*/*/*{suffix}"), None)]
    return found or [root] * (next(root.glob(f"*/*/*{suffix}"), None) is not None)


def split_of(subset: str) -> str:
    """train-clean-100 -> train; dev-other -> dev; any other name -> train."""
    first = subset.partition("-")[0]
    return first if first in ("dev", "test") else "train"


def read_speakers(root: Path, subsets: list[Path]) -> dict[str, str]:
    """F or M by the number of the speaker, from the table beside the subsets; {} if there is none."""
    folder = root.parent if subsets == [root] else root
    for name in ("SPEAKERS.TXT", "SPEAKERS.txt"):
        if (folder / name).is_file():
            return _sexes(folder / name, "|")
    table = folder / "speakers.tsv"
    return _sexes(table, "\t") if table.is_file() else {}


def _sexes(table: Path, separator: str) -> dict[str, str]:
    lines = table.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    rows = [[cell.strip() for cell in line.split(separator)] for line in lines if not line.startswith(";")]
    return {row[0]: row[1] for row in rows if len(row) > 1 and row[1] in ("F", "M")}


def _chapter(subset: Path, chapter: Path, people: dict[str, str]) -> list[Utterance]:
    speaker = chapter.parent.name
    texts = _transcripts(chapter)
    names = sorted(texts.keys() | {path.stem for path in chapter.glob("[!.]*.flac")})
    return [
        Utterance(
            id=f"{speaker}/{name}",
            speaker=speaker,
            path=chapter / f"{name}.flac",
            language="en",
            sex=people.get(speaker, ""),
            text=texts.get(name, ""),
            split=split_of(subset.name),
            extra={"subset": subset.name, "chapter": chapter.name, "licence": LICENCE},
            problem=""
            if (chapter / f"{name}.flac").is_file()
            else "the transcripts name it, but it is not there.",
        )
        for name in names
    ]


def _transcripts(chapter: Path) -> dict[str, str]:
    lines = [
        line.partition(" ")
        for table in sorted(chapter.glob("[!.]*.trans.txt"))
        for line in table.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    ]
    return {name: one_line(text) for name, _, text in lines if name}
