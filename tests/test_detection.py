"""Error rates, thresholds and costs: by hand, by brute force and against scikit-learn's curves."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import det_curve, roc_curve

from timbrel.detection import error_curve
from timbrel.errors import ConfigError


def scores(seed: int, digits: int = 6) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(0.6, 0.2, 43).round(digits), random.normal(0.2, 0.25, 307).round(digits)


def labelled(same: np.ndarray, different: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat([1, 0], [len(same), len(different)]), np.concatenate([same, different])


@pytest.mark.parametrize("digits", [1, 6])
@pytest.mark.parametrize("seed", range(3))
def test_both_rates_are_those_of_the_roc(seed: int, digits: int) -> None:
    same, different = scores(seed, digits)
    curve = error_curve(same, different)
    accepted, hits, _ = roc_curve(*labelled(same, different), drop_intermediate=False)
    np.testing.assert_allclose(curve.false_accepts[::-1], accepted, atol=1e-12)
    np.testing.assert_allclose(1 - curve.false_rejects[::-1], hits, atol=1e-12)


def test_a_threshold_has_the_rates_that_counting_gives() -> None:
    same, different = scores(0, 2)
    curve = error_curve(same, different)
    for threshold, accepts, rejects in zip(
        curve.thresholds, curve.false_accepts, curve.false_rejects, strict=True
    ):
        assert accepts == pytest.approx(np.mean(different >= threshold))
        assert rejects == pytest.approx(np.mean(same < threshold))


@pytest.mark.parametrize("seed", range(3))
def test_the_least_cost_is_that_of_the_best_of_all_thresholds(seed: int) -> None:
    same, different = scores(seed)
    accepts, misses, _ = det_curve(*labelled(same, different))
    # Settings of NIST SRE 2008: P(target) 0.01, C(miss) 10, C(false accept) 1; accepting nothing costs 0.1.
    brute = min(0.1, *(10 * 0.01 * misses + 0.99 * accepts)) / 0.1
    assert error_curve(same, different).minimum_cost(0.01, 10.0) == pytest.approx(brute)


def test_costs_worked_out_by_hand() -> None:
    curve = error_curve(np.array([0.9, 0.8, 0.6, 0.2]), np.array([0.7, 0.5, 0.3, 0.1]))
    # At even odds: between 0.7 and 0.8 half is missed and nothing accepted; between 0.5 and 0.6 a quarter
    # of each. Both cost 0.25, and accepting everything or nothing 0.5.
    assert curve.minimum_cost(0.5) == pytest.approx(0.5)
    # Where a false accept costs 99 times a miss, nothing may be accepted falsely: half is missed.
    assert curve.minimum_cost(0.01) == pytest.approx(0.5)


def test_a_perfect_separation_puts_the_threshold_in_the_middle_of_the_gap() -> None:
    curve = error_curve(np.array([0.8, 0.9]), np.array([0.1, 0.4]))
    assert curve.equal_error_rate() == 0.0
    assert curve.equal_error_threshold() == pytest.approx(0.6)


def test_the_threshold_of_equal_errors_has_errors_next_to_equal() -> None:
    same, different = scores(1)
    curve = error_curve(same, different)
    threshold = curve.equal_error_threshold()
    larger = max(np.mean(different >= threshold), np.mean(same < threshold))
    every = [max(np.mean(different >= t), np.mean(same < t)) for t in np.linspace(-1, 2, 4001)]
    assert larger == pytest.approx(min(every))


def test_a_false_accept_rate_is_kept_and_no_lower_threshold_would_keep_it() -> None:
    same, different = scores(2)
    threshold = error_curve(same, different).threshold_at(0.05)
    assert np.mean(different >= threshold) <= 0.05
    lower = np.max(different[different < threshold])
    assert np.mean(different >= lower) > 0.05


@pytest.mark.parametrize("rate", [0.01, 0.02, 0.05, 0.3])
def test_a_rate_of_whole_pairs_is_used_up(rate: float) -> None:
    different = np.arange(100) / 200
    threshold = error_curve(np.array([0.9]), different).threshold_at(rate)
    assert int(np.sum(different >= threshold)) == round(100 * rate)


def test_a_rate_that_cannot_be_counted_is_refused() -> None:
    curve = error_curve(np.array([0.9]), np.array([0.1, 0.2, 0.3]))
    with pytest.raises(ConfigError, match=r"0\.33"):
        curve.threshold_at(0.1)


def test_neighbouring_floats_are_told_apart() -> None:
    low, high = 0.5, float(np.nextafter(0.5, 1.0))
    curve = error_curve(np.array([high]), np.array([low]))
    threshold = curve.equal_error_threshold()
    assert low < threshold <= high


@pytest.mark.parametrize("same", [[], [np.nan], [np.inf]])
def test_no_pairs_and_no_numbers_are_refused(same: list[float]) -> None:
    with pytest.raises(ValueError, match=r"pairs|finite"):
        error_curve(np.array(same), np.array([0.1]))
