"""Converted speech before a verifier: is it taken for the target, and is it still taken for the source?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from timbrel.errors import CorpusError
from timbrel.intervals import Rate, rate_of_speakers
from timbrel.verification.hearing import Hearing, Progress
from timbrel.verification.lists import Conversion
from timbrel.verification.scoring import Cohort, Scorer


@dataclass(frozen=True, slots=True)
class Judged:
    """One conversion: its scores with the target's recording and with the source, and those two's."""

    conversion: Conversion
    to_target: float
    to_source: float
    between: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier makes of converted speech.

    Fields:
        spoofing: share of the conversions that it accepts as their target, with a 95 % bootstrap interval
            over targets.
        kept: share that it accepts as the source's speaker.
        unconverted: share of the sources that it takes for the target as they are: its false accepts.
        nearer: share that is more like the target than like the source.
        excluded: recordings that could not be compared, and why; their rows do not count.
    """

    threshold: float
    rows: tuple[Judged, ...]
    spoofing: Rate
    kept: Rate
    unconverted: Rate
    nearer: float
    to_target: float
    to_source: float
    excluded: tuple[str, ...]


def judge(
    conversions: Sequence[Conversion],
    hearing: Hearing,
    threshold: float,
    cohort: Cohort | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Judges conversions at a threshold.

    Raises:
        CorpusError: there are none, or none can be compared.
    """
    if not conversions:
        raise CorpusError("There is no conversion to judge.")
    rows = [(one.source, one.target, one.converted) for one in conversions]
    places: dict[Path, int] = {}
    for path in chain.from_iterable(rows):
        places.setdefault(path, len(places))
    vectors = hearing.hear(list(places), progress)
    scorer, usable = Scorer(vectors.values, cohort), vectors.usable
    table = np.array([[places[path] for path in row] for row in rows])
    kept = usable[table].all(axis=1)
    if not kept.any():
        first = next(iter(vectors.problems.values()))
        raise CorpusError(f"No conversion can be compared ({first}).")
    source, target, converted = table[kept].T
    to_target, to_source = scorer(converted, target), scorer(converted, source)
    between = scorer(source, target)
    groups = np.unique(target, return_inverse=True)[1]
    return Verdict(
        threshold=threshold,
        rows=tuple(
            Judged(conversions[int(row)], *map(float, scores))
            for row, *scores in zip(np.flatnonzero(kept), to_target, to_source, between, strict=True)
        ),
        spoofing=_rate(to_target >= threshold, groups),
        kept=_rate(to_source >= threshold, groups),
        unconverted=_rate(between >= threshold, groups),
        nearer=float((to_target > to_source).mean()),
        to_target=float(to_target.mean()),
        to_source=float(to_source.mean()),
        excluded=tuple(vectors.problems.values()),
    )


def _rate(accepted: np.ndarray, groups: np.ndarray) -> Rate:
    return rate_of_speakers(np.bincount(groups, accepted), np.bincount(groups))
