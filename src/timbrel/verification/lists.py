"""Trial lists as files: VoxCeleb's "1 a.wav b.wav", Kaldi's "a.wav b.wav target", or a CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from timbrel.errors import CorpusError
from timbrel.verification.trials import Block, Trials

_LABELS = {"1": True, "0": False, "target": True, "nontarget": False, "same": True, "different": False}
_COLUMNS = ("label", "first", "second")
#: Columns of a list of conversions.
_CONVERSION = ("source", "target", "converted")


@dataclass(frozen=True, slots=True)
class Conversion:
    """A converted recording, whose words it says and in whose voice."""

    source: Path
    target: Path
    converted: Path


def read_trials(file: Path, root: Path | None = None, *, skip_missing: bool = False) -> Trials:
    """The trials of a list.

    A speaker is named by the first folder of a path, as in VoxCeleb. Where the labels say otherwise, or
    there are no folders, speakers are what the pairs labelled the same tie together.

    Args:
        root: folder that paths are relative to; by default that of the list.
        skip_missing: leave out trials of files that are not there, instead of refusing the list.

    Raises:
        CorpusError: the list cannot be read, a line is malformed, the labels contradict each other, or
            files are missing, all of which are named.
    """
    rows = list(_csv_rows(file) if file.suffix.lower() == ".csv" else _text_rows(file))
    if not rows:
        raise CorpusError(f"{file} has no trials.")
    root = root or file.parent
    missing = _missing(file, root, _names(rows), skip_missing)
    kept = [row for row in rows if not missing.intersection(row[1:])]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(_names(kept)))}
    listed = Block(
        np.array([numbers[row[1]] for row in kept], dtype=np.int32),
        np.array([numbers[row[2]] for row in kept], dtype=np.int32),
        np.array([row[0] for row in kept], dtype=bool),
    )
    speakers, names, notes = _speakers(file, list(numbers), listed)
    return Trials(
        paths=tuple(root / name for name in numbers),
        speakers=speakers,
        names=names,
        listed=listed,
        missing=tuple(sorted(missing)),
        left_out=len(rows) - len(kept),
        notes=notes,
    )


def read_conversions(
    file: Path, root: Path | None = None, *, skip_missing: bool = False
) -> tuple[list[Conversion], tuple[str, ...]]:
    """Rows of a CSV with the columns source, target and converted, and the files that are missing.

    Raises:
        CorpusError: as `read_trials`.
    """
    rows = [[row[name] for name in _CONVERSION] for _, row in _table(file, _CONVERSION)]
    if not rows:
        raise CorpusError(f"{file} has no rows below its heading.")
    root = root or file.parent
    missing = _missing(file, root, (name for row in rows for name in row), skip_missing)
    found = [Conversion(*(root / name for name in row)) for row in rows if not missing.intersection(row)]
    return found, tuple(sorted(missing))


def _text_rows(file: Path) -> Iterator[tuple[bool, str, str]]:
    for number, line in enumerate(_text(file).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) == 3 and words[0] in _LABELS:
            yield _LABELS[words[0]], words[1], words[2]
        elif len(words) == 3 and words[2] in _LABELS:
            yield _LABELS[words[2]], words[0], words[1]
        else:
            raise CorpusError(
                f'{file}, line {number}: expected "1 first.wav second.wav" (0 for different speakers), '
                f"found {line.strip()[:80]!r}; names with spaces need a CSV."
            )


def _csv_rows(file: Path) -> Iterator[tuple[bool, str, str]]:
    for number, row in _table(file, _COLUMNS):
        label = _LABELS.get(row["label"].strip().lower())
        if label is None:
            raise CorpusError(f"{file}, line {number}: the label must be 1 or 0, not {row['label'][:40]!r}.")
        yield label, row["first"], row["second"]


def _table(file: Path, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Line numbers and rows of a CSV that has these columns, none of them empty."""
    reader = csv.DictReader(_text(file).splitlines(), skipinitialspace=True, strict=True)
    try:
        if not set(columns) <= set(reader.fieldnames or ()):
            found = ", ".join(reader.fieldnames or ()) or "nothing"
            raise CorpusError(f"{file}: expected a heading {','.join(columns)}, found {found[:80]}.")
        for row in reader:
            if None in row:
                raise CorpusError(f"{file}, line {reader.line_num}: the row has more cells than the heading.")
            if not all(row[name] for name in columns):
                raise CorpusError(f"{file}, line {reader.line_num}: {', '.join(columns)} must all be given.")
            yield reader.line_num, row
    except csv.Error as error:
        raise CorpusError(f"{file}, line {reader.line_num}: {error}.") from error


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{file} cannot be read as a list: {error}.") from error


def _names(rows: Sequence[tuple[bool, str, str]]) -> Iterator[str]:
    for row in rows:
        yield from row[1:]


def _missing(file: Path, root: Path, named: Iterable[str], skip: bool) -> set[str]:
    names = set(named)
    missing = {name for name in names if not (root / name).is_file()}
    if missing and (not skip or missing == names):
        raise CorpusError(
            f"{file} names {len(missing)} of {len(names)} files that are not there (looked for in {root}): "
            f"{', '.join(sorted(missing))}; mend the list, give --root, or add --skip-missing."
        )
    return missing


def _speakers(
    file: Path, names: list[str], listed: Block
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Numbers of the speakers of the recordings, their names, and how they were found."""
    folders = [parts[0] if len(parts := PurePath(name).parts) > 1 else "" for name in names]
    unique, numbers = np.unique(folders, return_inverse=True)
    if all(folders) and np.array_equal(numbers[listed.first] == numbers[listed.second], listed.same):
        return numbers.astype(np.int32), tuple(map(str, unique)), ()
    joined = _tied_together(len(names), listed)
    apart = joined[listed.first] == joined[listed.second]
    if (wrong := np.flatnonzero(apart & ~listed.same)).size:
        one, two = names[listed.first[wrong[0]]], names[listed.second[wrong[0]]]
        raise CorpusError(
            f"{file} contradicts itself: {one} and {two} are labelled as two speakers, and other trials "
            "make them one; mend the labels."
        )
    first_of = {int(number): name for name, number in zip(reversed(names), joined[::-1], strict=True)}
    note = (
        "The folders of the list do not tell who speaks, so speakers are what the pairs labelled the same "
        "tie together, each named by its first recording."
    )
    return joined, tuple(first_of[number] for number in range(len(first_of))), (note,)


def _tied_together(count: int, listed: Block) -> np.ndarray:
    """Numbers (count,) of the groups that pairs of one speaker make."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = listed.first[listed.same], listed.second[listed.same]
    ties = coo_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(count, count))
    groups: np.ndarray = connected_components(ties, directed=False)[1]
    return groups.astype(np.int32)
