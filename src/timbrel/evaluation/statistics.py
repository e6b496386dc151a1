"""How far a figure can be trusted, and whether two systems differ: over speakers, not over recordings.

Conversions share speakers. An interval over recordings would say how well these speakers were measured,
not what other speakers would give, and would be too narrow. A pair has two speakers, so both count:

- Intervals are bootstraps over source speakers and over target speakers. Their half-widths, upper and
  lower apart, are joined as variances of two-way clusters are (Cameron, Gelbach and Miller 2011; the
  limits taken for variances as Zou and Donner 2008 do): d² = ds² + dt² - d0², where d0 is that of
  independent pairs, which both of the others hold. With few speakers percentile intervals are too narrow,
  so the percentiles are moved out to those of Student's t (Hesterberg 2015, "expanded percentile").
- Two systems are compared on the same pairs: the mean differences of the speakers are tested by
  Wilcoxon's signed-rank test, exactly, ties and zeros included (Pratt 1959), once over source speakers
  and once over target speakers. The larger p counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from timbrel.intervals import TAIL, Rate, draws, limits

_DRAWS = 4000
#: Fewer speakers on one side, unless it is a single one, say nothing about others.
LEAST_SPEAKERS = 4
#: The exact distribution of so many ranks takes milliseconds.
_MOST_EXACT = 200


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure as the sum of (N,) numerators over that of (N,) denominators; of a mean, these are ones."""

    above: np.ndarray
    below: np.ndarray

    @property
    def value(self) -> float:
        """Not a number where there is nothing below."""
        total = float(self.below.sum())
        return float(self.above.sum()) / total if total else math.nan

    def by(self, groups: np.ndarray) -> Ratio:
        """Sums over the rows of each group."""
        return Ratio(np.bincount(groups, self.above), np.bincount(groups, self.below))

    def influence(self) -> np.ndarray:
        """(N,) by how much each row moves the value: its deviation over the sum below."""
        return np.asarray((self.above - self.value * self.below) / self.below.sum())


def mean(values: np.ndarray) -> Ratio:
    """The mean as a ratio."""
    return Ratio(np.asarray(values, np.float64), np.ones(len(values)))


def interval(
    first: Ratio, sources: np.ndarray, targets: np.ndarray, minus: Ratio | None = None, *, seed: int = 0
) -> Rate:
    """A figure of N rows, or the difference of two, with its 95 % interval over speakers.

    Args:
        sources, targets: (N,) who speaks in the source and in the target of each row.
        minus: what is taken from `first`, of the same rows.

    Returns:
        No limits where one side has two or three speakers, or both have one.
    """
    terms = [first] if minus is None else [first, minus]
    value = first.value - (minus.value if minus is not None else 0.0)
    groups = [np.unique(names, return_inverse=True)[1] for names in (sources, targets)]
    counts = [int(own.max()) + 1 if len(own) else 0 for own in groups]
    usable = [own for own, count in zip(groups, counts, strict=True) if count >= LEAST_SPEAKERS]
    if not usable or any(1 < count < LEAST_SPEAKERS for count in counts) or not math.isfinite(value):
        return Rate(value, None, None)
    widths = [_half_widths(terms, own, value, seed + side) for side, own in enumerate(usable)]
    if len(widths) == 1:
        below, above = widths[0]
    else:
        rows = _of_rows(terms)
        below, above = (_joined(one, two, rows) for one, two in zip(*widths, strict=True))
    return Rate(value, value - below, value + above)


def speaker_differences(first: Ratio, second: Ratio, groups: np.ndarray) -> np.ndarray:
    """(S,) differences of a figure between two systems on the rows of each speaker who has any."""
    numbers = np.unique(groups, return_inverse=True)[1]
    one, two = first.by(numbers), second.by(numbers)
    known = (one.below > 0) & (two.below > 0)
    return np.asarray(one.above[known] / one.below[known] - two.above[known] / two.below[known])


def compare(first: Ratio, second: Ratio, sources: np.ndarray, targets: np.ndarray) -> float | None:
    """The p of two systems' figures on the same rows being alike; None with one speaker on each side."""
    differences = [speaker_differences(first, second, groups) for groups in (sources, targets)]
    found = [signed_rank(own) for own in differences if len(own) > 1]
    return max(found, default=None)


def signed_rank(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test that (N,) differences lie around zero.

    Zeros get ranks, which then do not count (Pratt 1959). The distribution is exact, ties included, up to
    some hundred differences.
    """
    # What differs by rounding alone is equal.
    rounded = np.round(np.asarray(differences, np.float64), 12)
    if not rounded.any():
        return 1.0
    if len(rounded) > _MOST_EXACT:
        from scipy.stats import wilcoxon

        return float(wilcoxon(rounded, zero_method="pratt", method="asymptotic").pvalue)
    from scipy.stats import rankdata

    # Ties make halves: ranks are counted doubled.
    ranks = np.round(2 * rankdata(np.abs(rounded))).astype(int)
    kept = rounded != 0
    return _exact(ranks[kept], int(ranks[rounded > 0].sum()))


def _exact(ranks: np.ndarray, positive: int) -> float:
    """Two-sided p of the sum of the positive ranks, when each sign is as likely as the other."""
    chances = np.ones(1)
    for rank in ranks:
        longer = np.zeros(len(chances) + rank)
        longer[: len(chances)] += chances / 2
        longer[rank:] += chances / 2
        chances = longer
    tails = chances[: positive + 1].sum(), chances[positive:].sum()
    return float(min(1.0, 2 * min(tails)))


def _half_widths(terms: Sequence[Ratio], groups: np.ndarray, value: float, seed: int) -> tuple[float, float]:
    """How far the expanded percentiles of a bootstrap over groups lie below and above the value."""
    count = int(groups.max()) + 1
    weights = _weights(count, seed)
    drawn = np.zeros(_DRAWS)
    for sign, term in zip((1, -1), terms, strict=False):
        sums = term.by(groups)
        below = weights @ sums.below
        # A draw may hold no row that counts.
        drawn = drawn + sign * np.divide(
            weights @ sums.above, below, out=np.full(_DRAWS, np.nan), where=below > 0
        )
    low, high = limits(drawn[np.isfinite(drawn)], count)
    return max(0.0, value - low), max(0.0, high - value)


@lru_cache(maxsize=16)
def _weights(count: int, seed: int) -> np.ndarray:
    """The same draws for every figure, which takes most of the time."""
    return draws(count, seed, _DRAWS)


def _of_rows(terms: Sequence[Ratio]) -> float:
    """Half-width if all rows were independent."""
    from scipy.stats import norm

    moved = terms[0].influence() - (terms[1].influence() if len(terms) > 1 else 0.0)
    return float(-norm.ppf(TAIL) * math.sqrt(float(np.square(moved).sum())))


def _joined(over_sources: float, over_targets: float, over_rows: float) -> float:
    """Never less than the wider of both, since the difference of estimates may be far off."""
    joined = over_sources**2 + over_targets**2 - over_rows**2
    return math.sqrt(max(joined, over_sources**2, over_targets**2))
