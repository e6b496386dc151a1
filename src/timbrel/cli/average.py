"""`timbrel average`: the mean of several checkpoints of one network."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from timbrel.cli.shared import ForceOption


class Bits(StrEnum):
    """Of a stored weight."""

    EIGHT = "8"
    SIXTEEN = "16"
    ALL = "32"


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(average)


def average(
    checkpoints: Annotated[
        list[str],
        typer.Argument(metavar="CHECKPOINT...", help="Folders of one network, or FOLDER:WEIGHT."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the mean.", metavar="DIR")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change its configuration: restore=0.65."),
    ] = None,
    bits: Annotated[Bits, typer.Option(help="Of a stored weight; 8 and 16 lose a little.")] = Bits.ALL,
    force: ForceOption = False,
) -> None:
    """Average the weights of a network's checkpoints, often better than each; or change one's settings."""
    from timbrel.targets import parse_target
    from timbrel.train.mean import average as run

    shares = [parse_target(text) for text in checkpoints]
    number = cast("Literal[8, 16, 32]", int(bits))
    typer.echo(f"{run(shares, output, overrides=overrides or [], bits=number, force=force)}")
