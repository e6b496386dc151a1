"""`timbrel teach`: let published networks hear a prepared corpus, for others to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from timbrel.cli.shared import progress_line
from timbrel.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(teach)


def teach(
    corpus: Annotated[Path, typer.Argument(help="A corpus made by timbrel prepare.", metavar="CORPUS")],
    moonshine: Annotated[
        Path | None, typer.Option(help="Encoder of Moonshine tiny-en, an .ort or .onnx file.")
    ] = None,
    resemblyzer: Annotated[Path | None, typer.Option(help="Resemblyzer's pretrained.pt.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Clips to hear at a time.")] = 1,
) -> None:
    """Compute what teachers say of a prepared corpus; a second run does only what is missing."""
    if moonshine is None and resemblyzer is None:
        raise ConfigError(
            "Give a teacher: --moonshine with its encoder, --resemblyzer with its weights, or both."
        )
    from timbrel.train import taught
    from timbrel.train.teachers import Moonshine, Resemblyzer

    # Both are loaded first, so that a wrong file is refused before an hour of work.
    content = Moonshine(moonshine) if moonshine else None
    speaker = Resemblyzer.load(resemblyzer) if resemblyzer else None
    if content:
        with progress_line("Moonshine") as advance:
            made = taught.teach_content(corpus, content, workers, advance)
        typer.echo(f"{corpus}: Moonshine heard {made} clips")
    if speaker:
        with progress_line("Resemblyzer") as advance:
            made = taught.teach_speakers(corpus, speaker, workers, advance)
        typer.echo(f"{corpus}: Resemblyzer heard {made} clips")
