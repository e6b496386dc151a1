"""Many conversions from a table of pairs: a bad row is reported, the rest go on, a second run continues.

The folder of the results keeps a ledger, one JSON object a line, of what each file is made from.
The line is written before the work and a result appears whole or not at all, so a result that
is there and stands in the ledger with the same source, target, model and seed is finished.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from timbrel.audio.io import check_output, probe
from timbrel.errors import AudioError, ConfigError, OutputError, TimbrelError
from timbrel.voice import Voice

if TYPE_CHECKING:
    from timbrel.pipeline import VoiceConverter

LEDGER = "timbrel-batch.jsonl"


@dataclass(frozen=True, slots=True)
class Row:
    """One pair of the table.

    Fields:
        number: line of the table, whose header is line 1.
        output: where the result goes, inside the folder of the results.
        problem: why this row cannot be converted, if so.
    """

    number: int
    source: Path
    target: Path
    output: Path
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row.

    Fields:
        message: why it failed, if so.
        warnings: what is weak about the target's recording; said once per target.
    """

    row: Row
    state: Literal["made", "skipped", "failed"]
    message: str = ""
    warnings: tuple[str, ...] = ()


def read_pairs(table: Path, folder: Path) -> list[Row]:
    """Rows of a CSV with the columns source, target and, if wanted, output.

    Sources and targets are relative to the table, outputs to `folder`, which they cannot leave.
    Without an output, the result is called SOURCE-as-TARGET.wav.

    Raises:
        ConfigError: the table cannot be read, lacks a column or has no rows.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True, strict=True)
            missing = {"source", "target"} - set(reader.fieldnames or ())
            if missing:
                raise ConfigError(
                    f"{table} lacks the column {' and '.join(sorted(missing))} in its first line."
                )
            cells = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{table} cannot be read as a CSV table: {error}.") from error
    if not cells:
        raise ConfigError(f"{table} has no rows below its header.")
    rows = [_parse(number, row, table.parent, folder) for number, row in cells]
    return list(_refuse_collisions(rows))


def convert_rows(
    rows: Sequence[Row],
    converter: VoiceConverter,
    folder: Path,
    *,
    seed: int = 0,
    force: bool = False,
    progress: Callable[[float, float], None] | None = None,
) -> Iterator[Outcome]:
    """Converts the rows in turn; each target is enrolled once.

    Args:
        force: make again what is there already.
        progress: called with the rows done, in fractions, and their number.
    """
    run = _Run(converter, _Ledger(folder), seed, force)
    for index, row in enumerate(rows):

        def within(done: float, total: float, index: int = index) -> None:
            if progress is not None:
                progress(index + done / max(total, done, 1e-9), len(rows))

        try:
            yield run.convert(row, within)
        except (TimbrelError, OSError) as error:
            yield Outcome(row, "failed", str(error))
        within(1.0, 1.0)


def target_voice(converter: VoiceConverter, targets: Sequence[Path]) -> Voice:
    """The voice of a saved `.voice` file, or of recordings of one person heard together.

    Raises:
        AudioError: a saved voice is given together with something else.
    """
    if not any(target.suffix == ".voice" for target in targets):
        return converter.enrol(*targets)
    if len(targets) > 1:
        raise AudioError(
            "A saved voice cannot be joined with another target: give it alone, "
            "or enrol all recordings of the speaker together."
        )
    return Voice.load(targets[0])


@dataclass(frozen=True, slots=True)
class _Run:
    """What stays the same from row to row, and the voices heard so far."""

    converter: VoiceConverter
    ledger: _Ledger
    seed: int
    force: bool
    voices: dict[Path, Voice | TimbrelError] = field(default_factory=dict)

    def convert(self, row: Row, progress: Callable[[float, float], None]) -> Outcome:
        if row.problem:
            raise ConfigError(row.problem)
        entry: dict[str, str | int] = {
            "source": str(row.source),
            "target": str(row.target),
            "model": self.converter.name,
            "seed": self.seed,
        }
        if row.output.exists() and not self.force:
            if self.ledger.find(row.output) == entry:
                return Outcome(row, "skipped")
            raise OutputError(f"{row.output} exists already and was not made from this row: use --force.")
        first_time = row.target not in self.voices
        voice = self.voice(row.target)
        probe(row.source)
        row.output.parent.mkdir(parents=True, exist_ok=True)
        check_output(row.output, self.force)
        # The ledger must never name this row while an older result stands there.
        row.output.unlink(missing_ok=True)
        self.ledger.append(row.output, entry)
        self.converter.convert_file(row.source, voice, row.output, seed=self.seed, progress=progress)
        return Outcome(row, "made", warnings=voice.warnings if first_time else ())

    def voice(self, target: Path) -> Voice:
        if target not in self.voices:
            try:
                self.voices[target] = target_voice(self.converter, [target])
            except TimbrelError as error:
                self.voices[target] = error
        found = self.voices[target]
        if isinstance(found, TimbrelError):
            raise found
        return found


class _Ledger:
    """What each file in `folder` is made from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / LEDGER
        text = self._path.read_text(encoding="utf-8") if self._path.is_file() else ""
        self._entries = dict(_ledger_entries(text))
        # A kill may have cut the last line short; the next one must not continue it.
        self._separator = "\n" if text and not text.endswith("\n") else ""

    def find(self, output: Path) -> dict[str, str | int] | None:
        """What `output` was last made from, if this folder's ledger knows it."""
        return self._entries.get(self._key(output))

    def append(self, output: Path, entry: dict[str, str | int]) -> None:
        """Records durably what `output` is made from."""
        line = json.dumps({"output": self._key(output), **entry}, ensure_ascii=False)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{self._separator}{line}\n")
            file.flush()
            os.fsync(file.fileno())
        self._separator = ""
        self._entries[self._key(output)] = entry

    def _key(self, output: Path) -> str:
        return output.relative_to(self._folder).as_posix()


def _ledger_entries(text: str) -> Iterator[tuple[str, dict[str, str | int]]]:
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # cut short by a kill, before the work on that row began
        yield entry.pop("output"), entry


def _parse(number: int, cells: dict[str, str | None], base: Path, folder: Path) -> Row:
    source, target, output = ((cells.get(name) or "").strip() for name in ("source", "target", "output"))
    if not source or not target:
        return Row(number, Path(source), Path(target), folder, "source or target is empty.")
    if "\0" in source + target + output:
        return Row(number, Path(), Path(), folder, "a name holds a null character.")
    name = output or f"{Path(source).stem}-as-{Path(target).stem}.wav"
    row = Row(number, (base / source).resolve(), (base / target).resolve(), folder / name)
    if not row.output.resolve().is_relative_to(folder.resolve()) or Path(name).is_absolute():
        return Row(number, row.source, row.target, row.output, f'output "{name}" lies outside {folder}.')
    if row.output.resolve() in (row.source, row.target):
        return Row(number, row.source, row.target, row.output, f'output "{name}" would replace an input.')
    return row


def _refuse_collisions(rows: list[Row]) -> Iterator[Row]:
    first: dict[Path, int] = {}
    for row in rows:
        before = first.setdefault(row.output.resolve(), row.number)
        if row.problem or before == row.number:
            yield row
        else:
            problem = (
                f"{row.output.name} is already the output of row {before}: name another in an output column."
            )
            yield Row(row.number, row.source, row.target, row.output, problem)
