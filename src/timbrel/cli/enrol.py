"""`timbrel enrol`: keep a voice, to be used as `--target` later."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from timbrel.cli.shared import (
    DenoiseOption,
    Device,
    DeviceOption,
    ForceOption,
    ModelOption,
    load_converter,
    warn,
)
from timbrel.errors import OutputError
from timbrel.files import check_output
from timbrel.registry import DEFAULT_MODEL
from timbrel.wording import counted


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(enrol)


def enrol(
    references: Annotated[
        list[str],
        typer.Argument(
            help="Recordings of one person; with weights (a.wav:0.7), voices to blend.",
            metavar="REF[:WEIGHT]...",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, VOICE.voice.")],
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = Device.AUTO,
    denoise: DenoiseOption = False,
    force: ForceOption = False,
) -> None:
    """Save the voice of one or more recordings of one person, or a blend of voices."""
    from timbrel.targets import parse_targets, target_voice

    targets = parse_targets(references)
    if output.suffix != ".voice":
        raise OutputError(f"{output} must end in .voice.")
    check_output(output, force)
    converter = load_converter(model, device)
    voice = target_voice(converter, targets, denoise=denoise)
    warn(voice.warnings)
    voice.save(output, force=force)
    typer.echo(f"{output}: {voice.seconds:.1f} s of speech from {counted(len(voice.sources), 'recording')}")
