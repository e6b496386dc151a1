"""`timbrel listen`: a listening test in the browser, from making it to its results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel.cli.shared import ForceOption, progress_line
from timbrel.errors import ConfigError
from timbrel.wording import counted

if TYPE_CHECKING:
    from timbrel.listening.invitations import Invitations

StudyArgument = Annotated[
    Path, typer.Argument(help="Folder that timbrel listen new has made.", metavar="DIR")
]


def register(app: typer.Typer) -> None:
    """Adds the commands to `app`."""
    listen = typer.Typer(no_args_is_help=True)
    listen.callback()(_group)
    for command in (new, serve, results):
        listen.command()(command)
    app.add_typer(listen, name="listen")


def _group() -> None:
    """Let people judge converted speech, in the browser: MOS, SMOS, AB, ABX, MUSHRA."""


def new(
    file: Annotated[
        Path, typer.Argument(help="What is to be judged, how and by how many.", metavar="STUDY.toml")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to make; by default STUDY beside STUDY.toml."),
    ] = None,
) -> None:
    """Make a study of converted speech: recordings of equal loudness, and links to send to listeners."""
    from timbrel.listening import outline
    from timbrel.listening.building import build
    from timbrel.listening.hearing import minutes

    folder = output or file.with_suffix("")
    wished = outline.read(file).outline.loudness
    with progress_line("making the study") as progress:
        made = build(file, folder, progress)
    if made.loudness < wished:
        typer.echo(f"All recordings have {made.loudness:.1f} LUFS, not {wished:.1f}: peaks would be clipped.")
    typer.echo(
        f"{folder}: {counted(len(made.samples), 'sample')}, {minutes(made):.0f} min of listening for each "
        "listener."
    )
    typer.echo(f"Next: timbrel listen serve {folder}")


def serve(
    folder: StudyArgument,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen at.")] = 8760,
    url: Annotated[
        str | None, typer.Option(help="Address that listeners use, if it is another: of a proxy with HTTPS.")
    ] = None,
) -> None:
    """Serve a study to its listeners until Ctrl-C; a study that was stopped goes on where it was."""
    from timbrel.listening import invitations, server

    if url and not url.startswith(("http://", "https://")):
        raise ConfigError(f"--url {url} is no address of a page: begin it with https://.")
    application = server.application(folder)
    _print_links(invitations.load(folder), url or _address(host, port))
    server.serve(application, host, port)


def _address(host: str, port: int) -> str:
    """Where this machine finds a server that listens at `host`."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def _print_links(invited: Invitations, url: str) -> None:
    typer.echo("One link for each listener, who comes back by it:")
    for link in invited.links(url):
        typer.echo(f"  {link}")
    typer.echo(f"A link for everybody:\n  {invited.open_link(url)}")


def results(
    folder: StudyArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for the report: report.html, report.json and CSV tables."
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Say what the listeners found: means, differences, agreement, and who is left out and why."""
    from rich.console import Console

    from timbrel.listening import report
    from timbrel.listening.results import of_study
    from timbrel.reporting.folder import check_output

    if output is not None:
        check_output(output, force)
    found = of_study(folder)
    console = Console()
    for part in report.terminal(found):
        console.print(part)
    if output is not None:
        report.write(found, output, force)
        typer.echo(f"Written to {output}.")
