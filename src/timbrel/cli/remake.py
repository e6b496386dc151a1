"""`timbrel remake`: train all parts of the bundled model again."""

from __future__ import annotations

import math
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from timbrel.cli.train import MinutesOption, require_extra


class SizeName(StrEnum):
    """How much is trained; see `timbrel.train.remake.SIZES`."""

    CPU = "cpu"
    GPU = "gpu"


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(remake)


def remake(
    corpus: Annotated[Path, typer.Argument(help="A corpus, or one that was prepared.", metavar="CORPUS")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for all that is made.", metavar="DIR")],
    size: Annotated[
        SizeName,
        typer.Option(help="cpu: the recipes as they are; gpu: 8 times the batch, a quarter of the steps."),
    ] = SizeName.CPU,
    minutes: MinutesOption = math.inf,
    processes: Annotated[
        int | None, typer.Option(min=1, help="That train together; by default one for each GPU, or two.")
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Train on the CPU even where there is a GPU.")] = False,
    moonshine: Annotated[
        Path | None, typer.Option(help="Encoder of Moonshine tiny-en; by default that of its package.")
    ] = None,
    resemblyzer: Annotated[
        Path | None, typer.Option(help="Resemblyzer's pretrained.pt; by default that of its package.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change every recipe: run.save_every=100."),
    ] = None,
) -> None:
    """Train all parts of timbrel-one again, from the corpus; a second run goes on where the first stopped."""
    require_extra()
    import torch

    from timbrel.packages import MOONSHINE, RESEMBLYZER, packaged
    from timbrel.train.remake import SIZES, Plan
    from timbrel.train.remake import remake as run

    encoder = "assets/tiny-en/encoder_model.ort"
    gpus = 0 if cpu else torch.cuda.device_count()
    plan = Plan(
        corpus,
        out,
        moonshine or packaged("Moonshine", "moonshine_voice", encoder, MOONSHINE),
        resemblyzer or packaged("Resemblyzer", "resemblyzer", "pretrained.pt", RESEMBLYZER),
        SIZES[size.value],
        # Without a GPU two processes train faster than one with twice the threads.
        processes or gpus or min(2, os.cpu_count() or 1),
        gpus == 0,
        minutes,
        tuple(overrides or []),
    )
    made = run(plan, lambda text: typer.echo(f"timbrel: {text}", err=True))
    if made is not None:
        typer.echo(f"{made}: convert with it by --model {made}")
