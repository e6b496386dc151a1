"""`timbrel prepare`: make a corpus ready for training."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel.cli.shared import progress_line
from timbrel.errors import ConfigError, CorpusError

if TYPE_CHECKING:
    from timbrel.corpora import Utterance

#: Skipped files shown on the screen; all of them stand in the report.
_SHOWN = 10


class Layout(StrEnum):
    """How a corpus is laid out."""

    FOLDER = "folder"
    MANIFEST = "manifest"


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(prepare)


def prepare(
    layout: Annotated[Layout, typer.Argument(help="A folder per speaker, or a manifest CSV.")],
    source: Annotated[Path, typer.Argument(help="The corpus.", metavar="SRC")],
    out: Annotated[Path, typer.Argument(help="Folder for the prepared corpus.", metavar="OUT")],
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    sample_rate: Annotated[int, typer.Option(help="Sample rate in Hz.")] = 16000,
    split: Annotated[str, typer.Option(help="Splits to take, such as train,dev; by default all.")] = "",
) -> None:
    """Resample a corpus and track its pitch; a second run does only what is missing."""
    from timbrel.train.prepare import REPORT
    from timbrel.train.prepare import prepare as run

    if not 8000 <= sample_rate <= 48000:
        raise ConfigError(f"--sample-rate must lie between 8000 and 48000 Hz, not {sample_rate}.")
    utterances = _wanted(_read(layout, source), split, source)
    with progress_line("preparing") as advance:
        report = run(utterances, out, sample_rate=sample_rate, workers=workers, progress=advance)
    for skipped in report.skipped[:_SHOWN]:
        typer.echo(f"timbrel: skipped {skipped.path}: {skipped.reason}", err=True)
    if len(report.skipped) > _SHOWN:
        typer.echo(f"timbrel: and {len(report.skipped) - _SHOWN} more, see {out / REPORT}", err=True)
    typer.echo(
        f"{out}: {report.made} clips made, {report.kept} kept, {len(report.skipped)} skipped; "
        f"{report.seconds / 3600:.2f} hours"
    )


def _read(layout: Layout, source: Path) -> list[Utterance]:
    if layout is Layout.FOLDER:
        from timbrel.corpora import folder

        return folder.read(source)
    from timbrel.corpora import manifest

    return manifest.read(source)


def _wanted(utterances: list[Utterance], split: str, source: Path) -> list[Utterance]:
    """Those of the named splits."""
    if not split:
        return utterances
    names = {name.strip() for name in split.split(",")}
    known = {utterance.split for utterance in utterances}
    if names - known:
        raise CorpusError(
            f"{source} has no split {', '.join(sorted(names - known))}: it has {', '.join(sorted(known))}."
        )
    return [utterance for utterance in utterances if utterance.split in names]
