"""`timbrel compose`: one pipeline of parts that were made apart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from timbrel.cli.shared import ForceOption, warn


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(compose)


def compose(
    converter: Annotated[str, typer.Option("--converter", "-c", help="What changes the voice.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the pipeline.", metavar="DIR")],
    speaker_encoder: Annotated[
        str | None,
        typer.Option(help="What makes a vector of a voice; by default the one beside the converter."),
    ] = None,
    content: Annotated[str | None, typer.Option(help="What hears the words.")] = None,
    vocoder: Annotated[
        str | None, typer.Option(help="What makes sound of mels; by default Griffin-Lim.")
    ] = None,
    allow_lossy: Annotated[
        bool, typer.Option("--allow-lossy", help="Join parts also where something is lost.")
    ] = False,
    force: ForceOption = False,
) -> None:
    """Join parts (names or folders of checkpoints) to a pipeline that `convert --model DIR` uses.

    Scales of mels that differ are bridged exactly. What would be lost is said and needs --allow-lossy, once:
    the pipeline remembers it. All else is refused with every field that differs.
    """
    from timbrel.compose import compose as run
    from timbrel.registry import ROLES

    named = {"converter": converter, "speaker": speaker_encoder, "content": content, "vocoder": vocoder}
    made = run(
        {role: name for role, name in named.items() if name is not None},
        output,
        allow_lossy=allow_lossy,
        force=force,
    )
    for role, name in made.parts.items():
        typer.echo(f"{ROLES[role]:<16} {name}")
    for line in made.joints:
        typer.echo(line)
    warn(f"lost, as allowed: {loss}" for loss in made.losses)
    typer.echo(f"{made.path}: convert with it by --model {made.path}")
