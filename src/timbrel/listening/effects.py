"""The mean of ratings and how far it can be trusted, when both listeners and samples are a few of many.

Ratings of one listener resemble each other, and so do those of one sample, so an interval over single ratings
is too narrow. A rating is a mean, plus what is the listener's, plus what is the sample's, plus the rest; the
variances of the three are estimated by Henderson's first method (Searle, Casella and McCulloch 1992,
"Variance Components", section 5.3), which needs neither the same number of ratings of each nor all of them.

Two intervals of 95 % come from this:

- Student's t, with the variance of the mean that the three make and degrees of freedom as Satterthwaite's.
- A bootstrap that draws listeners and samples at once and keeps the ratings where both were drawn (Owen 2007,
  "The pigeonhole bootstrap"), its percentiles moved out to those of Student's t, as `timbrel.intervals` does
  for few; it assumes no distribution and is a little too wide rather than too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from timbrel.intervals import TAIL, draws, limits
from timbrel.listening.store import Rating

_DRAWS = 2000
#: Of fewer listeners or samples nothing is said about others.
LEAST = 3


@dataclass(frozen=True, slots=True)
class Interval:
    """Limits that hold the truth in 95 of 100 studies."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of ratings.

    Fields:
        ratings, listeners, samples: how many it is of.
        error: standard error; NaN as the intervals are None, with too few listeners or samples.
        freedom: degrees of freedom of `student`.
        of_listeners, of_samples, of_rest: standard deviations that each contributes to a single rating.
        student, bootstrap: 95 % intervals.
    """

    value: float
    ratings: int
    listeners: int
    samples: int
    error: float = math.nan
    freedom: float = math.nan
    of_listeners: float = math.nan
    of_samples: float = math.nan
    of_rest: float = math.nan
    student: Interval | None = None
    bootstrap: Interval | None = None


def mean(values: Sequence[float], listeners: Sequence[str], samples: Sequence[str], *, seed: int = 0) -> Mean:
    """The mean of N ratings and its intervals.

    Args:
        values: (N,) ratings.
        listeners, samples: (N,) who gave each, and of what.
    """
    rows = np.unique(np.asarray(listeners), return_inverse=True)[1]
    columns = np.unique(np.asarray(samples), return_inverse=True)[1]
    scores = np.asarray(values, dtype=np.float64)
    shape = int(rows.max(initial=-1)) + 1, int(columns.max(initial=-1)) + 1
    if min(shape) < LEAST:
        return Mean(float(scores.mean()) if len(scores) else math.nan, len(scores), *shape)
    counts, sums = np.zeros(shape), np.zeros(shape)
    np.add.at(counts, (rows, columns), 1.0)
    np.add.at(sums, (rows, columns), scores)
    centre = float(scores.mean())
    variances = components(counts, sums - centre * counts, float(np.square(scores - centre).sum()))
    error, freedom = _error(counts, variances)
    half = _student(freedom) * error
    of_listeners, of_samples, of_rest = (float(part) for part in np.sqrt(variances))
    return Mean(
        centre,
        len(scores),
        shape[0],
        shape[1],
        error,
        freedom,
        of_listeners,
        of_samples,
        of_rest,
        Interval(centre - half, centre + half),
        _bootstrap(counts, sums, seed),
    )


def mean_of(ratings: Sequence[Rating]) -> Mean:
    """The mean of their scores, over listeners and items."""
    return mean(
        [one.score for one in ratings], [one.listener for one in ratings], [one.item for one in ratings]
    )


def share_of(ratings: Sequence[Rating]) -> Mean:
    """The mean of scores that are 0 or 1; its limits lie within these.

    Where all scores are alike there are none: that nobody differed here does not say that nobody would.
    """
    found = mean_of(ratings)
    if found.value in (0.0, 1.0):
        return replace(found, error=math.nan, freedom=math.nan, student=None, bootstrap=None)
    return replace(found, student=_within(found.student), bootstrap=_within(found.bootstrap))


def _within(limits: Interval | None) -> Interval | None:
    # Student's t does not know that shares end at 0 and 1.
    return None if limits is None else Interval(max(0.0, limits.low), min(1.0, limits.high))


def components(counts: np.ndarray, sums: np.ndarray, squares: float) -> np.ndarray:
    """(3,) variances of listeners, of samples and of the rest, none of them below 0.

    Args:
        counts, sums: (L, S) how many ratings each listener gave to each sample, and their sum.
        squares: the sum of all squared ratings.
    """
    number, of_rows, of_columns = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
    within_rows = (np.square(counts).sum(axis=1) / of_rows).sum()
    within_columns = (np.square(counts).sum(axis=0) / of_columns).sum()
    rows, columns = np.square(of_rows).sum() / number, np.square(of_columns).sum() / number
    whole = sums.sum() ** 2 / number
    # What each sum of squares is expected to be, beyond that of the mean, for each variance.
    expected = np.array(
        [
            [number - rows, within_rows - columns, counts.shape[0] - 1],
            [within_columns - rows, number - columns, counts.shape[1] - 1],
            [number - rows, number - columns, number - 1],
        ]
    )
    found = np.array(
        [
            (np.square(sums.sum(axis=1)) / of_rows).sum() - whole,
            (np.square(sums.sum(axis=0)) / of_columns).sum() - whole,
            squares - whole,
        ]
    )
    return np.asarray(np.maximum(np.linalg.lstsq(expected, found, rcond=None)[0], 0.0))


def _error(counts: np.ndarray, variances: np.ndarray) -> tuple[float, float]:
    """Standard error of the mean and its degrees of freedom."""
    number = counts.sum()
    shares = [
        np.square(counts.sum(axis=1)).sum() / number**2,
        np.square(counts.sum(axis=0)).sum() / number**2,
        1 / number,
    ]
    parts = variances * shares
    total = float(parts.sum())
    least = min(counts.shape) - 1
    if total == 0:
        return 0.0, float(least)
    freedoms = np.array([counts.shape[0] - 1, counts.shape[1] - 1, number - 1])
    return math.sqrt(total), float(total**2 / (np.square(parts) / freedoms).sum())


def _student(freedom: float) -> float:
    from scipy.stats import t

    return float(-t.ppf(TAIL, freedom))


def _bootstrap(counts: np.ndarray, sums: np.ndarray, seed: int) -> Interval:
    rows = draws(counts.shape[0], seed, _DRAWS)
    columns = draws(counts.shape[1], seed + 1, _DRAWS)
    drawn = ((rows @ counts) * columns).sum(axis=1)
    # Where few samples are heard by each listener, a draw may hold no rating.
    usable = drawn > 0
    means = ((rows @ sums) * columns).sum(axis=1)[usable] / drawn[usable]
    return Interval(*limits(means, min(counts.shape)))
