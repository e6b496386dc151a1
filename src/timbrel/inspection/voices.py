"""Whether the speakers of a corpus are who their names say: one voice each, and no voice twice.

Everything is a cosine of unit vectors by a speaker encoder, and what is suspicious is read off the
corpus itself. Two halves of one speaker's clips show how alike one voice is to itself; two speakers
who are as alike may be one. With the bundled encoder, halves of 28 speakers of LibriSpeech, LibriTTS
and VCTK came to 0.963 and more, different speakers of them to 0.944 and less; split in two where
they differ most, one speaker's clips came to 0.928 and more, those of two speakers under one name
to 0.87 and less (95 % of 60 pairs).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from timbrel.likeness import cosine_of_groups, divide, unit

#: Never are speakers less alike than this suspected to be one.
LEAST_TWIN = 0.95
#: Nor is a speaker whose two kinds of clips are more alike than this suspected to be two.
MOST_SPLIT = 0.90
#: Nor one who is not this much below the corpus's median.
_BELOW_MEDIAN = 0.04
#: Clips of a speaker from which on halves mean something.
_HALVES = 4
#: Share of the speakers whose halves may be less alike than what makes a twin.
_MISSED = 0.05
_CLOSEST = 5


@dataclass(frozen=True, slots=True)
class Pair:
    """Two speakers and the cosine of their mean vectors."""

    speakers: tuple[str, str]
    cosine: float


@dataclass(frozen=True, slots=True)
class OddClip:
    """A clip that is closer to another speaker (`other`) than to the rest of its own (`own`)."""

    id: str
    own: float
    other: float
    nearest: str


@dataclass(frozen=True, slots=True)
class Voices:
    """What the vectors say.

    Fields:
        twin_threshold: cosine from which on two speakers are suspected to be one.
        calibrated_on: speakers whose halves it is read from; of fewer than five it is `LEAST_TWIN`.
        twins: suspected pairs, the most alike first.
        closest: the most alike pairs, suspected or not.
        split_threshold: cosine below which a speaker is suspected to be two.
        splits: of each speaker with four clips and more, the cosine of the two groups into which
            their clips fall most readily.
        divided: the suspected ones.
        odd: clips that sound like somebody else.
    """

    twin_threshold: float
    calibrated_on: int
    twins: tuple[Pair, ...]
    closest: tuple[Pair, ...]
    split_threshold: float
    splits: dict[str, float]
    divided: tuple[str, ...]
    odd: tuple[OddClip, ...]


def compare(vectors: Mapping[str, np.ndarray], ids: Mapping[str, list[str]]) -> Voices:
    """Compares speakers with each other and with themselves.

    Args:
        vectors: (N, E) of each speaker, a unit vector a clip.
        ids: of the same clips.
    """
    names = sorted(vectors)
    means = {name: unit(vectors[name].mean(axis=0)) for name in names}
    several = [name for name in names if len(vectors[name]) >= _HALVES]
    halves = [cosine_of_groups(vectors[name], np.arange(len(vectors[name])) % 2 == 0) for name in several]
    enough = len(halves) >= 5
    twin = max(LEAST_TWIN, float(np.quantile(halves, _MISSED))) if enough else LEAST_TWIN
    pairs = _pairs(names, means, twin)
    splits = {name: cosine_of_groups(vectors[name], divide(vectors[name])) for name in several}
    usual = float(np.median(list(splits.values()))) if splits else 1.0
    split = min(MOST_SPLIT, usual - _BELOW_MEDIAN)
    return Voices(
        twin_threshold=twin,
        calibrated_on=len(halves) if enough else 0,
        twins=tuple(pair for pair in pairs if pair.cosine >= twin),
        closest=tuple(pairs[:_CLOSEST]),
        split_threshold=split,
        splits=splits,
        divided=tuple(name for name in several if splits[name] < split),
        odd=tuple(odd for name in names for odd in _odd(name, vectors[name], ids[name], means)),
    )


def _pairs(names: list[str], means: Mapping[str, np.ndarray], threshold: float) -> list[Pair]:
    """Pairs at or above the threshold, and a few of the closest others; the closest first."""
    if len(names) < 2:
        return []
    cosines = np.stack([means[name] for name in names]) @ np.stack([means[name] for name in names]).T
    rows, columns = np.triu_indices(len(names), 1)
    values = cosines[rows, columns]
    order = np.argsort(-values, kind="stable")
    count = max(_CLOSEST, int((values >= threshold).sum()))
    return [Pair((names[rows[i]], names[columns[i]]), float(values[i])) for i in order[:count]]


def _odd(name: str, own: np.ndarray, ids: list[str], means: Mapping[str, np.ndarray]) -> list[OddClip]:
    others = [other for other in means if other != name]
    if len(own) < 3 or not others:
        return []
    rest = own.sum(axis=0) - own
    to_rest = (own * rest).sum(axis=1) / np.maximum(np.linalg.norm(rest, axis=1), 1e-9)
    to_others = own @ np.stack([means[other] for other in others]).T
    nearest = to_others.argmax(axis=1)
    best = to_others[np.arange(len(own)), nearest]
    return [
        OddClip(ids[i], float(to_rest[i]), float(best[i]), others[nearest[i]])
        for i in np.flatnonzero(best > to_rest)
    ]
