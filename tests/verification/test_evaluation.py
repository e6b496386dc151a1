"""Heatmaps, rates and the worst pairs, against plain loops; many speakers in groups."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import numpy as np
import pytest

from timbrel.errors import CorpusError
from timbrel.verification import evaluation
from timbrel.verification.evaluation import evaluate
from timbrel.verification.scoring import score
from timbrel.verification.thresholds import EQUAL_ERRORS, Rule

from .making import voices


def test_the_heatmaps_are_minimum_mean_and_maximum_of_every_pair_of_speakers() -> None:
    trials, vectors = voices(4, each=3)
    found = evaluate(score(trials, vectors), EQUAL_ERRORS)
    pairs = defaultdict(list)
    for i, j in combinations(range(12), 2):
        value = float(vectors.values[i] @ vectors.values[j])
        pairs[trials.speakers[i], trials.speakers[j]].append(value)
        pairs[trials.speakers[j], trials.speakers[i]].append(value)
    for table, summarise in (
        (found.likeness.minimum, min),
        (found.likeness.mean, np.mean),
        (found.likeness.maximum, max),
    ):
        expected = [[summarise(pairs[one, two]) for two in range(4)] for one in range(4)]
        np.testing.assert_allclose(table, expected, atol=1e-6)
    # A recording compared with itself would be 1.
    assert found.likeness.maximum.max() < 1


def test_rates_at_a_given_threshold_are_counted() -> None:
    trials, vectors = voices(6, each=4, spread=1.2)
    scored = score(trials, vectors)
    found = evaluate(scored, Rule("score", 0.4))
    assert found.threshold == 0.4
    assert found.false_accepts.value == pytest.approx((scored.of_different >= 0.4).mean())
    assert found.false_rejects.value == pytest.approx((scored.of_same < 0.4).mean())
    for rate in (found.false_accepts, found.false_rejects):
        assert rate.low is not None and rate.high is not None
        assert rate.low <= rate.value <= rate.high
    assert found.same.sum() == len(scored.of_same)
    assert found.different.sum() == len(scored.of_different)


def test_the_worst_pairs_are_named_worst_first() -> None:
    trials, vectors = voices(5, each=4, spread=1.5)
    scored = score(trials, vectors)
    found = evaluate(scored, EQUAL_ERRORS)
    highest = np.sort(scored.of_different)[::-1]
    assert [one.score for one in found.confused] == pytest.approx(highest[:20])
    assert [one.score for one in found.missed] == pytest.approx(np.sort(scored.of_same)[:20])
    first = found.confused[0]
    assert trials.speakers[first.first] != trials.speakers[first.second]
    assert vectors.values[first.first] @ vectors.values[first.second] == pytest.approx(first.score)


def test_many_speakers_are_taken_together_and_no_error_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    trials, vectors = voices(30, each=3, spread=1.2)
    scored = score(trials, vectors)
    apart = evaluate(scored, EQUAL_ERRORS)
    monkeypatch.setattr(evaluation, "MOST_CELLS", 10)
    together = evaluate(scored, EQUAL_ERRORS)
    assert together.cells.names[:2] == ("s0000 to s0002", "s0003 to s0005")
    assert together.likeness.mean.shape == (10, 10)
    assert together.false_accepts.value == apart.false_accepts.value
    assert together.false_rejects.value == apart.false_rejects.value
    # The first group's own cell holds pairs of one speaker only.
    assert together.likeness.minimum[0, 0] == pytest.approx(np.diagonal(apart.likeness.minimum)[:3].min())
    assert together.likeness.maximum[0, 1] == pytest.approx(apart.likeness.maximum[:3, 3:6].max())


@pytest.mark.parametrize(
    ("speakers", "each", "words"), [(1, 4, "1 speaker"), (4, 1, "No pair .* one speaker")]
)
def test_one_kind_of_pair_is_not_enough(speakers: int, each: int, words: str) -> None:
    with pytest.raises(CorpusError, match=words):
        evaluate(score(*voices(speakers, each)), EQUAL_ERRORS)
