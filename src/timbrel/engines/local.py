"""Workers that are processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, ClassVar

from timbrel.engines import WorkerLostError


@dataclass(frozen=True, slots=True)
class Processes:
    """So many processes of this machine."""

    workers: int

    def hire(self, make: Callable[[], Callable[[Any], Any]]) -> _Process:
        """Starts a process, which imports what it needs anew."""
        return _Process(make, threads=max(1, (os.cpu_count() or 1) // self.workers))

    def result(self, future: Future[Any]) -> Any:
        """What the process made; raises WorkerLostError if it died."""
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise WorkerLostError("a process died") from error


class _Process:
    """A pool of one: if its process dies, no other process's work is lost with it."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]], threads: int) -> None:
        # A forked copy of a process that has threads may hang, so the processes start anew.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context, _set_up, (threads,))
        self._make = make

    def begin(self) -> Future[None]:
        return self._pool.submit(_Bench.begin, self._make)

    def submit(self, item: Any) -> Future[Any]:
        try:
            return self._pool.submit(_Bench.run, item)
        except BrokenProcessPool as error:  # it died while it had nothing to do
            future: Future[Any] = Future()
            future.set_exception(error)
            return future

    def stop(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _set_up(threads: int) -> None:
    # Ctrl-C reaches all processes of a terminal; the parent alone decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Libraries that are loaded from here on share the cores with the other processes.
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))


class _Bench:
    """What a worker process keeps from one item to the next."""

    work: ClassVar[Callable[[Any], Any]]

    @classmethod
    def begin(cls, make: Callable[[], Callable[[Any], Any]]) -> None:
        cls.work = staticmethod(make())

    @classmethod
    def run(cls, item: Any) -> Any:
        return cls.work(item)
