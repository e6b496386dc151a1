"""The list of pairs that every system converts, and the files that another system made of it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from timbrel.corpora import AUDIO_SUFFIXES, is_file_name, one_line, recordings_below
from timbrel.errors import EvaluationError
from timbrel.evaluation.case import Case
from timbrel.files import resolved

NEEDED = ("source", "target")
#: Columns of paths, those of speakers, and all that are read; others are left alone.
PATHS = (*NEEDED, "parallel")
OPTIONAL = (
    "id",
    "text",
    "parallel",
    "references",
    "source_speaker",
    "target_speaker",
    "source_sex",
    "target_sex",
    "language",
    "condition",
)
_LONGEST_ID = 120
#: Between the further recordings of a target in one cell.
SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class Pair:
    """One row of the list.

    Fields:
        place: of the row, from 0.
        id: what the converted files are called; without a column, the place in four digits.
        references: further recordings of the target that a model is given; in the list, files or folders.
        source_sex, target_sex: "F", "M" or "".
        condition: such as "seen-to-unseen"; "" if there is one condition only.
    """

    place: int
    id: str
    source: Path
    target: Path
    text: str | None
    parallel: Path | None
    references: tuple[Path, ...]
    source_speaker: str
    target_speaker: str
    source_sex: str
    target_sex: str
    language: str | None
    condition: str

    @property
    def direction(self) -> str:
        """ "F to M", or "" where a sex is not known."""
        return f"{self.source_sex} to {self.target_sex}" if self.source_sex and self.target_sex else ""

    def case(self, converted: Path) -> Case:
        """What a system made of this pair."""
        return Case(
            source=self.source,
            target=self.target,
            converted=converted,
            text=self.text,
            parallel=self.parallel,
            language=self.language,
        )


def read_pairs(table: Path, root: Path | None = None, limit: int | None = None) -> list[Pair]:
    """The rows of a CSV with the columns source and target, and any of `OPTIONAL`.

    Without columns for them, a recording's speaker is the name of the folder it lies in; where all lie in
    one folder, every recording is a speaker of its own.

    Args:
        root: folder that paths are relative to; by default that of the table.
        limit: take the first rows only.

    Raises:
        EvaluationError: the table cannot be read, a row is malformed or there twice, or files are missing,
            all of which are named.
    """
    rows = _rows(table)[:limit]
    root = root or table.parent
    folders = {(root / row[name]).parent for _, row in rows for name in NEEDED}
    references = {cell: _references(cell, root) for cell in {row.get("references", "") for _, row in rows}}
    pairs = [
        _pair(table, line, place, row, root, len(folders) > 1, references)
        for place, (line, row) in enumerate(rows)
    ]
    _refuse_doubles(table, pairs)
    require_files(f"{table} names", _named(pairs))
    return pairs


def find_converted(folder: Path, pairs: Sequence[Pair]) -> dict[str, Path]:
    """What another system made of every pair, by the pairs' ids.

    Files are called by the id, by the place of the row in four digits, or SOURCE-as-TARGET as `timbrel
    convert --batch` calls them; all of them in the same way, with any suffix of audio.

    Raises:
        EvaluationError: there is no such folder, or files are missing, all of which are named.
    """
    if not folder.is_dir():
        raise EvaluationError(f"{folder} is no folder: give the one with the converted files in it.")
    there: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: (path.suffix.lower() != ".wav", path.name)):
        if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file():
            there.setdefault(path.stem, path)
    best = max(_schemes(pairs), key=lambda names: sum(name in there for name in names))
    missing = [name for name in best if name not in there]
    if missing:
        raise EvaluationError(
            f"{folder} lacks {len(missing)} of {len(pairs)} converted files: "
            f"{', '.join(f'{name}.wav' for name in missing)}."
        )
    return {pair.id: there[name] for pair, name in zip(pairs, best, strict=True)}


def require_files(what: str, paths: Iterable[Path]) -> None:
    """Raises EvaluationError, which begins with `what` and names every file that is not there."""
    named = list(dict.fromkeys(paths))
    missing = [str(path) for path in named if not path.is_file()]
    if missing:
        raise EvaluationError(
            f"{what} {len(missing)} of {len(named)} files that are not there: {', '.join(missing)}."
        )


def recordings_at(path: Path) -> list[Path]:
    """A recording, or all recordings that lie in a folder or below it, sorted."""
    return recordings_below(path) if path.is_dir() else [path]


def _rows(table: Path) -> Sequence[tuple[int, Mapping[str, str]]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True, strict=True)
            columns = list(reader.fieldnames or ())
            if not set(NEEDED) <= set(columns):
                found = ", ".join(columns) or "nothing"
                raise EvaluationError(f"{table}: expected the columns source and target, found {found[:80]}.")
            if len(set(columns)) < len(columns):
                raise EvaluationError(f"{table} has two columns of one name in {', '.join(columns)[:80]}.")
            rows = [(reader.line_num, _cells(table, reader.line_num, row)) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{table} cannot be read as a CSV table: {error}.") from error
    if not rows:
        raise EvaluationError(f"{table} has no rows below its header.")
    return rows


def _cells(table: Path, line: int, row: dict[str | None, str | None]) -> dict[str, str]:
    if None in row or None in row.values():
        raise EvaluationError(f"{table}, line {line}: the row does not have as many cells as the header.")
    cells = {str(name): (cell or "").strip() for name, cell in row.items()}
    empty = [name for name in NEEDED if not cells[name]]
    if empty or "\0" in "".join(cells.values()):
        wrong = f"{' and '.join(empty)} is empty" if empty else "a cell holds a null character"
        raise EvaluationError(f"{table}, line {line}: {wrong}.")
    return cells


def _references(cell: str, root: Path) -> tuple[Path, ...]:
    named = [root / part.strip() for part in cell.split(SEPARATOR) if part.strip()]
    return tuple(path for one in named for path in recordings_at(one))


def _pair(
    table: Path,
    line: int,
    place: int,
    row: Mapping[str, str],
    root: Path,
    folders: bool,
    references: Mapping[str, tuple[Path, ...]],
) -> Pair:
    name = row.get("id") or f"{place:04d}"
    if not is_file_name(name) or len(name.encode()) > _LONGEST_ID:
        raise EvaluationError(
            f"{table}, line {line}: the id {name[:40]!r} cannot be the name of a file: "
            f"use letters and digits, at most {_LONGEST_ID}."
        )
    source, target = (root / row[column] for column in NEEDED)
    return Pair(
        place=place,
        id=name,
        source=source,
        target=target,
        text=one_line(row.get("text", "")) or None,
        parallel=root / row["parallel"] if row.get("parallel") else None,
        references=references[row.get("references", "")],
        source_speaker=row.get("source_speaker") or _speaker(source, folders),
        target_speaker=row.get("target_speaker") or _speaker(target, folders),
        source_sex=_sex(row.get("source_sex", "")),
        target_sex=_sex(row.get("target_sex", "")),
        language=row.get("language") or None,
        condition=row.get("condition", ""),
    )


def _speaker(path: Path, folders: bool) -> str:
    return path.parent.name if folders else path.stem


def _sex(text: str) -> str:
    first = text[:1].upper()
    return first if first in ("F", "M") else ""


def _refuse_doubles(table: Path, pairs: Sequence[Pair]) -> None:
    ids: dict[str, int] = {}
    made: dict[tuple[object, ...], int] = {}
    for pair in pairs:
        # On some systems "A.wav" and "a.wav" are one file.
        before = ids.setdefault(pair.id.casefold(), pair.place)
        if before != pair.place:
            raise EvaluationError(f"{table}: rows {before + 1} and {pair.place + 1} have one id, {pair.id}.")
        key = (resolved(pair.source), resolved(pair.target), pair.references)
        before = made.setdefault(key, pair.place)
        if before != pair.place:
            raise EvaluationError(
                f"{table}: rows {before + 1} and {pair.place + 1} are the same pair, which would count "
                "twice: remove one."
            )


def _named(pairs: Sequence[Pair]) -> Iterator[Path]:
    for pair in pairs:
        yield from (pair.source, pair.target, *pair.references)
        if pair.parallel is not None:
            yield pair.parallel


def _schemes(pairs: Sequence[Pair]) -> list[list[str]]:
    """The ways in which the files of all pairs may be called."""
    by_recordings = [f"{pair.source.stem}-as-{pair.target.stem}" for pair in pairs]
    schemes = [[pair.id for pair in pairs], [f"{pair.place:04d}" for pair in pairs]]
    return [*schemes, by_recordings] if len(set(by_recordings)) == len(pairs) else schemes
