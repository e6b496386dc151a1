"""How far a rate of errors can be trusted: bootstrap over speakers.

Trials share speakers, so they are not drawn independently, and an interval over trials would be far too
narrow. Speakers are (Bolle et al. 2004, "Error analysis of pattern recognition systems: the subsets
bootstrap"): a draw takes as many speakers as there are, with replacement, and a pair counts as often as
both of its speakers were drawn together. With few speakers percentile intervals are too narrow, so the
percentiles are moved out to those of Student's t (Hesterberg 2015, "expanded percentile").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_DRAWS = 1000
#: On either side of a 95 % interval.
TAIL = 0.025
#: Of fewer speakers too few different draws can be made.
_LEAST_SPEAKERS = 4


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of errors, 0..1, and its 95 % interval; None where there are too few speakers to say."""

    value: float
    low: float | None
    high: float | None


def rate_of_speakers(errors: np.ndarray, counts: np.ndarray, *, seed: int = 0) -> Rate:
    """Of trials within a speaker.

    Args:
        errors, counts: (S,) of each speaker.
    """
    speakers = int(np.count_nonzero(counts))
    if speakers < _LEAST_SPEAKERS:
        return Rate(float(errors.sum() / counts.sum()), None, None)
    weights = draws(len(counts), seed)
    return _rate(errors.sum(), counts.sum(), weights @ errors, weights @ counts, speakers)


def rate_of_pairs(errors: np.ndarray, counts: np.ndarray, *, seed: int = 0) -> Rate:
    """Of trials between speakers.

    Args:
        errors, counts: (S, S) of each pair of speakers, on one side of the diagonal. What stands on the
            diagonal are pairs of speakers who are drawn together, as members of one group.
    """
    speakers = int(np.count_nonzero(counts.any(axis=0) | counts.any(axis=1)))
    if speakers < _LEAST_SPEAKERS:
        return Rate(float(errors.sum() / counts.sum()), None, None)
    weights = draws(len(counts), seed)
    return _rate(errors.sum(), counts.sum(), _weighted(weights, errors), _weighted(weights, counts), speakers)


def percent(rate: Rate) -> str:
    """A rate with its interval: "2.16 % (0.00 to 13.00)"."""
    if rate.value == 0:
        # Draws of speakers without errors have none either, which says nothing about other speakers.
        return "0.00 % (none seen)"
    if rate.low is None or rate.high is None:
        return f"{100 * rate.value:.2f} % (too few speakers for an interval)"
    return f"{100 * rate.value:.2f} % ({100 * rate.low:.2f} to {100 * rate.high:.2f})"


def draws(speakers: int, seed: int, number: int = _DRAWS) -> np.ndarray:
    """How often each of S speakers is drawn, (number, S)."""
    random = np.random.default_rng(seed)
    drawn = random.multinomial(speakers, np.full(speakers, 1 / speakers), size=number)
    return np.asarray(drawn, dtype=np.float64)


@lru_cache(maxsize=256)
def _expanded(count: int) -> float:
    """The tail of a percentile interval that is as wide as that of Student's t for so few."""
    from scipy.stats import norm, t

    return float(norm.cdf(math.sqrt(count / (count - 1)) * t.ppf(TAIL, count - 1)))


def limits(drawn: np.ndarray, count: int) -> tuple[float, float]:
    """Ends of the 95 % interval of a figure that was drawn again and again, from so few speakers.

    Args:
        drawn: (D,) the figure of each draw.
    """
    tail = _expanded(count)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def _weighted(weights: np.ndarray, table: np.ndarray) -> np.ndarray:
    own = np.diagonal(table).astype(np.float64)
    between = table.astype(np.float64)
    np.fill_diagonal(between, 0.0)
    return np.asarray(((weights @ between) * weights).sum(axis=1) + weights @ own)


def _rate(
    errors: float, count: float, drawn_errors: np.ndarray, drawn_counts: np.ndarray, speakers: int
) -> Rate:
    # With few speakers, some draws have no trial of the kind.
    usable = drawn_counts > 0
    if usable.sum() < _DRAWS / 2:
        return Rate(float(errors / count), None, None)
    rates = drawn_errors[usable] / drawn_counts[usable]
    return Rate(float(errors / count), *limits(rates, speakers))
