"""Errors of a detector: how often it accepts what it should refuse, and refuses what it should accept.

A pair is accepted when its score is the threshold or more. Accepting a pair of two speakers is a false
accept, refusing a pair of one a false reject (a "miss" in the evaluations of NIST).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from timbrel.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ErrorCurve:
    """Both error rates at every threshold that makes a difference.

    Fields:
        thresholds: (N,) rising. The first accepts everything, the last nothing; each of the others lies
            half-way between two neighbouring scores.
        false_accepts: (N,) share of the pairs of two speakers, 0..1, falling from 1 to 0.
        false_rejects: (N,) share of the pairs of one speaker, 0..1, rising from 0 to 1.
        different: number of pairs of two speakers: the finest step of `false_accepts` is one of it.
    """

    thresholds: np.ndarray
    false_accepts: np.ndarray
    false_rejects: np.ndarray
    different: int

    def equal_error_rate(self) -> float:
        """The share of errors where both rates are equal, 0..1.

        Both rates are steps; where they pass each other between two scores, the point is on the straight
        line between the two steps, as in a drawn ROC.
        """
        gap, after = self._crossing()
        share = -gap[after - 1] / (gap[after] - gap[after - 1])
        before = self.false_rejects[after - 1]
        return float(before + share * (self.false_rejects[after] - before))

    def equal_error_threshold(self) -> float:
        """The threshold next to the crossing at which the larger of both rates is smaller."""
        _, after = self._crossing()
        larger = np.maximum(self.false_accepts, self.false_rejects)
        return float(self.thresholds[after if larger[after] <= larger[after - 1] else after - 1])

    def threshold_at(self, false_accepts: float) -> float:
        """The lowest threshold with at most this share of false accepts, 0..1.

        Raises:
            ConfigError: so few errors cannot be counted with these pairs.
        """
        if false_accepts * self.different < 1:
            raise ConfigError(
                f"A false-accept rate of {false_accepts:g} cannot be read off {self.different} pairs of "
                f"different speakers: the least that can is {1 / self.different:.2g}."
            )
        return float(self.thresholds[int(np.argmax(self.false_accepts <= false_accepts))])

    def minimum_cost(self, target_share: float, miss_cost: float = 1.0, accept_cost: float = 1.0) -> float:
        """The least detection cost of any threshold, as NIST normalises it (minDCF).

        The cost is `miss_cost * target_share * misses + accept_cost * (1 - target_share) * accepts`, over
        that of the better of accepting everything and nothing; 1 says that the detector is of no use.
        """
        miss, accept = miss_cost * target_share, accept_cost * (1 - target_share)
        cost = miss * self.false_rejects + accept * self.false_accepts
        return float(cost.min() / min(miss, accept))

    def _crossing(self) -> tuple[np.ndarray, int]:
        gap = self.false_rejects - self.false_accepts
        return gap, int(np.argmax(gap >= 0))


def error_curve(same: np.ndarray, different: np.ndarray) -> ErrorCurve:
    """The curve of scores of pairs of one speaker (N,) and of two (M,); higher is more alike.

    Raises:
        ValueError: there are no pairs of one kind, or a score is not a finite number.
    """
    if not (len(same) and len(different)):
        raise ValueError("A curve needs pairs of one speaker and pairs of two.")
    scores = np.unique(np.concatenate([same, different])).astype(np.float64)
    if not np.isfinite(scores).all():
        raise ValueError("Scores must be finite numbers.")
    refused = np.searchsorted(np.sort(same), scores) / len(same)
    # Counted before it is divided: 1 - 0.99 is more than 0.01.
    accepted = (len(different) - np.searchsorted(np.sort(different), scores)) / len(different)
    middle = (scores[:-1] + scores[1:]) / 2
    # Between two neighbouring floats there is no other.
    middle = np.where(middle > scores[:-1], middle, scores[1:])
    return ErrorCurve(
        thresholds=np.concatenate([scores[:1], middle, np.nextafter(scores[-1:], np.inf)]),
        false_accepts=np.append(accepted, 0.0),
        false_rejects=np.append(refused, 1.0),
        different=len(different),
    )
