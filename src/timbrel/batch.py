"""Many conversions from a table of pairs: a bad row is reported, the rest go on, a second run continues.

The folder of the results keeps a ledger, one JSON object a line, of what each file is made from and
which file it replaces. The line is written before the work and a result appears whole or not at all,
so a result that is there, is not the replaced file and stands in the ledger with the same source,
target, model, steering and seed is finished. Workers on other machines write results; the ledger is
kept here.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from timbrel import checkpoint, registry
from timbrel.audio.io import check_output, probe
from timbrel.engines import Engine, spread
from timbrel.errors import ConfigError, TimbrelError
from timbrel.files import resolved
from timbrel.ledger import Entry, Ledger
from timbrel.steering import PLAIN, Pitch, Steering, parse_pitch, parse_strength
from timbrel.targets import Target, target_voice
from timbrel.voice import Voice, remembered

if TYPE_CHECKING:
    from timbrel.pipeline import VoiceConverter


@dataclass(frozen=True, slots=True)
class Row:
    """One pair of the table.

    Fields:
        number: line of the table, whose header is line 1.
        output: where the result goes, inside the folder of the results.
        f0, strength: as in `Steering`; None for those of the whole batch.
        problem: why this row cannot be converted, if so.
    """

    number: int
    source: Path
    target: Path
    output: Path
    problem: str = ""
    f0: Pitch | None = None
    strength: float | None = None

    def steering(self, usual: Steering) -> Steering:
        """That of the batch, with what the row says otherwise."""
        return Steering(
            usual.f0 if self.f0 is None else self.f0,
            usual.strength if self.strength is None else self.strength,
        )


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of all rows alike.

    Fields:
        steering: of rows that do not say otherwise.
        denoise: take noise out of the targets' recordings first.
        seed: of every conversion.
    """

    steering: Steering = PLAIN
    denoise: bool = False
    seed: int = 0


AS_USUAL = Order()


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
    """Rows of a CSV with the columns source, target and, if wanted, output, f0 and strength.

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
            for number, row in cells:
                if None in row:
                    raise ConfigError(f"{table}, line {number}: the row has more cells than the header.")
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
    order: Order = AS_USUAL,
    *,
    force: bool = False,
    progress: Callable[[float, float], None] | None = None,
) -> Iterator[Outcome]:
    """Converts the rows in turn; each target is enrolled once.

    Args:
        order: what is asked of rows that do not say otherwise.
        force: make again what is there already.
        progress: called with the rows done, in fractions, and their number.
    """
    plan, bench = _Plan(Ledger(folder), converter.name, order, force), _Bench(converter, order)
    for index, row in enumerate(rows):

        def within(done: float, total: float, index: int = index) -> None:
            if progress is not None:
                progress(index + done / max(total, done, 1e-9), len(rows))

        outcome = plan.settled(row)
        if outcome is None:
            plan.begin(row)
            outcome = bench.convert(row, within)
        yield plan.warn_once(outcome)
        within(1.0, 1.0)


def spread_rows(
    rows: Sequence[Row],
    engine: Engine,
    model: str,
    folder: Path,
    order: Order = AS_USUAL,
    *,
    device: str = "auto",
    force: bool = False,
    progress: Callable[[float, float], None] | None = None,
) -> Iterator[Outcome]:
    """Converts the rows with the workers of `engine`, the longest sources first.

    The files are those of `convert_rows`, as long as workers and this process count with the same
    number of threads on the same kind of device. Each worker loads the model once, and enrols each
    target it meets once. The arguments are those of `convert_rows`.

    Raises:
        CheckpointError: there is no such model.
        EngineError: no worker can be started.
    """
    plan = _Plan(Ledger(folder), checkpoint.read(registry.find(model)).name, order, force)
    settled = [(row, plan.settled(row)) for row in rows]
    waiting = sorted((row for row, outcome in settled if outcome is None), key=_bytes, reverse=True)
    made = spread(engine, partial(_load, model, device, order), map(plan.begin, waiting), _lost)
    for done, outcome in enumerate(chain((outcome for _, outcome in settled if outcome), made), 1):
        yield plan.warn_once(outcome)
        if progress is not None:
            progress(done, len(rows))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done, by the one process that keeps the ledger."""

    ledger: Ledger
    model: str
    order: Order
    force: bool
    warned: set[Path] = field(default_factory=set)

    def settled(self, row: Row) -> Outcome | None:
        """What there is to say of a row without converting it."""
        if row.problem:
            return Outcome(row, "failed", row.problem)
        try:
            if self.force or not row.output.exists():
                return None
        except OSError as error:
            return Outcome(row, "failed", str(error))
        if self.ledger.has_made(row.output, self._entry(row)):
            return Outcome(row, "skipped")
        text = f"{row.output} exists already and was not made from this row: use --force."
        return Outcome(row, "failed", text)

    def begin(self, row: Row) -> Row:
        """Writes down that the result of `row` is about to appear."""
        self.ledger.append(row.output, self._entry(row))
        return row

    def _entry(self, row: Row) -> Entry:
        """What the result of a row is made from."""
        order = self.order
        entry: Entry = {
            "source": str(row.source),
            "target": str(row.target),
            "model": self.model,
            "seed": order.seed,
        }
        # What is as usual goes unsaid, as in ledgers from before there was a choice.
        steered = row.steering(order.steering).describe()
        entry |= {"steering": steered} if steered else {}
        return entry | ({"denoise": 1} if order.denoise else {})

    def warn_once(self, outcome: Outcome) -> Outcome:
        """The outcome without warnings that have been given before."""
        if outcome.row.target in self.warned:
            return replace(outcome, warnings=())
        if outcome.warnings:
            self.warned.add(outcome.row.target)
        return outcome


class _Bench:
    """A model, and the voices that were heard with it lately."""

    def __init__(self, converter: VoiceConverter, order: Order) -> None:
        self.converter, self.order = converter, order
        self.voice = remembered(self._enrol)

    def convert(self, row: Row, progress: Callable[[float, float], None] | None = None) -> Outcome:
        """Makes the result of a row, in place of what stands there."""
        try:
            voice = self.voice(row.target)
            probe(row.source)
            row.output.parent.mkdir(parents=True, exist_ok=True)
            check_output(row.output, force=True)
            steering = row.steering(self.order.steering)
            self.converter.convert_file(
                row.source,
                voice,
                row.output,
                steering=steering,
                seed=self.order.seed,
                force=True,
                progress=progress,
            )
        except (TimbrelError, OSError) as error:
            return Outcome(row, "failed", str(error))
        return Outcome(row, "made", warnings=voice.warnings)

    def _enrol(self, target: Path) -> Voice:
        return target_voice(self.converter, [Target(target)], denoise=self.order.denoise)


def _load(model: str, device: str, order: Order) -> Callable[[Row], Outcome]:
    """What a worker does with a row."""
    from timbrel.pipeline import VoiceConverter

    return _Bench(VoiceConverter.from_pretrained(model, device=device), order).convert


def _lost(row: Row, reason: str) -> Outcome:
    return Outcome(row, "failed", f"{row.source}: {reason}")


def _bytes(row: Row) -> int:
    return row.source.stat().st_size if row.source.is_file() else 0


def _parse(number: int, cells: dict[str, str | None], base: Path, folder: Path) -> Row:
    source, target, output, f0, strength = (
        (cells.get(name) or "").strip() for name in ("source", "target", "output", "f0", "strength")
    )
    if not source or not target:
        return Row(number, Path(source), Path(target), folder, "source or target is empty.")
    if "\0" in source + target + output:
        return Row(number, Path(), Path(), folder, "a name holds a null character.")
    name = output or f"{Path(source).stem}-as-{Path(target).stem}.wav"
    row = Row(number, resolved(base / source), resolved(base / target), folder / name)
    try:
        row = replace(
            row,
            f0=parse_pitch(f0) if f0 else None,
            strength=parse_strength(strength) if strength else None,
        )
    except ConfigError as error:
        return replace(row, problem=str(error))
    if not resolved(row.output).is_relative_to(resolved(folder)) or Path(name).is_absolute():
        return replace(row, problem=f'output "{name}" lies outside {folder}.')
    if resolved(row.output) in (row.source, row.target):
        return replace(row, problem=f'output "{name}" would replace an input.')
    return row


def _refuse_collisions(rows: list[Row]) -> Iterator[Row]:
    first: dict[Path, int] = {}
    inputs = {path for row in rows for path in (row.source, row.target)}
    for row in rows:
        before = first.setdefault(resolved(row.output), row.number)
        if not row.problem and resolved(row.output) in inputs:
            yield replace(row, problem=f'output "{row.output.name}" would replace an input of another row.')
        elif row.problem or before == row.number:
            yield row
        else:
            problem = (
                f"{row.output.name} is already the output of row {before}: name another in an output column."
            )
            yield replace(row, problem=problem)
