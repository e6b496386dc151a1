"""What a study found: means, differences, agreement, and who is left out of them."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from timbrel.errors import ConfigError
from timbrel.listening import effects, rejection, significance, study
from timbrel.listening.agreement import alpha
from timbrel.listening.effects import Mean
from timbrel.listening.rejection import Rejected
from timbrel.listening.scales import SAME_SPEAKER
from timbrel.listening.significance import Comparison
from timbrel.listening.store import Listener, Rating, Store
from timbrel.listening.study import PAIRED, Study
from timbrel.wording import counted


@dataclass(frozen=True, slots=True)
class Cell:
    """The mean of a system in one test and condition.

    Fields:
        same: of SMOS4, the share of answers that it is the same speaker, sure or not.
    """

    test: str
    condition: str
    system: str
    mean: Mean
    same: Mean | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Krippendorff's alpha of the listeners in one test, by two levels of measurement."""

    test: str
    ordinal: float
    interval: float


@dataclass(frozen=True, slots=True)
class Findings:
    """All that is reported of a study.

    Fields:
        ratings: all of them, of rejected listeners too.
        cells: of the tests with a scale, in the order of tests, conditions and systems.
        comparisons: of all tests.
    """

    study: Study
    listeners: tuple[Listener, ...]
    ratings: tuple[Rating, ...]
    rejected: tuple[Rejected, ...]
    cells: tuple[Cell, ...]
    comparisons: tuple[Comparison, ...]
    agreement: tuple[Agreement, ...]

    @property
    def left_out(self) -> frozenset[str]:
        """Ids of the rejected listeners."""
        return frozenset(one.listener for one in self.rejected)

    @property
    def counted(self) -> int:
        """How many ratings the figures are of."""
        out = self.left_out
        return sum(rating.listener not in out for rating in self.ratings)


def of_study(folder: Path) -> Findings:
    """Of the ratings in a study's folder, which may still be going on.

    Raises:
        ConfigError: the folder is no study, its ratings are damaged, or nobody has rated anything.
    """
    found = study.load(folder)
    path = folder / "ratings.sqlite"
    if not path.is_file():
        raise ConfigError(f"{folder} has no ratings yet: timbrel listen serve {folder} collects them.")
    try:
        with Store(path) as store:
            ratings, listeners = store.ratings(), store.listeners()
    except sqlite3.DatabaseError as error:
        raise ConfigError(f"{path} is damaged: {error}.") from error
    if not ratings:
        raise ConfigError(
            f"{folder} has no ratings yet: {counted(len(listeners), 'listener')} joined, and none has rated."
        )
    known = {(one.id, one.item) for one in found.samples}
    if any((rating.sample, rating.item) not in known for rating in ratings):
        raise ConfigError(f"{path} has ratings of another study than {folder / 'study.json'} describes.")
    return evaluate(found, ratings, listeners)


def evaluate(found: Study, ratings: Sequence[Rating], listeners: Sequence[Listener]) -> Findings:
    """Rejects first, then counts what is left."""
    rejected = rejection.reject(found, ratings, listeners)
    out = {one.listener for one in rejected}
    kept = [rating for rating in ratings if rating.listener not in out]
    return Findings(
        study=found,
        listeners=tuple(listeners),
        ratings=tuple(ratings),
        rejected=tuple(rejected),
        cells=tuple(_cells(found, kept)),
        comparisons=tuple(significance.compare(found, kept)),
        agreement=tuple(_agreement(test, kept) for test in found.tests),
    )


def _cells(found: Study, ratings: Sequence[Rating]) -> list[Cell]:
    cells = []
    for test in (test for test in found.tests if test not in PAIRED):
        for condition in found.conditions:
            for system in found.systems:
                place = (test, condition, system.name)
                own = [one for one in ratings if (one.test, one.condition, one.system) == place]
                if own:
                    same = _same_speaker(own) if test == "smos4" else None
                    cells.append(Cell(*place, effects.mean_of(own), same))
    return cells


def _same_speaker(ratings: Sequence[Rating]) -> Mean:
    return effects.share_of([replace(one, score=float(one.score >= SAME_SPEAKER)) for one in ratings])


def _agreement(test: str, ratings: Sequence[Rating]) -> Agreement:
    own = [one for one in ratings if one.test == test]
    listeners = {name: row for row, name in enumerate(dict.fromkeys(one.listener for one in own))}
    samples = {key: column for column, key in enumerate(dict.fromkeys((one.item, one.system) for one in own))}
    table = np.full((len(listeners), len(samples)), math.nan)
    for one in own:
        table[listeners[one.listener], samples[one.item, one.system]] = one.score
    return Agreement(test, alpha(table, "ordinal"), alpha(table, "interval"))
