"""`timbrel pull`: published models, fetched from where their publishers put them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel import registry
from timbrel.cli.shared import ForceOption
from timbrel.errors import DownloadError

if TYPE_CHECKING:
    from timbrel.interop.pull import Progress
    from timbrel.interop.shelf import KnownModel


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(pull)


def pull(
    name: Annotated[str | None, typer.Argument(help="A published model; none lists those known.")] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Also a model without a clear licence.")
    ] = False,
    no_import: Annotated[bool, typer.Option("--no-import", help="Only download, do not import.")] = False,
    force: ForceOption = False,
) -> None:
    """Download a published model, check it and import it, so that its name can be used."""
    from timbrel.interop import shelf

    if name is None:
        typer.echo("\n".join(_table(shelf.known())))
        return
    known = shelf.find(name)
    typer.echo("\n".join(_facts(known)))
    if not known.by_hand and (force or no_import or not known.is_installed):
        _check_licence(known, accept_licence)
    path = _pull(known, install=not no_import, force=force)
    typer.echo(f"{known.name}: {path}")


def _pull(known: KnownModel, *, install: bool, force: bool) -> object:
    try:
        from timbrel.interop.pull import pull as run
    except ModuleNotFoundError as error:
        raise DownloadError(
            f'Downloading needs the package {error.name}: install it with pip install "timbrel[pull]".'
        ) from error
    with _bars() as progress:
        return run(known, install=install, force=force, progress=progress, say=typer.echo)


def _table(models: tuple[KnownModel, ...]) -> Iterator[str]:
    rows = [("", "size", "licence", "from", "what"), *map(_row, models)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield f"Downloads go to {registry.home() / 'downloads'}, models to {registry.home() / 'models'}."


def _row(model: KnownModel) -> tuple[str, ...]:
    place = "by hand" if model.by_hand else model.host
    state = "installed: " if model.is_installed else ""
    return model.name, model.size, model.licence or "not stated", place, f"{state}{model.summary}"


def _facts(known: KnownModel) -> Iterator[str]:
    """What is about to be downloaded, from where, under which licence."""
    yield f"{known.name}: {known.summary}"
    yield f"  family    {known.family}"
    yield f"  page      {known.page}"
    yield f"  licence   {known.licence or 'not stated'}{f' ({known.terms})' if known.terms else ''}"
    for file in known.files:
        stated = f"SHA-256 {file.sha256}" if file.sha256 else "SHA-256 not listed"
        yield f"  file      {file.name}, size {file.size}, {stated}"
        if file.url:
            yield f"  from      {file.url}"
    if known.hub:
        yield f"  from      {known.hub} on the Hugging Face hub, revision {known.revision}"
    yield f"  to        {known.downloaded}"


def _check_licence(known: KnownModel, accepted: bool) -> None:
    if known.licence or accepted:
        return
    typer.echo(f"timbrel: warning: no licence is stated for {known.name}: {known.terms}.", err=True)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise DownloadError(
            f"{known.name} has no clear licence; read {known.page} and say --accept-licence to download it."
        )
    if not typer.confirm("Download it all the same?", default=False, err=True):
        raise typer.Exit(1)


@contextmanager
def _bars() -> Iterator[Progress]:
    """A bar for each file on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bars:
        tasks = {}

        def show(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name)
            bars.update(tasks[name], completed=done, total=total)

        yield show
