"""Scores of trials and their normalisation, against plain loops."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from timbrel.errors import CorpusError
from timbrel.verification import scoring
from timbrel.verification.scoring import Cohort, data_hash, score
from timbrel.verification.trials import BLOCK, Block

from .making import voices


def test_every_pair_is_scored_once_by_its_cosine() -> None:
    trials, vectors = voices(60, each=4)
    assert len(trials) > BLOCK
    found = score(trials, vectors)
    expected = [float(vectors.values[i] @ vectors.values[j]) for i, j in combinations(range(240), 2)]
    np.testing.assert_allclose(found.scores, expected, atol=1e-6)
    labels = [
        trials.names[trials.speakers[i]] == trials.names[trials.speakers[j]]
        for i, j in combinations(range(240), 2)
    ]
    assert found.same.tolist() == labels
    assert len(found.of_same) == 60 * 6


def test_what_cannot_be_compared_and_copies_are_left_out() -> None:
    trials, vectors = voices(2, each=2)
    contents = (vectors.contents[2], *vectors.contents[1:])  # the first is a copy of the third
    found = score(trials, replace(vectors, contents=contents, problems={3: "3.wav is silent."}))
    # Pairs in order: 01, 02, 03, 12, 13, 23.
    assert np.isnan(found.scores).tolist() == [False, True, True, False, True, True]
    assert found.same_content == 1


def test_a_list_is_scored_in_its_order() -> None:
    trials, vectors = voices(3, each=2)
    listed = Block(np.array([4, 0]), np.array([1, 1]), np.array([False, True]))
    found = score(replace(trials, listed=listed), vectors)
    values = vectors.values
    np.testing.assert_allclose(found.scores, [values[4] @ values[1], values[0] @ values[1]], atol=1e-6)
    assert found.same.tolist() == [False, True]


def test_the_adaptive_s_norm_is_that_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "_NEAREST", 7)
    trials, vectors = voices(4, each=2)
    strangers, heard = voices(12, each=3, seed=5)
    cohort = Cohort.of(strangers, heard)
    found = score(trials, vectors, cohort)
    means = np.stack([heard.values[strangers.speakers == n].mean(axis=0) for n in range(12)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    for place, (i, j) in enumerate(combinations(range(8), 2)):
        raw, parts = vectors.values[i] @ vectors.values[j], []
        for one in (i, j):
            nearest = sorted((float(vectors.values[one] @ mean) for mean in means), reverse=True)[:7]
            parts.append((raw - np.mean(nearest)) / np.std(nearest))
        assert found.scores[place] == pytest.approx(sum(parts) / 2, rel=1e-3, abs=1e-4)


def test_a_small_cohort_is_refused() -> None:
    strangers, heard = voices(9)
    with pytest.raises(CorpusError, match="9 speakers"):
        Cohort.of(strangers, heard)


def test_the_hash_names_recordings_speakers_and_pairs() -> None:
    trials, vectors = voices(3, each=2)
    first = data_hash(trials, vectors)
    assert first == data_hash(*voices(3, each=2))
    assert first != data_hash(trials, replace(vectors, contents=(*vectors.contents[:-1], "0")))
    assert first != data_hash(replace(trials, speakers=trials.speakers[::-1]), vectors)
    listed = Block(np.array([0]), np.array([1]), np.array([True]))
    assert first != data_hash(replace(trials, listed=listed), vectors)
