"""Work on many files spread over workers: processes of this machine, or of a Ray cluster.

    for result in spread(Processes(4), make, items, lost): ...

Each worker calls `make` once, which may load a model, and then hands it one item after another.
An item waits for nobody in particular: the next worker that is free takes the next one, so unequal
items even out, most so if the longest come first. A worker that is lost gives its item back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol, TypeVar

from timbrel.errors import EngineError

Item = TypeVar("Item")
Result = TypeVar("Result")

#: An item that was in the hands of so many lost workers is likely what killed them.
_LOSSES = 3


class WorkerLostError(Exception):
    """A worker died, or cannot be reached any more; the message says what is known of it."""


class Worker(Protocol):
    """One process somewhere; it answers in the order it is asked."""

    def begin(self) -> Future[None]:
        """Done when the worker has made what it works with."""

    def submit(self, item: Any) -> Future[Any]:
        """What becomes of an item."""

    def stop(self) -> None:
        """Ends the worker; one that is lost already may be stopped as well."""


class Engine(Protocol):
    """Where workers come from."""

    @property
    def workers(self) -> int:
        """How many work at the same time."""

    def hire(self, make: Callable[[], Callable[[Any], Any]]) -> Worker:
        """A new worker, which may take a while to begin; both `make` and what it gives are pickled."""

    def result(self, future: Future[Any]) -> Any:
        """What a future that is done holds; raises WorkerLostError in place of the engine's own."""


def spread(
    engine: Engine,
    make: Callable[[], Callable[[Item], Result]],
    items: Iterable[Item],
    lost: Callable[[Item, str], Result],
) -> Iterator[Result]:
    """What the workers make of `items`, in any order.

    An item may be worked on twice, if its worker is lost at the wrong moment, so that work must be
    safe to repeat.

    Args:
        make: called once by each worker; gives what is called with each item.
        items: asked for one by one, as workers become free.
        lost: the result of an item that was given up, since several workers died of it, and why.

    Raises:
        EngineError: no worker can be started.
        Exception: whatever `make` and the work on an item raise; workers then finish what they have.
    """
    shift = _Shift(engine, make, iter(items), lost)
    try:
        yield from shift.results()
    finally:
        shift.end()


@dataclass(slots=True)
class _Task:
    """An item on its way; `losses` counts the workers that died of it."""

    item: Any
    losses: int = 0


@dataclass(slots=True)
class _Shift:
    """The workers and what each has in hand; one that is still beginning has nothing."""

    engine: Engine
    make: Callable[[], Callable[[Any], Any]]
    items: Iterator[Any]
    lost: Callable[[Any, str], Any]
    waiting: deque[_Task] = field(default_factory=deque)
    busy: dict[Future[Any], tuple[Worker, _Task | None]] = field(default_factory=dict)
    idle: list[Worker] = field(default_factory=list)
    hired: list[Worker] = field(default_factory=list)
    failed_starts: int = 0

    def results(self) -> Iterator[Any]:
        self.waiting.extend(_Task(item) for item in islice(self.items, self.engine.workers))
        for _ in range(len(self.waiting)):
            self.hire()
        while any(task for _, task in self.busy.values()) or self.has_more():
            done, _ = wait(self.busy, return_when=FIRST_COMPLETED)
            for future in done:
                yield from self.settle(future)

    def hire(self) -> None:
        worker = self.engine.hire(self.make)
        self.hired.append(worker)
        self.busy[worker.begin()] = worker, None

    def settle(self, future: Future[Any]) -> Iterator[Any]:
        """Takes what a worker has done, if anything, and gives it something new."""
        worker, task = self.busy.pop(future)
        try:
            result = self.engine.result(future)
        except WorkerLostError as error:
            self.hired.remove(worker)
            worker.stop()
            yield from self.give_back(task, str(error))
            return
        self.employ(worker)
        if task:
            yield result

    def has_more(self) -> bool:
        if not self.waiting:
            self.waiting.extend(map(_Task, islice(self.items, 1)))
        return bool(self.waiting)

    def employ(self, worker: Worker) -> None:
        if self.has_more():
            task = self.waiting.popleft()
            self.busy[worker.submit(task.item)] = worker, task
        else:
            self.idle.append(worker)

    def give_back(self, task: _Task | None, reason: str) -> Iterator[Any]:
        """After the loss of a worker: its item goes to another, and a new worker takes its place."""
        if task is None:
            self.failed_starts += 1
        elif task.losses + 1 < _LOSSES:
            self.waiting.append(_Task(task.item, task.losses + 1))
        else:
            text = f"given up, since {_LOSSES} workers died of it, perhaps for lack of memory: {reason}."
            yield self.lost(task.item, text)
        if self.idle and self.has_more():
            self.employ(self.idle.pop())
        elif self.failed_starts < _LOSSES and self.has_more():
            self.hire()
        elif not self.busy and self.has_more():
            raise EngineError(f"No worker can be started, or stays alive: {reason}.")

    def end(self) -> None:
        """Lets everyone finish the item in hand, and go."""
        wait([future for future, (_, task) in self.busy.items() if task])
        for worker in self.hired:
            worker.stop()
