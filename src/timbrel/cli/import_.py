"""`timbrel import`: a checkpoint that others published, made ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel.cli.shared import ForceOption
from timbrel.errors import ConfigError
from timbrel.interop import FAMILIES

if TYPE_CHECKING:
    from timbrel.interop.importing import Report

#: What `timbrel compose` has families of the registry as, where that is no vocoder.
_ROLES = {
    "autovc": "--converter",
    "convgru-embedder": "--speaker-encoder",
    "d-vector": "--speaker-encoder",
    "gru-embedder": "--speaker-encoder",
    "vqvc": "--converter",
    "wavlm": "--content",
}


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command("import")(import_)


def import_(
    first: Annotated[
        str,
        typer.Argument(
            metavar="FAMILY",
            help=f"What was published: {', '.join(FAMILIES)}; or auto. May be left out.",
        ),
    ],
    second: Annotated[
        str | None, typer.Argument(metavar="FILE", help="The file, or a folder as Hugging Face has it.")
    ] = None,
    family: Annotated[str | None, typer.Option(help="The family, instead of the first word.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Write here instead of among the installed models."
        ),
    ] = None,
    freq: Annotated[int | None, typer.Option(help="Of AutoVC: mel frames in a code; by default 32.")] = None,
    mel: Annotated[
        str | None, typer.Option(help="The mel it hears or makes, such as autovc-16k or hifigan-22k.")
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Of WavLM: the layer whose output is used.")] = None,
    sample_rate: Annotated[int | None, typer.Option(help="Hz, where the file does not say.")] = None,
    mel_stats: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Of VQVC: mean and deviation of each mel band, .npy (2, 80)."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Make a checkpoint that others published one of Timbrel's; nothing in the file is run."""
    named, path = _family_and_file(first, second, family)
    from timbrel.interop.family import Options
    from timbrel.interop.importing import import_checkpoint

    options = Options(freq=freq, mel=mel, layer=layer, sample_rate=sample_rate, mel_stats=mel_stats)
    report = import_checkpoint(path, named, output, options, force)
    typer.echo("\n".join(_lines(report, output)))


def _family_and_file(first: str, second: str | None, family: str | None) -> tuple[str, Path]:
    if second is None:
        return family or "auto", Path(first)
    if family not in (None, first):
        raise ConfigError(f"The family is given twice, as {first} and as {family}: name one.")
    return first, Path(second)


def _lines(report: Report, output: Path | None) -> Iterator[str]:
    yield f"{report.path}: {report.family}, {report.parameters:,} parameters"
    yield f"  licence  {report.licence}"
    yield f"  sha256   {report.sha256}"
    for note in report.notes:
        yield f"  note     {note}"
    name = report.path.name if output is None else report.path
    yield f"  use      timbrel compose {_ROLES.get(report.registry_family, '--vocoder')} {name} ..."
