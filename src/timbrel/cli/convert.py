"""`timbrel convert`: the words of one recording in the voice of another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel.cli.engines import AddressOption, EngineName, EngineOption, WorkersOption, open_engine
from timbrel.cli.shared import (
    DenoiseOption,
    Device,
    DeviceOption,
    ForceOption,
    ModelOption,
    Progress,
    load_converter,
    progress_line,
    report_lines,
    warn,
)
from timbrel.errors import ConfigError, OutputError
from timbrel.files import make_folder, resolved
from timbrel.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from timbrel.batch import Order, Outcome, Row
    from timbrel.engines import Engine
    from timbrel.steering import Steering
    from timbrel.targets import Target


@dataclass(frozen=True, slots=True)
class _Settings:
    model: str
    device: Device
    steering: Steering
    denoise: bool
    seed: int
    force: bool
    report: bool

    def order(self) -> Order:
        """What a batch is asked for."""
        from timbrel.batch import Order

        return Order(self.steering, self.denoise, self.seed)


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(convert)


def convert(
    source: Annotated[Path | None, typer.Argument(help="Recording whose words are kept.")] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            metavar="FILE[:WEIGHT]",
            help="Recording of the wanted voice, or a .voice file. Repeated, several recordings of one "
            "voice; with weights (a.wav:0.7), a blend of several voices.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File to write (.wav .flac .mp3 .ogg .opus), or folder of a batch."
        ),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = Device.AUTO,
    f0: Annotated[
        str,
        typer.Option(
            "--f0",
            metavar="keep|target|SEMITONES",
            help="Pitch: the source's own, with the target's mean and range, or the source's shifted.",
        ),
    ] = "target",
    strength: Annotated[
        float,
        typer.Option(
            help="From the source's own voice (0) to the target's (1) and, less natural, beyond (1.25)."
        ),
    ] = 1.0,
    denoise: DenoiseOption = False,
    seed: Annotated[int, typer.Option(help="Same input, model and seed: same samples.")] = 0,
    force: ForceOption = False,
    report: Annotated[bool, typer.Option("--report", help="Print similarity, level and speed.")] = False,
    batch: Annotated[
        Path | None,
        typer.Option(help="CSV with columns source, target and, if wanted, output, f0, strength."),
    ] = None,
    workers: WorkersOption = None,
    engine: EngineOption = EngineName.LOCAL,
    address: AddressOption = None,
) -> None:
    """Say SOURCE in the voice of --target."""
    from timbrel.steering import Steering, parse_pitch

    steering = Steering(parse_pitch(f0), strength)
    settings = _Settings(model, device, steering, denoise, seed, force, report)
    if batch is not None:
        if source is not None or target or output is None:
            raise ConfigError("--batch takes sources and targets from its table and needs a folder: -o DIR.")
        if report:
            raise ConfigError(
                "--report is of one conversion: compare those of a table with timbrel evaluate."
            )
        gpus = 1.0 if device is Device.CUDA else 0.0
        with open_engine(engine, address, workers, gpus=gpus) as crew:
            _convert_batch(batch, output, settings, crew)
    elif workers is not None or address is not None or engine is not EngineName.LOCAL:
        raise ConfigError(
            "--workers, --engine and --address are for many conversions: give a table with --batch."
        )
    elif source is None or not target:
        raise ConfigError("Give a SOURCE and at least one --target, or a table with --batch.")
    else:
        from timbrel.targets import parse_targets

        targets = parse_targets(target)
        _convert_one(source, targets, _output_path(source, targets, output), settings)


def _output_path(source: Path, targets: Sequence[Target], output: Path | None) -> Path:
    blended = targets if targets[0].weight is not None else targets[:1]
    name = f"{source.stem}-as-{'+'.join(target.path.stem for target in blended)}.wav"
    if output is None:
        return Path(name)
    return output / name if output.is_dir() else output


def _convert_one(source: Path, targets: Sequence[Target], output: Path, settings: _Settings) -> None:
    from timbrel.audio.io import check_output, probe
    from timbrel.targets import target_voice

    # What can be refused is refused before the model is loaded.
    if resolved(output) in {resolved(path) for path in (source, *(target.path for target in targets))}:
        raise OutputError(f"{output} is also an input: choose another name.")
    check_output(output, settings.force)
    probe(source)
    converter = load_converter(settings.model, settings.device)
    voice = target_voice(converter, targets, denoise=settings.denoise)
    warn(voice.warnings)
    with progress_line(source.name) as progress:
        summary = converter.convert_file(
            source,
            voice,
            output,
            steering=settings.steering,
            seed=settings.seed,
            force=settings.force,
            progress=progress,
        )
    typer.echo(f"{output}: {summary.seconds:.2f} s, converted in {summary.elapsed:.2f} s")
    if settings.report:
        typer.echo("\n".join(report_lines(converter.report(output, source, voice, summary))))


def _convert_batch(table: Path, folder: Path, settings: _Settings, engine: Engine | None) -> None:
    from timbrel.batch import read_pairs

    rows = read_pairs(table, folder)
    make_folder(folder)
    counts = {"made": 0, "skipped": 0, "failed": 0}
    with progress_line(table.name) as progress:
        for outcome in _outcomes(rows, folder, settings, engine, progress):
            counts[outcome.state] += 1
            warn(f"row {outcome.row.number}: {warning}" for warning in outcome.warnings)
            if outcome.state == "failed":
                typer.echo(f"timbrel: row {outcome.row.number}: {outcome.message}", err=True)
            elif outcome.state == "made":
                typer.echo(f"{outcome.row.output}")
    typer.echo(f"{counts['made']} converted, {counts['skipped']} done before, {counts['failed']} failed")
    if counts["failed"]:
        raise typer.Exit(1)


def _outcomes(
    rows: list[Row], folder: Path, settings: _Settings, engine: Engine | None, progress: Progress
) -> Iterator[Outcome]:
    from timbrel.batch import convert_rows, spread_rows

    order = settings.order()
    if engine is None:
        converter = load_converter(settings.model, settings.device)
        return convert_rows(rows, converter, folder, order, force=settings.force, progress=progress)
    return spread_rows(
        rows,
        engine,
        settings.model,
        folder,
        order,
        device=settings.device.value,
        force=settings.force,
        progress=progress,
    )
