"""`timbrel evaluate`: how good are conversions, by how much better than others?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel.cli.engines import AddressOption, EngineName, EngineOption, WorkersOption, open_engine
from timbrel.cli.shared import Device, DeviceOption, ForceOption, progress_line, warn
from timbrel.errors import ConfigError
from timbrel.files import resolved
from timbrel.wording import counted

if TYPE_CHECKING:
    from timbrel.evaluation.run import Evaluation
    from timbrel.evaluation.systems import Wanted

#: Problems shown on the screen; all of them stand in the results.
_SHOWN = 10


PairsOption = Annotated[
    Path,
    typer.Option(
        help="CSV: source,target and, if known, id, text, condition, parallel, references, language, and "
        "source_ and target_ speaker and sex."
    ),
]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for results.json, scores.csv and report.html.")
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", help="Model to convert with, by name or folder, or NAME=MODEL; repeat it."),
]
ConvertedOption = Annotated[
    list[Path] | None,
    typer.Option(help="Folder of what another system made: ID.wav, or 0000.wav by row; repeat it."),
]
SystemOption = Annotated[
    list[str] | None,
    typer.Option(help="Names of the --converted folders, in their order; by default the folders' own."),
]
MetricOption = Annotated[
    list[str] | None, typer.Option(help="Only this metric; repeat it. By default all that can be had.")
]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Take the first rows only.")]
RootOption = Annotated[
    Path | None, typer.Option(help="What the paths of the list are relative to; by default its folder.")
]
ControlsOption = Annotated[
    bool, typer.Option("--controls/--no-controls", help="Score the sources and their copy synthesis too.")
]
VocoderOption = Annotated[
    str | None, typer.Option(help="Vocoder of mels for the copy synthesis; by default Griffin-Lim.")
]
VerifierOption = Annotated[
    str | None,
    typer.Option(help="Speaker encoder for the spoofing rate; by default resemblyzer if imported."),
]
SeedOption = Annotated[int, typer.Option(help="Of the conversions.")]
AudioMbOption = Annotated[
    float, typer.Option("--audio-mb", min=0, help="Megabytes of audio and spectrograms in the report.")
]
AudioFilesOption = Annotated[
    bool, typer.Option("--audio-files", help="Put them beside the report instead of into it.")
]
DownloadOption = Annotated[bool, typer.Option("--download", help="Let metrics fetch what they lack.")]


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(evaluate)


def evaluate(
    pairs: PairsOption,
    output: OutputOption,
    model: ModelOption = None,
    converted: ConvertedOption = None,
    system: SystemOption = None,
    metric: MetricOption = None,
    limit: LimitOption = None,
    root: RootOption = None,
    controls: ControlsOption = True,
    vocoder: VocoderOption = None,
    verifier: VerifierOption = None,
    device: DeviceOption = Device.AUTO,
    seed: SeedOption = 0,
    audio_mb: AudioMbOption = 20.0,
    audio_files: AudioFilesOption = False,
    download: DownloadOption = False,
    workers: WorkersOption = None,
    engine: EngineOption = EngineName.LOCAL,
    address: AddressOption = None,
    force: ForceOption = False,
) -> None:
    """Convert a list of pairs and score what comes out, of several systems side by side.

    A second run does only what is missing. Scores are kept by the content of the files.
    """
    from timbrel.evaluation.run import Request
    from timbrel.evaluation.run import evaluate as run

    request = Request(
        table=pairs,
        systems=tuple(_systems(model or [], converted or [], system or [])),
        out=output,
        root=root,
        limit=limit,
        metrics=tuple(metric or ()),
        controls=controls,
        vocoder=vocoder,
        verifier=verifier,
        device=device.value,
        seed=seed,
        audio_mb=audio_mb,
        audio_files=audio_files,
        download=download,
        force=force,
    )
    gpus = 1.0 if device is Device.CUDA else 0.0
    with open_engine(engine, address, workers, gpus=gpus) as crew:
        found = run(request, crew, progress_line)
    warn(f"left out the metric {name}: {why}" for name, why in found.missing.items())
    warn(found.problems[:_SHOWN])
    if len(found.problems) > _SHOWN:
        warn([f"And {len(found.problems) - _SHOWN} more, named in {output / 'results.json'}."])
    typer.echo("\n".join(_lines(found, output)))
    if any(one.problems for one in found.systems):
        raise typer.Exit(1)


def _systems(models: Sequence[str], folders: Sequence[Path], names: Sequence[str]) -> Iterator[Wanted]:
    from timbrel.evaluation.systems import Wanted, name_models

    if not models and not folders:
        raise ConfigError("Give --model to convert with, or --converted with what another system made.")
    if names and len(names) != len(folders):
        raise ConfigError(
            "--system names the --converted folders in their order, but here are "
            f"{counted(len(folders), 'folder')} and {counted(len(names), 'name')}."
        )
    yield from name_models(models)
    for place, folder in enumerate(folders):
        yield Wanted(names[place] if names else resolved(folder).name, folder=folder)


def _lines(found: Evaluation, output: Path) -> Iterator[str]:
    """The first figures of each system; all of them are in the report."""
    from timbrel.evaluation.summary import ALL

    own = found.summary.figures[ALL]
    shown = [column for column in found.scores.columns if column.better != "neither"]
    width = max([len(f"{column.title} {column.unit}") for column in shown], default=0)
    yield f"{counted(len(found.pairs), 'pair')}, {counted(found.new_conversions, 'file')} made now"
    yield f"  {'':<{width}}" + "".join(f"{name[:15]:>16}" for name in own)
    for column in shown:
        cells = "".join(f"{row[column.name].value:>16.3f}" for row in own.values())
        yield f"  {f'{column.title} {column.unit}':<{width}}{cells}"
    for system in found.systems:
        if system.speed:
            speed = system.speed
            yield (
                f"  {system.name}: real-time factor {speed.real_time_factor:.3f}, "
                f"{speed.peak_memory_mib:,.0f} MiB at most"
            )
    yield f"{output / 'report.html'}"
