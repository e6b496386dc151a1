"""No rating is lost, none is counted twice, and nothing tells who gave it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from timbrel.errors import ConfigError
from timbrel.listening.design import Trial
from timbrel.listening.store import Answer, Store

TRIALS = (
    Trial(0, "mos", ("a",), "rating"),
    Trial(1, "mos", ("check",), "attention"),
    Trial(2, "mushra", ("b", "c"), "rating"),
)
RATED = Answer("a", "item", "baseline", "seen", 4)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "ratings.sqlite")


def join(store: Store, link: str = "link") -> str:
    joined = store.join(link, lambda number: TRIALS, most=100)
    assert joined is not None
    return joined


def test_a_rating_comes_back_as_it_was_given(store: Store) -> None:
    listener = join(store)
    store.rate(listener, TRIALS[0], [RATED], 2.5)
    (rating,) = store.ratings()
    assert (rating.listener, rating.sample, rating.item, rating.system) == (listener, "a", "item", "baseline")
    assert (rating.condition, rating.test, rating.score, rating.heard_seconds) == ("seen", "mos", 4.0, 2.5)
    assert rating.at.endswith("+00:00")


def test_a_trial_is_rated_once(store: Store) -> None:
    listener = join(store)
    store.rate(listener, TRIALS[0], [RATED], 2.5)
    with pytest.raises(sqlite3.IntegrityError):
        store.rate(listener, TRIALS[0], [Answer("a", "item", "baseline", "seen", 1)], 2.5)
    assert [rating.score for rating in store.ratings()] == [4.0]


def test_a_trial_is_written_whole_or_not_at_all(store: Store) -> None:
    listener = join(store)
    both = [Answer("b", "i", "baseline", "seen", 40), Answer("b", "i", "proposed", "seen", 60)]
    with pytest.raises(sqlite3.IntegrityError):
        store.rate(listener, TRIALS[2], both, 2.5)
    assert store.ratings() == []
    store.rate(listener, TRIALS[0], [RATED], 2.5)  # and the store goes on


def test_a_listener_has_one_place(store: Store) -> None:
    assert join(store) == join(store) == store.find("link")
    assert join(store, "other") != join(store)
    assert [listener.number for listener in store.listeners()] == [0, 1]
    assert store.find("unknown") is None


def test_listeners_who_join_at_once_get_different_numbers(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: join(store, f"link {number % 20}"), range(60)))
    assert len(set(found)) == 20
    assert sorted(listener.number for listener in store.listeners()) == list(range(20))


def test_a_full_study_takes_nobody_new(store: Store) -> None:
    join(store)
    assert store.join("other", lambda number: TRIALS, most=1) is None
    assert store.join("link", lambda number: TRIALS, most=1) is not None


def test_attention_checks_are_counted_apart(store: Store) -> None:
    listener = join(store)
    store.rate(listener, TRIALS[0], [RATED], 2.5)
    assert not store.listeners()[0].finished
    store.rate(listener, TRIALS[1], [Answer("check", "", "", "", 2, expected=3)], 2.5)
    found = store.listeners()[0]
    assert (found.attention_passed, found.attention_asked, len(store.ratings())) == (0, 1, 1)
    store.rate(listener, TRIALS[2], [Answer(one, "i", one, "seen", 50) for one in "bc"], 2.5)
    assert store.listeners()[0].finished
    assert store.position(listener) == store.trials(listener) == 3


@pytest.mark.parametrize(("right", "passed"), [(6, True), (5, True), (4, False)])
def test_five_of_six_pass_the_headphone_check(store: Store, right: int, passed: bool) -> None:
    listener = join(store)
    assert store.listeners()[0].headphones_passed is None
    store.begin_tones(listener, 0, [0, 1, 2, 0, 1, 2])
    for number, expected in enumerate((0, 1, 2, 0, 1, 2)):
        assert store.listeners()[0].headphones_passed is None
        store.answer_tone(listener, number, expected if number < right else (expected + 1) % 3)
    assert store.listeners()[0].headphones_passed is passed


def test_the_first_answer_to_a_tone_stands(store: Store) -> None:
    listener = join(store)
    store.begin_tones(listener, 0, [0])
    store.answer_tone(listener, 0, 2)
    store.answer_tone(listener, 0, 0)
    assert store.tones(listener)[0].answer == 2


def test_what_is_sent_again_keeps_its_first_time(store: Store) -> None:
    listener = join(store)
    store.note_serving(listener, 0, 0, 10.0)
    store.note_serving(listener, 0, 0, 20.0)
    assert store.servings(listener, 0) == {0: 10.0}


def test_the_file_holds_no_link(store: Store, tmp_path: Path) -> None:
    join(store, "a-link-that-is-secret")
    store.close()
    assert b"a-link-that-is-secret" not in (tmp_path / "ratings.sqlite").read_bytes()


_WRITER = """
import sys
from pathlib import Path
from timbrel.listening.design import Trial
from timbrel.listening.store import Answer, Store

trials = [Trial(number, "mos", (f"s{number}",), "rating") for number in range(100_000)]
store = Store(Path(sys.argv[1]))
listener = store.join("link", lambda number: trials, most=1)
for trial in trials:
    store.rate(listener, trial, [Answer(trial.samples[0], "item", "baseline", "seen", 3)], 1.0)
    print(trial.index, flush=True)
"""


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "ratings.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True, env={**os.environ}
    ) as writer:
        assert writer.stdout is not None
        for _ in range(50):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
    with Store(path) as store:
        found = [rating.sample for rating in store.ratings()]
    assert {f"s{number}" for number in range(acknowledged + 1)} <= set(found)
    assert acknowledged >= 49


def test_the_disk_has_a_rating_before_it_is_acknowledged(store: Store) -> None:
    """What SQLite is told: a write-ahead log, synchronised at every commit."""
    values = [store._one(f"PRAGMA {name}") for name in ("journal_mode", "synchronous")]
    assert values == [("wal",), (2,)]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ratings.sqlite").write_text("this is a text, and no database at all")
    with pytest.raises(ConfigError, match=r"ratings\.sqlite cannot be used"):
        Store(tmp_path / "ratings.sqlite")
    with sqlite3.connect(tmp_path / "newer.sqlite") as newer:
        newer.execute("PRAGMA user_version = 7")
    with pytest.raises(ConfigError, match="format 7"):
        Store(tmp_path / "newer.sqlite")
