"""`timbrel adapt`: fit a model to one speaker."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel.cli.shared import ForceOption, ModelOption, progress_line, warn
from timbrel.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from timbrel.adaptation.adapt import Adapted


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(adapt)


def adapt(
    references: Annotated[
        list[Path],
        typer.Argument(help="Recordings of one person, half a minute in all or more.", metavar="REF..."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the model to write.")],
    model: ModelOption = DEFAULT_MODEL,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="Of fitting at most; it ends by itself when nothing is gained.")
    ] = 15.0,
    seed: Annotated[int, typer.Option(min=0, help="Same recordings, model and seed: same weights.")] = 0,
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            "--source", "-s", help="Recording of somebody else, converted to measure the gain; repeatable."
        ),
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Use the CPU even where there is a GPU.")] = False,
    force: ForceOption = False,
) -> None:
    """Fit a model to one speaker, from half a minute of speech or more; Ctrl-C keeps the best so far."""
    from timbrel.adaptation.adapt import adapt

    with progress_line("adapting") as progress:
        made = adapt(
            references,
            output,
            model=model,
            minutes=minutes,
            seed=seed,
            sources=sources or (),
            cpu=cpu,
            force=force,
            progress=progress,
        )
    warn(made.outcome.material.warnings)
    typer.echo("\n".join(_lines(made)))


def _lines(made: Adapted) -> Iterator[str]:
    material, fitted = made.outcome.material, made.outcome.fitted
    before, after = made.outcome.before, made.outcome.after
    speech, held_out = material.speech_seconds, material.held_out_seconds
    yield f"{made.path}: {speech:.0f} s of speech in recordings of which {held_out:.0f} s were held out"
    kept = f"step {fitted.best_step} is kept" if fitted.best_step else "the model is kept as it was"
    yield f"  {fitted.steps} steps, until {fitted.ending}; {kept}"
    yield f"  {'':40} before   after"
    yield f"  {'mel error of held-out speech, dB':40} {before.mel_error_db:6.2f}  {after.mel_error_db:6.2f}"
    yield f"  {'similarity of conversions to it':40} {before.similarity:6.3f}  {after.similarity:6.3f}"
    model, voice = shlex.quote(str(made.path)), shlex.quote(str(made.voice))
    yield f"use it: timbrel convert SOURCE --model {model} --target {voice}"
