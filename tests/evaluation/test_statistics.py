"""Intervals that hold what they promise, by simulation; tests against scipy, and against counting."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from timbrel.evaluation.statistics import Ratio, compare, interval, mean, signed_rank, speaker_differences


@pytest.mark.parametrize(
    ("speakers", "of_source", "of_target", "of_pair"),
    [(24, 1.0, 1.0, 1.0), (24, 0.0, 0.0, 1.0), (12, 1.0, 0.2, 0.5), (6, 0.5, 1.0, 1.0)],
)
def test_an_interval_holds_the_truth_in_about_95_of_100_lists(
    speakers: int, of_source: float, of_target: float, of_pair: float
) -> None:
    """Whatever the figure depends on: the source's speaker, the target's, or the pair alone."""
    random = np.random.default_rng(7)
    held = []
    for _ in range(150):
        sources, targets = random.integers(0, speakers, (2, 4 * speakers))
        values = of_pair * random.normal(size=4 * speakers)
        values += of_source * random.normal(size=speakers)[sources]
        values += of_target * random.normal(size=speakers)[targets]
        found = interval(mean(values), sources, targets)
        assert found.low is not None and found.high is not None
        held.append(found.low <= 0 <= found.high)
    # 150 lists at 95 % give 0.90 or more with a chance of 0.99.
    assert np.mean(held) >= 0.89


def test_an_interval_is_no_wider_than_independent_pairs_deserve() -> None:
    """Speakers on both sides count what lies within a pair twice, which has to be taken off once."""
    random = np.random.default_rng(7)
    ratios = []
    for _ in range(50):
        sources, targets = random.integers(0, 24, (2, 96))
        values = random.normal(size=96)
        found = interval(mean(values), sources, targets)
        assert found.low is not None and found.high is not None
        ratios.append((found.high - found.low) / (2 * stats.norm.ppf(0.975) * stats.sem(values)))
    # Percentiles expanded for 24 speakers are about a tenth wider, and counted twice 1.4 times.
    assert 1.0 < np.mean(ratios) < 1.25


def test_pairs_that_share_speakers_say_less_than_their_number() -> None:
    random = np.random.default_rng(0)
    sources, targets = (own.ravel() for own in np.meshgrid(np.arange(8), np.arange(8)))
    values = random.normal(size=8)[targets]
    found = interval(mean(values), sources, targets)
    alone = stats.t.interval(0.95, 7, loc=values[:8].mean(), scale=stats.sem(values.reshape(8, 8)[:, 0]))
    width = found.high - found.low  # type: ignore[operator]
    # As wide as eight values allow, not 64.
    assert width == pytest.approx(alone[1] - alone[0], rel=0.25)


def test_a_ratio_is_that_of_sums_and_a_difference_is_paired() -> None:
    errors, words = np.array([1.0, 0.0, 6.0, 1.0] * 4), np.array([2.0, 8.0, 8.0, 2.0] * 4)
    sources, targets = np.repeat(np.arange(4), 4), np.tile(np.arange(4), 4)
    found = interval(Ratio(errors, words), sources, targets)
    assert found.value == pytest.approx(8 / 20)
    nothing = interval(Ratio(errors, words), sources, targets, minus=Ratio(errors, words))
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, 0.0)
    # A constant difference is known exactly, however different the pairs are.
    shifted = interval(mean(errors + 3), sources, targets, minus=mean(errors))
    assert (shifted.low, shifted.high) == pytest.approx((3.0, 3.0))


def test_two_speakers_have_no_interval_and_one_voice_is_not_drawn() -> None:
    values = np.arange(8.0)
    assert interval(mean(values), np.arange(8) % 2, np.arange(8)).low is None
    one_voice = interval(mean(values), np.arange(8), np.zeros(8))
    assert one_voice.low is not None and one_voice.low < 3.5 < one_voice.high  # type: ignore[operator]


@pytest.mark.parametrize("count", [3, 6, 12, 30])
def test_the_signed_rank_test_is_scipys_where_there_are_no_ties(count: int) -> None:
    differences = np.random.default_rng(count).normal(0.4, 1.0, count)
    expected = stats.wilcoxon(differences, method="exact").pvalue
    assert signed_rank(differences) == pytest.approx(expected, rel=1e-9)


def test_the_signed_rank_test_with_ties_and_zeros_is_what_counting_all_signs_gives() -> None:
    differences = np.array([0.0, 1.0, 1.0, -1.0, 2.0, 2.0, 3.0, 0.0, 4.0, -0.5])
    ranks = stats.rankdata(np.abs(differences))[differences != 0]
    signs = np.array(list(product((0, 1), repeat=len(ranks))))
    sums = signs @ ranks
    observed = ranks[differences[differences != 0] > 0].sum()
    middle = ranks.sum() / 2
    expected = np.mean(np.abs(sums - middle) >= abs(observed - middle) - 1e-9)
    assert signed_rank(differences) == pytest.approx(expected)


def test_no_difference_is_no_evidence_and_rounding_is_no_difference() -> None:
    assert signed_rank(np.zeros(9)) == 1.0
    assert signed_rank(np.array([0.1 + 0.2 - 0.3] * 9)) == 1.0
    # The least p of six speakers: two of the 64 ways to give signs.
    assert signed_rank(np.arange(1.0, 7.0)) == pytest.approx(2 / 64)


def test_many_differences_take_the_normal_approximation() -> None:
    differences = np.random.default_rng(0).normal(0.1, 1.0, 400)
    expected = stats.wilcoxon(differences, zero_method="pratt", method="asymptotic").pvalue
    assert signed_rank(differences) == pytest.approx(expected)


def test_the_larger_p_of_both_sides_counts() -> None:
    # Every target speaker gains, but only one source speaker of four does.
    sources, targets = np.tile(np.arange(4), 8), np.repeat(np.arange(8), 4)
    gain = np.where(sources == 0, 1.0 + targets / 10, 0.0)
    one, two = mean(gain), mean(np.zeros(32))
    assert signed_rank(speaker_differences(one, two, targets)) == pytest.approx(2 / 2**8)
    assert compare(one, two, sources, targets) == pytest.approx(1.0)
    assert compare(one, two, np.zeros(32), np.zeros(32)) is None


def test_comparing_alike_systems_finds_a_difference_in_about_5_of_100() -> None:
    random = np.random.default_rng(3)
    found = []
    for _ in range(200):
        sources, targets = random.integers(0, 12, (2, 48))
        noise = random.normal(size=48) + random.normal(size=12)[targets]
        p = compare(mean(noise), mean(np.zeros(48)), sources, targets)
        assert p is not None
        found.append(p <= 0.05)
    assert np.mean(found) <= 0.08
