"""Scores of trials, block by block: cosines, normalised by a cohort if there is one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from timbrel.errors import CorpusError
from timbrel.likeness import unit
from timbrel.verification.hearing import Vectors
from timbrel.verification.trials import Trials

#: Voices of the cohort that a recording is compared with: those most like it.
_NEAREST = 300
#: Fewer voices tell nothing about how alike strangers are.
LEAST_COHORT = 10
#: Rows of recordings that are compared with the cohort at once.
_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Cohort:
    """Voices that none of the trials is about.

    Fields:
        voices: (V, E) unit vectors, one a speaker.
        data: hash of the recordings they were heard in.
    """

    voices: np.ndarray
    data: str

    @classmethod
    def of(cls, trials: Trials, vectors: Vectors) -> Cohort:
        """The mean vectors of the speakers of a corpus.

        Raises:
            CorpusError: there are fewer than `LEAST_COHORT` with usable recordings.
        """
        own = [vectors.values[vectors.usable & (trials.speakers == n)] for n in range(len(trials.names))]
        means = [rows.mean(axis=0) for rows in own if len(rows)]
        if len(means) < LEAST_COHORT:
            raise CorpusError(
                f"The cohort has {len(means)} speakers who can be heard: {LEAST_COHORT} or more are needed "
                "to say how alike strangers are."
            )
        voices = np.stack([unit(mean) for mean in means])
        return cls(voices.astype(np.float32), data_hash(trials, vectors))

    def statistics(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation (R,) of the scores of recordings (R, E) with the voices most like each."""
        nearest = min(_NEAREST, len(self.voices))
        means, deviations = np.empty(len(values), np.float32), np.empty(len(values), np.float32)
        for start in range(0, len(values), _ROWS):
            rows = slice(start, start + _ROWS)
            best = np.partition(values[rows] @ self.voices.T, -nearest, axis=1)[:, -nearest:]
            means[rows], deviations[rows] = best.mean(axis=1), np.maximum(best.std(axis=1), 1e-6)
        return means, deviations


class Scorer:
    """Scores pairs of R recordings: the cosine, or with a cohort the adaptive s-norm of it.

    The s-norm (Matejka et al. 2017) is the mean of the cosine's distances from what each of the two
    recordings has with the voices of the cohort that are most like it, in deviations.

    Args:
        values: (R, E) unit vectors.
    """

    def __init__(self, values: np.ndarray, cohort: Cohort | None = None) -> None:
        self._values = values
        self._statistics = cohort.statistics(values) if cohort else None

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Scores (n,) float32 of the pairs of recordings with these numbers (n,)."""
        cosines: np.ndarray = np.einsum("ne,ne->n", self._values[first], self._values[second])
        if self._statistics is None:
            return cosines
        means, deviations = self._statistics
        one, two = ((cosines - means[own]) / deviations[own] for own in (first, second))
        return np.asarray((one + two) / 2, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Scored:
    """Trials with their scores.

    Fields:
        scores: (N,) float32 in the order of the trials; not a number where a recording cannot be compared
            or both have the same content.
        same: (N,) bool.
        same_content: trials that were left out because a recording would be compared with itself.
    """

    trials: Trials
    scores: np.ndarray
    same: np.ndarray
    same_content: int

    @property
    def of_same(self) -> np.ndarray:
        """Scores of the pairs of one speaker."""
        return np.asarray(self.scores[self.same & ~np.isnan(self.scores)])

    @property
    def of_different(self) -> np.ndarray:
        """Scores of the pairs of two speakers."""
        return np.asarray(self.scores[~self.same & ~np.isnan(self.scores)])


def score(trials: Trials, vectors: Vectors, cohort: Cohort | None = None) -> Scored:
    """Scores all trials; beside the vectors, the memory is five bytes a trial."""
    scorer = Scorer(vectors.values, cohort)
    scores, same = np.full(len(trials), np.nan, np.float32), np.zeros(len(trials), bool)
    contents = np.unique(vectors.contents, return_inverse=True)[1]
    usable, place, copies = vectors.usable, 0, 0
    for block in trials.blocks():
        here = slice(place, place + len(block.first))
        compared = usable[block.first] & usable[block.second]
        apart = contents[block.first] != contents[block.second]
        copies += int((compared & ~apart).sum())
        kept = compared & apart
        scores[here][kept] = scorer(block.first[kept], block.second[kept])
        same[here] = block.same
        place = here.stop
    return Scored(trials, scores, same, copies)


def data_hash(trials: Trials, vectors: Vectors) -> str:
    """16 hexadecimal digits that name the recordings, who speaks in which, and the pairs."""
    digest = hashlib.sha256()
    rows: Sequence[tuple[str, int]] = list(zip(vectors.contents, trials.speakers.tolist(), strict=True))
    digest.update(repr(rows).encode())
    if trials.listed is not None:
        for column in (trials.listed.first, trials.listed.second, trials.listed.same):
            digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()[:16]
