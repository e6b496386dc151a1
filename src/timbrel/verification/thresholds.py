"""Which threshold is wanted: a score, that of equal errors, or that of a false-accept rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from timbrel.detection import ErrorCurve
from timbrel.errors import ConfigError

_FALSE_ACCEPTS = "far="


@dataclass(frozen=True, slots=True)
class Rule:
    """Fields:

    kind: "score" is `number` itself, "eer" where errors are equal, "far" where at most the share
        `number` of pairs of different speakers is accepted.
    """

    kind: Literal["score", "eer", "far"]
    number: float = 0.0

    def __str__(self) -> str:
        return {"eer": "eer", "far": f"{_FALSE_ACCEPTS}{self.number:g}"}.get(self.kind, f"{self.number:g}")

    def of(self, curve: ErrorCurve) -> float:
        """The threshold on this curve.

        Raises:
            ConfigError: the curve has too few pairs for so low a rate.
        """
        if self.kind == "score":
            return self.number
        return curve.equal_error_threshold() if self.kind == "eer" else curve.threshold_at(self.number)


EQUAL_ERRORS = Rule("eer")


def parse(text: str) -> Rule:
    """A rule as it is written: "0.7", "eer" or "far=0.01".

    Raises:
        ConfigError: it is none of these, or the rate does not lie between 0 and 1.
    """
    word = text.strip().lower()
    if word == "eer":
        return EQUAL_ERRORS
    rate = word.startswith(_FALSE_ACCEPTS)
    try:
        number = float(word.removeprefix(_FALSE_ACCEPTS))
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (rate and not 0 < number < 1):
        raise ConfigError(
            f'A threshold is a score, such as 0.7, or "eer", or "far=0.01" with a rate between 0 and 1, '
            f'not "{text}".'
        )
    return Rule("far" if rate else "score", number)
