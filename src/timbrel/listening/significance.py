"""Do two systems differ? On what the same listeners said of the same items.

- Scales: the difference of the two ratings that a listener gave within an item, as a mean with the intervals
  of `timbrel.listening.effects`; its p is Student's t with the same error. Listeners' habits cancel out, and
  other listeners and other sentences are accounted for.
- AB and ABX: the exact binomial test, against chance; for ABX one-sided, since being wrong more often than
  chance would be no sign of hearing a difference. It takes answers as independent of each other, which the
  intervals of the share do not.

p-values of one test are adjusted by Holm's method for all pairs of systems and all conditions in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from timbrel.listening import effects
from timbrel.listening.effects import Mean
from timbrel.listening.store import Rating
from timbrel.listening.study import PAIRED, Study
from timbrel.significance import holm

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two systems in one test and condition.

    Fields:
        difference: of scales, the mean of first minus second; of AB, the share that prefers the first; of
            ABX, the share of right answers.
        p: None where there are too few listeners or items.
        adjusted: `p` after Holm's method.
    """

    test: str
    condition: str
    first: str
    second: str
    difference: Mean
    p: float | None
    adjusted: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the two differ at a level of 5 %."""
        return self.adjusted is not None and self.adjusted <= LEVEL


def compare(study: Study, ratings: Sequence[Rating]) -> list[Comparison]:
    """Every pair of systems in every test and condition that has ratings of both; anchors and references are
    no competitors, but in AB and ABX the pairs that the study names."""
    found: list[Comparison] = []
    for test in study.tests:
        own = [rating for rating in ratings if rating.test == test]
        pairs = study.pairs if test in PAIRED else study.competitors
        rows = [_compared(test, condition, *pair, own) for condition in study.conditions for pair in pairs]
        found += _adjusted([row for row in rows if row.difference.ratings])
    return found


def _compared(test: str, condition: str, first: str, second: str, ratings: Sequence[Rating]) -> Comparison:
    own = [rating for rating in ratings if rating.condition == condition]
    if test in PAIRED:
        answers = [rating for rating in own if rating.system == f"{first}/{second}"]
        share = effects.share_of(answers)
        p = _binomial([rating.score for rating in answers], "two-sided" if test == "ab" else "greater")
        return Comparison(test, condition, first, second, share, p)
    seconds = {(one.listener, one.item): one.score for one in own if one.system == second}
    both = [one for one in own if one.system == first and (one.listener, one.item) in seconds]
    difference = effects.mean(
        [one.score - seconds[one.listener, one.item] for one in both],
        [one.listener for one in both],
        [one.item for one in both],
    )
    return Comparison(test, condition, first, second, difference, _student(difference))


def _binomial(scores: Sequence[float], alternative: str) -> float | None:
    from scipy.stats import binomtest

    if not scores:
        return None
    return float(binomtest(int(sum(scores)), len(scores), 0.5, alternative=alternative).pvalue)


def _student(difference: Mean) -> float | None:
    """Two-sided p of no difference."""
    from scipy.stats import t

    if math.isnan(difference.error):
        return None
    if difference.error == 0:
        return 1.0 if difference.value == 0 else 0.0
    return float(2 * t.sf(abs(difference.value) / difference.error, difference.freedom))


def _adjusted(rows: Sequence[Comparison]) -> list[Comparison]:
    adjusted = holm([row.p for row in rows])
    return [replace(row, adjusted=p) for row, p in zip(rows, adjusted, strict=True)]
