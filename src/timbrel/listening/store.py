"""Listeners and their ratings in one SQLite file that survives a kill at any moment.

Each call that changes something is one transaction, on the disk before the call returns (write-ahead log,
`synchronous=FULL`). Of a listener nothing is kept that tells who it is: no address, no browser, and of the
link only a hash.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from timbrel.errors import ConfigError

if TYPE_CHECKING:
    from timbrel.listening.design import Trial

    Planner = Callable[[int], Sequence[Trial]]

FORMAT = 1
#: Trials of the headphone check, and how many right answers pass it (Woods et al. 2017).
TONES = 6
TONES_TO_PASS = 5

_SCHEMA = f"""
CREATE TABLE listeners (
    id TEXT PRIMARY KEY, link TEXT NOT NULL UNIQUE, number INTEGER NOT NULL UNIQUE, joined TEXT NOT NULL);
CREATE TABLE trials (
    listener TEXT NOT NULL REFERENCES listeners, position INTEGER NOT NULL, test TEXT NOT NULL,
    kind TEXT NOT NULL, samples TEXT NOT NULL, PRIMARY KEY (listener, position)) WITHOUT ROWID;
CREATE TABLE servings (
    listener TEXT NOT NULL REFERENCES listeners, position INTEGER NOT NULL, slot INTEGER NOT NULL,
    at REAL NOT NULL, PRIMARY KEY (listener, position, slot)) WITHOUT ROWID;
CREATE TABLE ratings (
    listener TEXT NOT NULL REFERENCES listeners, position INTEGER NOT NULL, sample TEXT NOT NULL,
    item TEXT NOT NULL, system TEXT NOT NULL, condition TEXT NOT NULL, score REAL NOT NULL, expected REAL,
    test TEXT NOT NULL, kind TEXT NOT NULL, heard_seconds REAL NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (listener, position, sample)) WITHOUT ROWID;
CREATE TABLE tones (
    listener TEXT NOT NULL REFERENCES listeners, number INTEGER NOT NULL, expected INTEGER NOT NULL,
    answer INTEGER, PRIMARY KEY (listener, number)) WITHOUT ROWID;
PRAGMA user_version = {FORMAT};
"""


@dataclass(frozen=True, slots=True)
class Rating:
    """One score.

    Fields:
        listener: id of a `Listener`.
        sample: id of the `Sample`; for AB and ABX that of the first-named system.
        system: its name; for AB and ABX both names, "first/second".
        score: what the scale says; for AB 1 if the first-named system was preferred, for ABX 1 if the answer
            was right, else 0.
        heard_seconds: how much of the trial's recordings the page played.
        at: when, ISO 8601 in UTC, to the second.
    """

    listener: str
    sample: str
    item: str
    system: str
    condition: str
    test: str
    score: float
    heard_seconds: float
    at: str


@dataclass(frozen=True, slots=True)
class Listener:
    """Someone who takes part.

    Fields:
        headphones_passed: None if the check was not taken, or not to its end.
        attention_asked: how many attention checks have been answered, `attention_passed` of them rightly.
    """

    id: str
    number: int
    finished: bool
    headphones_passed: bool | None
    attention_passed: int
    attention_asked: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A `Rating` about to be written. `expected` is the right score of an attention check."""

    sample: str
    item: str
    system: str
    condition: str
    score: float
    expected: float | None = None


@dataclass(frozen=True, slots=True)
class Tone:
    """A trial of the headphone check: the right answer, and the one given so far."""

    number: int
    expected: int
    answer: int | None


class Store:
    """The database of one study; safe to use from several threads.

    Raises:
        ConfigError: if the file is not such a database.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            self._connection = sqlite3.connect(
                path, timeout=30, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._prepare(path)
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"{path} cannot be used: {error}.") from error

    def _prepare(self, path: Path) -> None:
        with self._transaction() as run:
            (version,) = run.execute("PRAGMA user_version").fetchone()
            if version == FORMAT:
                return
            if version != 0:
                raise ConfigError(f"{path} is of format {version}, and this Timbrel knows {FORMAT}.")
            for statement in _SCHEMA.split(";"):
                run.execute(statement)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; what was written is in it already."""
        with self._lock:
            self._connection.close()

    # Listeners

    def join(self, link: str, trials_of: Planner, *, most: int) -> str | None:
        """The id of the listener with this link: the one it has, or a new one with the trials of its number.

        None if it would be a new one, and the study has `most` listeners already.
        """
        with self._transaction() as run:
            if (known := self.find(link)) is not None:
                return known
            (number,) = run.execute("SELECT count(*) FROM listeners").fetchone()
            if number >= most:
                return None
            identity = f"L{secrets.token_hex(4)}"
            run.execute(
                "INSERT INTO listeners (id, link, number, joined) VALUES (?, ?, ?, ?)",
                (identity, _hash(link), number, _now()),
            )
            rows = (
                (identity, trial.index, trial.test, trial.kind, json.dumps(trial.samples))
                for trial in trials_of(number)
            )
            run.executemany("INSERT INTO trials VALUES (?, ?, ?, ?, ?)", rows)
            return identity

    def find(self, link: str) -> str | None:
        """The id of the listener with this link."""
        row = self._one("SELECT id FROM listeners WHERE link = ?", _hash(link))
        return row[0] if row else None

    def listeners(self) -> list[Listener]:
        """Everyone who joined, in the order of joining."""
        checks = "SELECT count(*) FROM ratings WHERE listener = id AND kind = 'attention'"
        rows = self._all(
            "SELECT id, number, (SELECT max(position) + 1 FROM ratings WHERE listener = id)"
            " = (SELECT count(*) FROM trials WHERE listener = id),"
            f" ({checks} AND score = expected), ({checks}) FROM listeners ORDER BY number"
        )
        return [
            Listener(identity, number, bool(finished), headphones_passed(self.tones(identity)), passed, asked)
            for identity, number, finished, passed, asked in rows
        ]

    # The headphone check

    def begin_tones(self, listener: str, first: int, expected: Sequence[int]) -> None:
        """Begins the headphone check, or begins it once more: its trials are numbered from `first`."""
        with self._transaction() as run:
            rows = ((listener, first + number, right) for number, right in enumerate(expected))
            run.executemany("INSERT OR IGNORE INTO tones (listener, number, expected) VALUES (?, ?, ?)", rows)

    def tones(self, listener: str) -> list[Tone]:
        """The trials of the headphone check that were begun, in their order."""
        query = "SELECT number, expected, answer FROM tones WHERE listener = ? ORDER BY number"
        return [Tone(*row) for row in self._all(query, listener)]

    def answer_tone(self, listener: str, number: int, answer: int) -> None:
        """Notes an answer; the first one stands."""
        with self._transaction() as run:
            run.execute(
                "UPDATE tones SET answer = ? WHERE listener = ? AND number = ? AND answer IS NULL",
                (answer, listener, number),
            )

    # Trials and ratings

    def trials(self, listener: str) -> int:
        """How many trials this listener was given."""
        (count,) = self._all("SELECT count(*) FROM trials WHERE listener = ?", listener)[0]
        return int(count)

    def trial(self, listener: str, position: int) -> Trial:
        """One of them."""
        from timbrel.listening.design import Trial

        query = "SELECT test, kind, samples FROM trials WHERE listener = ? AND position = ?"
        test, kind, samples = self._all(query, listener, position)[0]
        return Trial(position, test, tuple(json.loads(samples)), kind)

    def position(self, listener: str) -> int:
        """The first trial that is not answered; trials are answered in their order."""
        (answered,) = self._all("SELECT max(position) FROM ratings WHERE listener = ?", listener)[0]
        return 0 if answered is None else int(answered) + 1

    def note_serving(self, listener: str, position: int, slot: int, at: float) -> None:
        """Notes when a recording was first sent to a listener, in seconds since the epoch."""
        with self._transaction() as run:
            row = (listener, position, slot, at)
            run.execute("INSERT OR IGNORE INTO servings VALUES (?, ?, ?, ?)", row)

    def servings(self, listener: str, position: int) -> dict[int, float]:
        """When each recording of a trial was first sent, by its slot."""
        query = "SELECT slot, at FROM servings WHERE listener = ? AND position = ?"
        return dict(self._all(query, listener, position))

    def rate(self, listener: str, trial: Trial, answers: Iterable[Answer], heard_seconds: float) -> None:
        """Writes what a listener answered to a trial, all of it or nothing.

        Raises:
            sqlite3.IntegrityError: if the trial was answered already.
        """
        at = _now()
        rows = [
            (listener, trial.index, *astuple(one), trial.test, trial.kind, heard_seconds, at)
            for one in answers
        ]
        with self._transaction() as run:
            run.executemany(f"INSERT INTO ratings VALUES ({', '.join('?' * 12)})", rows)

    def answered(self, listener: str, position: int) -> dict[str, float]:
        """The scores that were given in a trial, by sample."""
        query = "SELECT sample, score FROM ratings WHERE listener = ? AND position = ?"
        return dict(self._all(query, listener, position))

    def ratings(self) -> list[Rating]:
        """Every rating but those of attention checks, by listener in the order of joining, as given."""
        rows = self._all(
            "SELECT listener, sample, item, system, condition, test, score, heard_seconds, at"
            " FROM ratings JOIN listeners ON listeners.id = listener"
            " WHERE kind <> 'attention' ORDER BY number, position, sample"
        )
        return [Rating(*row) for row in rows]

    # SQLite

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        rows = self._all(query, *values)
        return rows[0] if rows else None


def headphones_passed(tones: Sequence[Tone]) -> bool | None:
    """What the last try at the headphone check showed; None if there was none, or it is under way."""
    last = tones[-TONES:]
    if not last or any(tone.answer is None for tone in last):
        return None
    return sum(tone.answer == tone.expected for tone in last) >= TONES_TO_PASS


def _hash(link: str) -> str:
    # A link is 128 random bits, so nobody finds it by trying; no salt is needed.
    return hashlib.sha256(link.encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
