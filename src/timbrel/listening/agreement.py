"""Do the listeners agree? Krippendorff's alpha: 1 for perfect agreement, 0 for that of chance.

Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", for any number of listeners and with ratings
missing. He asks for 0.8, and for 0.667 where tentative conclusions will do; opinions of quality stay
below that, since listeners use a scale differently, and a mean over many of them is steadier than one.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

Level = Literal["nominal", "ordinal", "interval"]


def alpha(ratings: np.ndarray, level: Level) -> float:
    """Krippendorff's alpha.

    Args:
        ratings: (listeners, samples), NaN where there is none.
        level: what counts as disagreement: any difference, the ranks between two values, or their squared
            difference.

    Returns:
        NaN where no sample has two ratings, or all ratings are equal.
    """
    values = np.unique(ratings[np.isfinite(ratings)])
    counts = np.array([(ratings == value).sum(axis=0) for value in values], dtype=np.float64).T
    # A sample that one listener rated has nothing to be compared with.
    raters = counts.sum(axis=-1)
    counts, raters = counts[raters >= 2], raters[raters >= 2]
    if not len(counts):
        return math.nan
    pairs = np.einsum("uc,uk,u->ck", counts, counts, 1 / (raters - 1))
    pairs -= np.diag((counts / (raters - 1)[:, None]).sum(axis=0))
    totals = pairs.sum(axis=0)
    apart = _disagreement(values, totals, level)
    expected = float(totals @ apart @ totals)
    if expected == 0:
        return math.nan
    return 1 - float((totals.sum() - 1) * (pairs * apart).sum()) / expected


def _disagreement(values: np.ndarray, totals: np.ndarray, level: Level) -> np.ndarray:
    """(V, V) squared difference of every two values; `totals` is how often each occurs."""
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    # Of ordinal data, how many ratings lie from the middle of one value to that of the other.
    scale = np.cumsum(totals) - totals / 2 if level == "ordinal" else values
    return np.asarray(np.square(scale[:, None] - scale[None, :]))
