"""Workers share items, none is lost with its worker, and errors come back as they were raised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.engines import labour

from timbrel.engines import Engine, spread
from timbrel.engines.cluster import connect
from timbrel.engines.local import Processes
from timbrel.errors import AudioError, EngineError

Run = Callable[..., list[tuple[str, str]]]


@pytest.fixture(params=["processes"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Two workers of each kind."""
    if request.param == "processes":
        yield Processes(2)
        return
    cluster: Any = request.getfixturevalue("two_nodes")
    with connect(cluster.address) as found:
        yield found


#: What an engine does, and not `spread` alone, is tested with each.
each_engine = pytest.mark.parametrize("engine", ["processes", "ray"], indirect=True)


@pytest.fixture
def run(engine: Engine, tmp_path: Path) -> Run:
    """Spreads items over the two workers."""

    def run(items: Any, make: Any = labour.begin) -> list[tuple[str, str]]:
        return list(spread(engine, partial(make, tmp_path), items, labour.lost))

    return run


def test_every_item_is_done_once_and_each_worker_begins_once(run: Run, tmp_path: Path) -> None:
    items = [f"item{number}" for number in range(20)]
    results = run(items)
    assert sorted(item for item, _ in results) == sorted(items)
    assert all((tmp_path / f"{item}.0").exists() and not (tmp_path / f"{item}.1").exists() for item in items)
    workers = {worker for _, worker in results}
    assert workers <= {path.suffix[1:] for path in tmp_path.glob("began.*")}
    assert len(list(tmp_path.glob("began.*"))) <= 2


@each_engine
def test_a_long_item_keeps_nobody_else_waiting(run: Run) -> None:
    # The patient item ends only when all the others are done, which so fall to the other worker.
    results = dict(run(["patient", *(f"quick{number}" for number in range(6))]))
    assert {results[f"quick{number}"] for number in range(6)} == {*results.values()} - {results["patient"]}


def test_items_are_asked_for_as_workers_become_free(engine: Engine, tmp_path: Path) -> None:
    asked: list[str] = []
    items = (asked.append(f"item{number}") or asked[-1] for number in range(12))
    for done, _ in enumerate(spread(engine, partial(labour.begin, tmp_path), items, labour.lost), 1):
        # Two in hand, and one at most that waits for a worker.
        assert len(asked) <= done + 3


@each_engine
def test_the_item_of_a_lost_worker_is_done_by_another(run: Run) -> None:
    items = ["a", "b", "unlucky", "c", "d"]
    assert sorted(item for item, _ in run(items)) == sorted(items)


def test_an_item_that_kills_its_workers_is_given_up(run: Run) -> None:
    results = dict(run(["a", "deadly", "b", "c"]))
    assert "given up, since 3 workers died of it" in results.pop("deadly")
    assert sorted(results) == ["a", "b", "c"]


@each_engine
def test_an_error_is_raised_as_it_was(run: Run) -> None:
    with pytest.raises(AudioError, match=r"^fail is no audio\.$"):
        run(["a", "fail", "b"])


def test_a_worker_that_cannot_begin_says_why(run: Run) -> None:
    with pytest.raises(AudioError, match=r"^.* holds no model\.$"):
        run(["a"], make=labour.refuse)


def test_workers_that_die_at_once_end_in_a_sentence(run: Run) -> None:
    with pytest.raises(EngineError, match=r"^No worker can be started, or stays alive: .+\.$"):
        run(["a"], make=labour.die)


def test_nothing_to_do_needs_no_worker(run: Run, tmp_path: Path) -> None:
    assert run([]) == []
    assert not list(tmp_path.iterdir())
