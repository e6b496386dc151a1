"""What workers of the tests do; a module of its own, since workers import it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from timbrel.errors import AudioError

Work = Callable[[str], tuple[str, str]]


def begin(folder: Path) -> Work:
    """Notes that a worker began, under the name of its process."""
    (folder / f"began.{os.getpid()}").touch()
    return partial(work, folder, str(os.getpid()))


def die(folder: Path) -> Work:
    """A worker that never begins."""
    os.kill(os.getpid(), signal.SIGKILL)
    return begin(folder)


def refuse(folder: Path) -> Work:
    """A worker whose model is missing."""
    raise AudioError(f"{folder} holds no model.")


def work(folder: Path, worker: str, item: str) -> tuple[str, str]:
    """Does what the item says and gives it back with the name of the worker."""
    before = len(list(folder.glob(f"{item}.*")))
    (folder / f"{item}.{before}").touch()
    if item.startswith("fail"):
        raise AudioError(f"{item} is no audio.")
    if item.startswith("deadly") or (item.startswith("unlucky") and before == 0):
        os.kill(os.getpid(), signal.SIGKILL)
    if item.startswith("patient"):
        wait_for(lambda: len(list(folder.glob("quick*"))) == 6)
    return item, worker


def lost(item: str, reason: str) -> tuple[str, str]:
    """What is said of an item that was given up."""
    return item, reason


def wait_for(condition: Callable[[], bool], seconds: float = 480.0) -> None:
    """Waits until something is so; gives up after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
