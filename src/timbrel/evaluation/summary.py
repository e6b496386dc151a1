"""From scores of cases to figures of systems, their intervals, and what differs between systems."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from timbrel.evaluation import statistics
from timbrel.evaluation.metrics import Column, Metric
from timbrel.evaluation.pairs import Pair
from timbrel.evaluation.scoring import Scored
from timbrel.evaluation.statistics import Ratio
from timbrel.evaluation.systems import System
from timbrel.significance import holm

ALL = "all pairs"


@dataclass(frozen=True, slots=True)
class Figure:
    """What a column says of a system: a mean, or a ratio of sums, over the pairs for which it is defined.

    Fields:
        low, high: 95 % interval over speakers; None where there are too few.
        pairs: how many count.
    """

    value: float
    low: float | None
    high: float | None
    pairs: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two systems on the same pairs.

    Fields:
        difference: of the first minus the second.
        p: of the signed-rank test over speakers; None where there are too few.
        p_figure: p by Holm's method, for all pairs of systems that this figure compares.
        p_all: the same, for all comparisons of all figures.
    """

    column: str
    first: str
    second: str
    difference: Figure
    p: float | None
    p_figure: float | None = None
    p_all: float | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """Every number: (N,) arrays over the pairs by system and by key; not a number where nothing is known."""

    pairs: Sequence[Pair]
    columns: Sequence[Column]
    values: Mapping[str, Mapping[str, np.ndarray]]

    @property
    def sources(self) -> np.ndarray:
        """(N,) speakers of the sources."""
        return np.array([pair.source_speaker for pair in self.pairs])

    @property
    def targets(self) -> np.ndarray:
        """(N,) speakers of the targets."""
        return np.array([pair.target_speaker for pair in self.pairs])


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures: by group of pairs, system and column; and the comparisons of systems."""

    figures: Mapping[str, Mapping[str, Mapping[str, Figure]]]
    comparisons: tuple[Comparison, ...]


def gather(
    pairs: Sequence[Pair], systems: Sequence[System], metrics: Sequence[Metric], scored: Sequence[Scored]
) -> Scores:
    """Sorts scores by system and column.

    Args:
        scored: of each system, of each pair that it converted, in their order.
    """
    columns = [column for metric in metrics for column in metric.columns]
    keys = dict.fromkeys(key for column in columns for key in (column.name, *column.pooled))
    rest = iter(scored)
    values = {}
    for system in systems:
        own = {key: np.full(len(pairs), np.nan) for key in keys}
        for place, pair in enumerate(pairs):
            if pair.id in system.files:
                measured = next(rest).values
                for key, value in (item for found in measured.values() for item in found.items()):
                    if key in own:
                        own[key][place] = value
        values[system.name] = own
    return Scores(pairs, columns, values)


def summarise(scores: Scores, systems: Sequence[System]) -> Summary:
    """Figures of all systems, in all groups of pairs, and the comparisons of those that convert."""
    converting = [system.name for system in systems if system.kind != "control"]
    figures = {
        group: {
            system.name: {column.name: figure(scores, system.name, column, rows) for column in scores.columns}
            for system in systems
        }
        for group, rows in groups(scores.pairs).items()
    }
    return Summary(figures, tuple(_corrected(list(_comparisons(scores, converting)))))


def groups(pairs: Sequence[Pair]) -> dict[str, np.ndarray]:
    """Masks (N,) of all pairs, of each condition, and of each direction, where there is more than one."""
    found = {ALL: np.ones(len(pairs), bool)}
    for names in ([pair.condition for pair in pairs], [pair.direction for pair in pairs]):
        kinds = sorted(set(names) - {""})
        if len(set(names)) > 1:
            found |= {kind: np.array([name == kind for name in names]) for kind in kinds}
    return found


def figure(scores: Scores, system: str, column: Column, rows: np.ndarray) -> Figure:
    """One column of one system on some of the pairs."""
    known, ratio = _ratio(scores, system, column)
    kept = known & rows
    if not kept.any():
        return Figure(math.nan, None, None, 0)
    own = _of(ratio, kept)
    found = statistics.interval(own, scores.sources[kept], scores.targets[kept])
    # What is never negative has no negative mean.
    low = max(0.0, found.low) if found.low is not None and not (own.above < 0).any() else found.low
    return Figure(found.value, low, found.high, int(kept.sum()))


def difference(scores: Scores, column: Column, first: str, second: str) -> Comparison | None:
    """Two systems on the pairs for which both have the column; None if there are none."""
    (known, one), (also, two) = (_ratio(scores, name, column) for name in (first, second))
    kept = known & also
    if not kept.any():
        return None
    speakers = scores.sources[kept], scores.targets[kept]
    pair = _of(one, kept), _of(two, kept)
    found = statistics.interval(pair[0], *speakers, minus=pair[1])
    measured = Figure(found.value, found.low, found.high, int(kept.sum()))
    return Comparison(column.name, first, second, measured, statistics.compare(*pair, *speakers))


def better_of(comparison: Comparison, column: Column) -> str:
    """The system whose figure is better, or "" if neither is or nobody can say."""
    gap = comparison.difference.value
    if column.better == "neither" or not gap:
        return ""
    return comparison.first if (gap > 0) == (column.better == "higher") else comparison.second


def _comparisons(scores: Scores, names: Sequence[str]) -> Iterator[Comparison]:
    for column in scores.columns:
        for first, second in combinations(names, 2):
            found = difference(scores, column, first, second)
            if found is not None:
                yield found


def _corrected(found: list[Comparison]) -> Iterator[Comparison]:
    """With the p-values of Holm's method."""
    everywhere = holm([one.p for one in found])
    of_column: dict[str, list[int]] = {}
    for place, one in enumerate(found):
        of_column.setdefault(one.column, []).append(place)
    within: dict[int, float | None] = {}
    for places in of_column.values():
        within |= dict(zip(places, holm([found[place].p for place in places]), strict=True))
    for place, one in enumerate(found):
        yield replace(one, p_figure=within[place], p_all=everywhere[place])


def _ratio(scores: Scores, system: str, column: Column) -> tuple[np.ndarray, Ratio]:
    """(N,) rows that count, and the column as a ratio, in its unit."""
    values = scores.values[system]
    if not column.pooled:
        own = values[column.name]
        return np.isfinite(own), statistics.mean(own)
    errors, most = (values[key] for key in column.pooled)
    known = np.isfinite(errors) & np.isfinite(most) & (most > 0)
    return known, Ratio(errors * (100.0 if column.unit == "%" else 1.0), most)


def _of(ratio: Ratio, rows: np.ndarray) -> Ratio:
    return Ratio(ratio.above[rows], ratio.below[rows])
