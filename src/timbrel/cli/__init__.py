"""The command line: one file a command, each parses, calls one function below and prints."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn


def main() -> None:
    """The command `timbrel`; Ctrl-C ends it without a traceback from its first moment on, with status 130."""
    pressed = []

    def interrupt(_number: int, _frame: object) -> NoReturn:
        pressed.append(True)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    try:
        from timbrel.cli.app import run

        run()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except ImportError:
        if not pressed:
            raise
        # Libraries that are interrupted while they load say that they cannot be loaded.
        sys.exit(128 + signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
