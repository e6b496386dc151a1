"""The bootstrap over speakers, against drawing speakers one by one, and against theory."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, t

from timbrel.intervals import Rate, limits, percent, rate_of_pairs, rate_of_speakers


def test_speakers_are_drawn_with_replacement() -> None:
    random = np.random.default_rng(1)
    counts = random.integers(5, 30, 40)
    errors = random.binomial(counts, 0.2)
    found = rate_of_speakers(errors, counts)
    assert found.value == pytest.approx(errors.sum() / counts.sum())
    drawn = []
    for _ in range(4000):
        own = random.integers(0, 40, 40)
        drawn.append(errors[own].sum() / counts[own].sum())
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.012)
    assert found.high == pytest.approx(high, abs=0.012)


def test_a_pair_counts_as_often_as_both_of_its_speakers_are_drawn() -> None:
    random = np.random.default_rng(2)
    counts = np.triu(random.integers(1, 9, (12, 12)), 1)
    errors = random.binomial(counts, 0.3)
    found = rate_of_pairs(errors, counts)
    drawn = []
    for _ in range(3000):
        own = random.integers(0, 12, 12)
        pairs = [(min(a, b), max(a, b)) for k, a in enumerate(own) for b in own[k + 1 :] if a != b]
        drawn.append(sum(errors[p] for p in pairs) / sum(counts[p] for p in pairs))
    # Hesterberg 2015: of twelve, the normal distribution's tail beyond Student's t times sqrt(n / (n - 1)).
    tail = norm.cdf(np.sqrt(12 / 11) * t.ppf(0.025, 11))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    assert found.low == pytest.approx(low, abs=0.015)
    assert found.high == pytest.approx(high, abs=0.015)


def test_limits_are_moved_out_for_few_speakers() -> None:
    drawn = np.linspace(0, 1, 1001)
    # Hesterberg 2015, as above: the quantile of draws that are spread evenly is the share itself.
    tail = norm.cdf(np.sqrt(5 / 4) * t.ppf(0.025, 4))
    assert limits(drawn, 5) == pytest.approx((tail, 1 - tail))
    assert limits(drawn, 100_000) == pytest.approx((0.025, 0.975), abs=1e-4)


def test_trials_that_share_speakers_say_less_than_their_number() -> None:
    # Ten speakers, one of whom is always refused: the interval is that of ten draws, not of 10,000 trials.
    counts, errors = np.full(10, 1000), np.array([1000] + [0] * 9)
    found = rate_of_speakers(errors, counts)
    assert (found.low, found.value) == (0.0, 0.1)
    assert found.high is not None and found.high >= 0.25


@pytest.mark.parametrize("speakers", [4, 6])
def test_an_interval_of_few_speakers_holds_the_truth_nine_times_in_ten(speakers: int) -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        # Rates of people differ, 0.2 in the mean.
        errors = random.binomial(40, random.beta(2, 8, speakers))
        found = rate_of_speakers(errors, np.full(speakers, 40))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.2 <= found.high
    assert held >= 180  # plain percentiles: 168 and 172


def test_no_errors_are_an_interval_of_nothing() -> None:
    assert rate_of_speakers(np.zeros(5), np.ones(5)) == Rate(0.0, 0.0, 0.0)


@pytest.mark.parametrize("speakers", [1, 2, 3])
def test_of_fewer_than_four_speakers_there_is_no_interval(speakers: int) -> None:
    # Those who have no trial are none.
    counts = np.array([10] * speakers + [0] * 3)
    assert rate_of_speakers(counts * 0.4, counts) == Rate(0.4, None, None)
    table = np.zeros((speakers + 3, speakers + 3))
    table[:speakers, :speakers] = np.triu(np.full((speakers, speakers), 4.0))
    for seed in range(5):
        assert rate_of_pairs(table / 4, table, seed=seed) == Rate(0.25, None, None)


def test_it_is_the_same_at_every_call() -> None:
    counts = np.arange(1, 9)
    assert rate_of_speakers(counts // 2, counts) == rate_of_speakers(counts // 2, counts)


def test_a_rate_is_said_in_per_cent() -> None:
    assert percent(Rate(0.0216, 0.0, 0.13)) == "2.16 % (0.00 to 13.00)"
    assert "too few" in percent(Rate(0.5, None, None))
    assert percent(Rate(0.0, 0.0, 0.0)) == "0.00 % (none seen)"
