"""The command `timbrel`."""

from __future__ import annotations

import errno
import signal
import sys
from typing import Annotated, NoReturn

import typer

from timbrel import __version__
from timbrel.cli import (
    adapt,
    average,
    calibrate,
    compose,
    convert,
    corpus,
    demo,
    doctor,
    enrol,
    evaluate,
    identify,
    import_,
    info,
    listen,
    models,
    prepare,
    pull,
    remake,
    teach,
    train,
    trials,
    verify,
)
from timbrel.errors import TimbrelError

#: What a disk says of itself, without naming a file.
_OF_THE_DISK = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO, errno.EROFS)

app = typer.Typer(
    name="timbrel",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"timbrel {__version__}")
        raise typer.Exit


@app.callback()
def timbrel(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """One-shot voice conversion: the same words in another person's voice, from one recording."""


for command in (
    convert,
    enrol,
    models,
    pull,
    info,
    import_,
    compose,
    doctor,
    demo,
    prepare,
    corpus,
    teach,
    train,
    average,
    remake,
    adapt,
    verify,
    identify,
    calibrate,
    trials,
    evaluate,
    listen,
):
    command.register(app)


def run() -> None:
    """Runs the command line; an error the user can mend is one sentence and exit status 2."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        app(prog_name="timbrel")
    except TimbrelError as error:
        typer.echo(f"timbrel: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.filename is None and error.errno not in _OF_THE_DISK:
            raise
        # The system's refusal of a path that someone gave: too long a name, a disk that has gone.
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(f"timbrel: {where}{error.strerror}.", err=True)
        sys.exit(2)


def _stop(number: int, _frame: object) -> NoReturn:
    # Leaving through an exception lets everyone take back what is half-written.
    sys.exit(128 + number)
