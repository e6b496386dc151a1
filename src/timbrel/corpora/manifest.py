"""A manifest: a CSV with a row per recording, paths relative to the file itself.

Columns `path` and `speaker` are needed; `sex`, `language`, `split` and `text` are used where they
are; all others are kept as they stand.
"""

from __future__ import annotations

import csv
from pathlib import Path

from timbrel.corpora import Utterance, check_ids, one_line, with_held_out
from timbrel.errors import CorpusError

NAME = "manifest.csv"
NEEDED = ("path", "speaker")
KNOWN = (*NEEDED, "sex", "language", "split", "text")


def matches(path: Path) -> bool:
    """Whether it is a CSV, or a folder with `manifest.csv` in it."""
    return (path / NAME).is_file() or (path.is_file() and path.suffix.lower() == ".csv")


def read(path: Path) -> list[Utterance]:
    """All rows of a manifest, or of `manifest.csv` in a folder, in the order of the file.

    Without a column `split`, every 20th recording of a speaker is split "dev".

    Raises:
        CorpusError: the file is missing, no CSV, or a row lacks its path or speaker.
    """
    file = path / NAME if path.is_dir() else path
    if not file.is_file():
        raise CorpusError(f"{file}: no such file; expected a CSV with columns {', '.join(KNOWN)}.")
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.DictReader(stream, skipinitialspace=True, strict=True)
            columns = rows.fieldnames or []
            _check_columns(file, columns)
            utterances = [_utterance(file, rows.line_num, row) for row in rows]
    except (csv.Error, UnicodeDecodeError) as error:
        raise CorpusError(f"{file} is not a CSV in UTF-8: {error}.") from error
    if not utterances:
        raise CorpusError(f"{file} has no rows below its heading.")
    check_ids(utterances)
    return utterances if "split" in columns else with_held_out(utterances)


def _check_columns(file: Path, columns: object) -> None:
    found = [str(column) for column in columns] if isinstance(columns, list) else []
    missing = [column for column in NEEDED if column not in found]
    if missing:
        raise CorpusError(
            f"{file}: expected the columns {' and '.join(NEEDED)}, found {', '.join(found) or 'none'}."
        )


def _utterance(file: Path, line: int, row: dict[str | None, str | None]) -> Utterance:
    if None in row or None in row.values():
        raise CorpusError(f"{file}, line {line}: the row does not have as many cells as the heading.")
    cells = {str(column): (value or "").strip() for column, value in row.items()}
    for column in NEEDED:
        if not cells[column]:
            raise CorpusError(f"{file}, line {line}: {column} is empty.")
    # A list that was written on Windows; no clip of ours has a backslash in its name.
    recording = Path(cells["path"].replace("\\", "/"))
    return Utterance(
        id=f"{cells['speaker']}/{recording.stem}",
        speaker=cells["speaker"],
        path=file.parent / recording,
        language=cells.get("language", ""),
        sex=cells.get("sex", "").strip("?"),
        text=one_line(cells.get("text", "")),
        split=cells.get("split") or "train",
        extra={column: value for column, value in cells.items() if column not in KNOWN},
    )
