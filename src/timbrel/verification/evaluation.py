"""Scored trials to figures: who is like whom, how often the scores err, and how far that can be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from timbrel.detection import ErrorCurve, error_curve
from timbrel.errors import CorpusError
from timbrel.intervals import Rate, rate_of_pairs, rate_of_speakers
from timbrel.verification.scoring import Scored
from timbrel.verification.thresholds import Rule
from timbrel.verification.trials import Block, Trials

#: More speakers than this are taken together in groups, alphabetically.
MOST_CELLS = 500
_WORST = 20
_BINS = 60


@dataclass(frozen=True, slots=True)
class Cells:
    """Speakers, or groups of them where there are too many to look at each.

    Fields:
        of_speaker: (S,) number of each speaker's cell.
        names: of the cells; "first to last" of a group.
    """

    of_speaker: np.ndarray
    names: tuple[str, ...]

    @property
    def grouped(self) -> bool:
        """Whether a cell holds several speakers."""
        return len(self.of_speaker) > len(self.names)


@dataclass(frozen=True, slots=True)
class Likeness:
    """Scores of every pair of cells, (C, C) symmetric: not a number where there are no trials.

    On the diagonal are trials of one speaker only, off it those of two.
    """

    minimum: np.ndarray
    mean: np.ndarray
    maximum: np.ndarray


@dataclass(frozen=True, slots=True)
class Cost:
    """A minimum of the detection cost (minDCF) and the settings it is for."""

    name: str
    target_share: float
    miss_cost: float
    accept_cost: float
    value: float


@dataclass(frozen=True, slots=True)
class Mistake:
    """A pair that the scores are most wrong about, by the numbers of its recordings."""

    first: int
    second: int
    score: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All figures of scored trials.

    Fields:
        curve: both error rates at every threshold.
        threshold, rule: where pairs are accepted, and how that was chosen.
        false_accepts, false_rejects: at the threshold, with intervals over speakers.
        edges: (61,) of the histogram's bins; same, different: (60,) how many trials are in each.
        confused: pairs of two speakers with the highest scores; missed: of one with the lowest.
    """

    same_trials: int
    different_trials: int
    curve: ErrorCurve
    equal_error_rate: float
    equal_error_threshold: float
    threshold: float
    rule: str
    false_accepts: Rate
    false_rejects: Rate
    costs: tuple[Cost, ...]
    cells: Cells
    likeness: Likeness
    edges: np.ndarray
    same: np.ndarray
    different: np.ndarray
    confused: tuple[Mistake, ...]
    missed: tuple[Mistake, ...]


#: The primary metrics of NIST SRE 2008 and 2016, normalised, and that of the VoxCeleb challenges.
COSTS = (
    ("NIST SRE 2008", 0.01, 10.0, 1.0),
    ("NIST SRE 2016", 0.01, 1.0, 1.0),
    ("NIST SRE 2016, second", 0.005, 1.0, 1.0),
    ("VoxSRC", 0.05, 1.0, 1.0),
)


def evaluate(scored: Scored, rule: Rule, calibrated: ErrorCurve | None = None) -> Evaluation:
    """The figures of these trials at the threshold that `rule` gives on a calibration's curve, or on them.

    Raises:
        CorpusError: there are fewer than two speakers, or no trials of one kind.
        ConfigError: the trials are too few for the rule.
    """
    require_both_kinds(scored)
    same, different = scored.of_same, scored.of_different
    curve = error_curve(same, different)
    threshold = rule.of(calibrated or curve)
    cells = _cells(scored.trials)
    likeness = _likeness(scored, cells)
    false_accepts, false_rejects = _rates(scored, cells, threshold)
    edges = np.linspace(*_range(same, different), _BINS + 1)
    confused, missed = _worst(scored)
    return Evaluation(
        same_trials=len(same),
        different_trials=len(different),
        curve=curve,
        equal_error_rate=curve.equal_error_rate(),
        equal_error_threshold=curve.equal_error_threshold(),
        threshold=threshold,
        rule=str(rule),
        false_accepts=false_accepts,
        false_rejects=false_rejects,
        costs=tuple(Cost(*setting, value=curve.minimum_cost(*setting[1:])) for setting in COSTS),
        cells=cells,
        likeness=likeness,
        edges=edges,
        same=np.histogram(same, edges)[0],
        different=np.histogram(different, edges)[0],
        confused=confused,
        missed=missed,
    )


def require_both_kinds(scored: Scored) -> None:
    """Raises CorpusError if nothing can be learnt of thresholds from these trials."""
    count = len(scored.trials.names)
    if count < 2:
        raise CorpusError(f"There is {count} speaker: two or more are needed to tell them apart.")
    for kind, found in (("one speaker", scored.of_same), ("two speakers", scored.of_different)):
        if len(found) == 0:
            raise CorpusError(
                f"No pair of usable recordings is of {kind}: errors are counted on pairs of one speaker and "
                "pairs of two, so give recordings for both."
            )


def _cells(trials: Trials) -> Cells:
    names, count = trials.names, len(trials.names)
    if count <= MOST_CELLS:
        return Cells(np.arange(count), names)
    cell = np.arange(count) * MOST_CELLS // count
    ends = [np.flatnonzero(cell == number)[[0, -1]] for number in range(MOST_CELLS)]
    return Cells(cell, tuple(f"{names[first]} to {names[last]}" for first, last in ends))


def _scored_blocks(scored: Scored) -> Iterator[tuple[Block, np.ndarray]]:
    """Blocks and their scores, only of trials that have one."""
    place = 0
    for block in scored.trials.blocks():
        scores = scored.scores[place : place + len(block.first)]
        place += len(scores)
        kept = ~np.isnan(scores)
        yield Block(block.first[kept], block.second[kept], block.same[kept]), scores[kept]


def _places(block: Block, scored: Scored, cells: Cells) -> np.ndarray:
    """Place of each trial in a flattened table of cells, on or above the diagonal."""
    of_recording = cells.of_speaker[scored.trials.speakers]
    one, two = of_recording[block.first], of_recording[block.second]
    return np.asarray(np.minimum(one, two) * len(cells.names) + np.maximum(one, two))


def _likeness(scored: Scored, cells: Cells) -> Likeness:
    size = len(cells.names)
    lowest, highest = np.full(size**2, np.inf), np.full(size**2, -np.inf)
    total, count = np.zeros(size**2), np.zeros(size**2)
    for block, scores in _scored_blocks(scored):
        places = _places(block, scored, cells)
        # Two speakers of one group are no trial of one speaker.
        shown = block.same | (places % size != places // size)
        places, values = places[shown], scores[shown]
        np.minimum.at(lowest, places, values)
        np.maximum.at(highest, places, values)
        total += np.bincount(places, values, size**2)
        count += np.bincount(places, minlength=size**2)
    empty = count == 0
    mean = np.where(empty, np.nan, total / np.maximum(count, 1))
    tables = (np.where(empty, np.nan, lowest), mean, np.where(empty, np.nan, highest))
    return Likeness(*(_symmetric(table.reshape(size, size)) for table in tables))


def _symmetric(table: np.ndarray) -> np.ndarray:
    """The upper half, mirrored."""
    upper = np.triu_indices(len(table), 1)
    table.T[upper] = table[upper]
    return table


def _rates(scored: Scored, cells: Cells, threshold: float) -> tuple[Rate, Rate]:
    """False accepts and false rejects."""
    size = len(cells.names)
    counts, errors = np.zeros((2, size**2)), np.zeros((2, size**2))
    for block, scores in _scored_blocks(scored):
        places = _places(block, scored, cells)
        accepted = scores >= np.float64(threshold)
        for kind in (0, 1):
            own = block.same == bool(kind)
            counts[kind] += np.bincount(places[own], minlength=size**2)
            errors[kind] += np.bincount(places[own], accepted[own] != bool(kind), size**2)
    wrong, number = errors.reshape(2, size, size), counts.reshape(2, size, size)
    return (
        rate_of_pairs(wrong[0], number[0]),
        rate_of_speakers(np.diagonal(wrong[1]), np.diagonal(number[1])),
    )


def _range(same: np.ndarray, different: np.ndarray) -> tuple[float, float]:
    low, high = min(same.min(), different.min()), max(same.max(), different.max())
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def _worst(scored: Scored) -> tuple[tuple[Mistake, ...], tuple[Mistake, ...]]:
    """Pairs of two speakers with the highest scores, and of one with the lowest."""
    found: list[list[Mistake]] = [[], []]
    for block, scores in _scored_blocks(scored):
        for kind in (0, 1):
            sign = 1 if kind else -1
            own = np.flatnonzero(block.same == bool(kind))
            own = own[np.argsort(sign * scores[own], kind="stable")[:_WORST]]
            found[kind] += [Mistake(int(block.first[i]), int(block.second[i]), float(scores[i])) for i in own]
            found[kind] = sorted(found[kind], key=lambda mistake: sign * mistake.score)[:_WORST]
    return tuple(found[0]), tuple(found[1])
