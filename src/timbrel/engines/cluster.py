"""Workers that are actors on a Ray cluster (Moritz et al. 2018); needs the extra `ray`.

All machines of the cluster need Timbrel and the folders at the same places.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from timbrel.engines import WorkerLostError
from timbrel.errors import EngineError

#: Seconds that the machine at an address may take to answer.
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster this process is connected to; see `connect`.

    Fields:
        workers: actors at the same time, one CPU each.
        gpus: that each worker needs.
        folder: where each worker works, so that relative paths mean the same as here.
    """

    workers: int
    gpus: float
    folder: Path

    def hire(self, make: Callable[[], Callable[[Any], Any]]) -> _Actor:
        """Starts an actor; it begins once the cluster has room for it."""
        import ray

        # A lost actor is not started again by Ray: another takes its place, maybe elsewhere.
        actor = ray.remote(num_cpus=1, num_gpus=self.gpus, max_restarts=0, scheduling_strategy="SPREAD")
        return _Actor(actor(_Bench).remote(), make, self.folder)

    def result(self, future: Future[Any]) -> Any:
        """What the actor made; raises WorkerLostError if it, or its machine, is gone."""
        from ray.exceptions import RayError, RayTaskError

        try:
            return future.result()
        except RayTaskError as error:
            # Ray wraps what the work raised, and puts its traceback into the message.
            raise error.cause from error
        except RayError as error:
            raise WorkerLostError(_first_line(error)) from error


@contextmanager
def connect(address: str | None, workers: int | None = None, *, gpus: float = 0.0) -> Iterator[Cluster]:
    """Connects to a Ray cluster.

    Args:
        address: HOST:PORT of its head, ray://HOST:PORT of its client server, "auto" for one that
            runs on this machine, "local" for a new one of this machine alone; None asks
            $RAY_ADDRESS, then for one on this machine, and then starts one.
        workers: actors at the same time; by default one for each CPU, or for each GPU if they need it.
        gpus: for each worker.

    Raises:
        EngineError: Ray is not installed, nobody answers at the address, or there is nothing to
            work on.
    """
    ray = _import_ray()
    _require_answer(address)
    if address is None or address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a new cluster need not tell its makers
    try:
        session = ray.init(address, log_to_driver=False, logging_level="ERROR", configure_logging=True)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise EngineError(
            f"There is no Ray cluster at {address or 'hand'}: {_first_line(error)}; start one with "
            "`ray start --head`, or correct --address; one that asks for a token, as Ray's do by themselves, "
            "needs RAY_AUTH_MODE=token and the head's ~/.ray/auth_token here."
        ) from error
    try:
        yield Cluster(workers or _room(ray.cluster_resources(), gpus), gpus, Path.cwd())
    finally:
        session.disconnect()
        ray.shutdown()


class _Actor:
    """A worker on the cluster."""

    def __init__(self, handle: Any, make: Callable[[], Callable[[Any], Any]], folder: Path) -> None:
        self._handle, self._make, self._folder = handle, make, folder

    def begin(self) -> Future[None]:
        future: Future[None] = self._handle.begin.remote(self._make, self._folder).future()
        return future

    def submit(self, item: Any) -> Future[Any]:
        future: Future[Any] = self._handle.run.remote(item).future()
        return future

    def stop(self) -> None:
        import ray

        ray.kill(self._handle)


class _Bench:
    """What an actor keeps from one item to the next."""

    def begin(self, make: Callable[[], Callable[[Any], Any]], folder: Path) -> None:
        try:
            os.chdir(folder)
        except OSError as error:
            raise EngineError(
                f"A worker on {socket.gethostname()} finds no folder {folder}: run from a folder that all "
                "machines of the cluster share."
            ) from error
        self._work = make()

    def run(self, item: Any) -> Any:
        return self._work(item)


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise EngineError(
            'Ray is not installed: get it with pip install "timbrel[ray]", or leave out --engine ray.'
        ) from error
    return ray


def _require_answer(address: str | None) -> None:
    """Asks whether anybody is at HOST:PORT, since Ray itself would try for minutes."""
    parts = urlsplit(address if address and "://" in address else f"//{address or ''}")
    try:
        if parts.hostname is None or parts.port is None:
            return
        socket.create_connection((parts.hostname, parts.port), _PATIENCE).close()
    except (OSError, ValueError) as error:
        raise EngineError(
            f"No Ray cluster answers at {address}: {error}; start one with `ray start --head`, or "
            "correct --address."
        ) from error


def _room(resources: dict[str, float], gpus: float) -> int:
    """How many workers fit on the cluster."""
    room = int(resources.get("GPU", 0) // gpus) if gpus else int(resources.get("CPU", 0))
    if room == 0:
        raise EngineError(
            f"The Ray cluster has no {'GPU' if gpus else 'CPU'} to work on: start nodes that have, or "
            "give --workers to wait for them."
        )
    return room


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
