"""`timbrel teach`: let published networks hear a prepared corpus, for others to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from timbrel.cli.shared import progress_line
from timbrel.errors import ConfigError
from timbrel.wording import counted


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(teach)


def teach(
    corpus: Annotated[Path, typer.Argument(help="A corpus made by timbrel prepare.", metavar="CORPUS")],
    moonshine: Annotated[
        Path | None, typer.Option(help="Encoder of Moonshine tiny-en, an .ort or .onnx file.")
    ] = None,
    resemblyzer: Annotated[Path | None, typer.Option(help="Resemblyzer's pretrained.pt.")] = None,
    content: Annotated[
        str, typer.Option(help="A content encoder, such as an imported WavLM: name or folder.")
    ] = "",
    prematch: Annotated[
        bool, typer.Option("--prematch", help="Also rebuild its frames from the speaker's other clips.")
    ] = False,
    device: Annotated[str, typer.Option(help="For --content: auto, cpu, cuda or mps.")] = "auto",
    workers: Annotated[int, typer.Option(min=1, help="Clips that a teacher hears at a time.")] = 1,
) -> None:
    """Compute what teachers say of a prepared corpus; a second run does only what is missing."""
    if moonshine is None and resemblyzer is None and not content:
        raise ConfigError(
            "Give a teacher: --moonshine with its encoder, --resemblyzer with its weights, or --content "
            "with a content encoder."
        )
    if prematch and not content:
        raise ConfigError("--prematch belongs to --content, whose frames it rebuilds.")
    _teachers(corpus, moonshine, resemblyzer, workers)
    if content:
        _content(corpus, content, prematch, device)


def _teachers(corpus: Path, moonshine: Path | None, resemblyzer: Path | None, workers: int) -> None:
    from timbrel.train import taught
    from timbrel.train.teachers import Moonshine, Resemblyzer

    # Both are loaded first, so that a wrong file is refused before an hour of work.
    content = Moonshine(moonshine) if moonshine else None
    speaker = Resemblyzer.load(resemblyzer) if resemblyzer else None
    if content:
        with progress_line("Moonshine") as advance:
            made = taught.teach_content(corpus, content, workers, advance)
        typer.echo(f"{corpus}: Moonshine heard {counted(made, 'clip')}")
    if speaker:
        with progress_line("Resemblyzer") as advance:
            made = taught.teach_speakers(corpus, speaker, workers, advance)
        typer.echo(f"{corpus}: Resemblyzer heard {counted(made, 'clip')}")


def _content(corpus: Path, name: str, prematch: bool, device: str) -> None:
    from timbrel import registry
    from timbrel.methods.content import content_encoder
    from timbrel.pipeline import find_device
    from timbrel.train import frames

    where = find_device(device)
    checkpoint = registry.find_part(name, "content")
    encoder = content_encoder(checkpoint, where)
    with progress_line(checkpoint.name) as advance:
        found = frames.prepare_frames(corpus, encoder, where, advance)
    typer.echo(f"{corpus}: {checkpoint.name} heard {found.made} of {counted(found.clips, 'clip')}")
    if prematch:
        with progress_line("prematching") as advance:
            found = frames.prematch(corpus, encoder, where, advance)
        typer.echo(f"{corpus}: {found.made} of {counted(found.clips, 'clip')} prematched")
        if found.alone:
            alone = counted(found.alone, "clip")
            typer.echo(f"  {alone} of speakers with no other, whose frames stay as they are")
