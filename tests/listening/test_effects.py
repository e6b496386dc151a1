"""Intervals hold the truth as often as they say, and their parts are those of the analysis of variance."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import norm, sem, t

from timbrel.listening.effects import Mean, components, mean, share_of
from timbrel.listening.store import Rating


def table(
    random: np.random.Generator, listeners: int, items: int, spread: tuple[float, float, float]
) -> np.ndarray:
    """Ratings around 3, (listeners, items), with the standard deviations of both and of the rest."""
    bent, hard, chance = spread
    return (
        3
        + random.normal(0, bent, (listeners, 1))
        + random.normal(0, hard, (1, items))
        + random.normal(0, chance, (listeners, items))
    )


def mean_of(ratings: np.ndarray, kept: np.ndarray | None = None) -> Mean:
    kept = np.ones(ratings.shape, bool) if kept is None else kept
    cells = [(row, column) for row, column in product(*map(range, ratings.shape)) if kept[row, column]]
    return mean(
        [ratings[cell] for cell in cells],
        [f"L{row}" for row, _ in cells],
        [f"i{column}" for _, column in cells],
    )


def test_of_a_full_table_the_variances_are_those_of_the_analysis_of_variance() -> None:
    ratings = table(np.random.default_rng(1), 7, 9, (0.6, 0.5, 0.4))
    whole, rows, columns = ratings.mean(), ratings.mean(axis=1), ratings.mean(axis=0)
    of_rows = 9 * np.square(rows - whole).sum() / 6
    of_columns = 7 * np.square(columns - whole).sum() / 8
    rest = np.square(ratings - rows[:, None] - columns + whole).sum() / (6 * 8)
    found = mean_of(ratings)
    assert found.value == pytest.approx(whole)
    assert found.of_listeners == pytest.approx(math.sqrt((of_rows - rest) / 9))
    assert found.of_samples == pytest.approx(math.sqrt((of_columns - rest) / 7))
    assert found.of_rest == pytest.approx(math.sqrt(rest))
    assert found.error == pytest.approx(math.sqrt((of_rows + of_columns - rest) / 63))
    assert (found.ratings, found.listeners, found.samples) == (63, 7, 9)


def test_of_items_that_are_alike_the_error_is_that_of_the_listeners_means() -> None:
    ratings = table(np.random.default_rng(2), 8, 6, (0.7, 0.0, 0.3))
    ratings -= ratings.mean(axis=0) - ratings.mean()
    assert mean_of(ratings).error == pytest.approx(sem(ratings.mean(axis=1)))


def test_missing_ratings_do_not_bias_the_variances() -> None:
    random = np.random.default_rng(3)
    found = []
    for _ in range(60):
        ratings, kept = table(random, 20, 24, (0.5, 0.3, 0.7)), random.random((20, 24)) < 0.4
        sums = np.where(kept, ratings - 3, 0.0)
        found.append(components(kept.astype(float), sums, float(np.square(sums).sum())))
    assert np.mean(found, axis=0) == pytest.approx([0.25, 0.09, 0.49], abs=0.03)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_intervals_hold_the_truth_in_95_of_100_studies(share: float) -> None:
    random = np.random.default_rng(4)
    held = np.zeros(3)
    studies = 300
    for _ in range(studies):
        ratings = table(random, 15, 20, (0.5, 0.4, 0.7))
        kept = random.random(ratings.shape) < share
        found = mean_of(ratings, kept)
        single = 1.96 * sem(ratings[kept])
        assert found.student is not None
        assert found.bootstrap is not None
        held += [
            found.student.low < 3 < found.student.high,
            found.bootstrap.low < 3 < found.bootstrap.high,
            abs(found.value - 3) < single,
        ]
    student, bootstrap, naive = held / studies
    assert 0.92 <= student <= 0.98
    assert 0.91 <= bootstrap <= 0.985
    # What the two are for: an interval over single ratings holds it far less often.
    assert naive < 0.75


def test_too_few_to_say_anything_of_others_have_a_mean_only() -> None:
    found = mean_of(np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]))
    assert found.value == 3
    assert found.student is None
    assert found.bootstrap is None
    assert math.isnan(found.error)
    assert math.isnan(mean([], [], []).value)


def test_ratings_that_are_all_equal_leave_no_doubt() -> None:
    found = mean_of(np.full((5, 4), 4.0))
    assert (found.value, found.error) == (4, 0)
    assert found.student is not None
    assert (found.student.low, found.student.high) == (4, 4)


def share(answers: np.ndarray) -> Mean:
    """Of answers of 0 and 1, (listeners, items)."""
    return share_of(
        [
            Rating(f"L{row}", "", f"i{column}", "", "", "ab", float(answers[row, column]), 9.0, "")
            for row, column in product(*map(range, answers.shape))
        ]
    )


def test_a_share_is_the_analysis_of_variance_of_zeros_and_ones() -> None:
    """Worked by hand: mean squares 1/12, 2/3 and 1/12, so variances of 0, 7/36 and 1/12."""
    found = share(np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 0]]))
    assert found.value == pytest.approx(2 / 3)
    assert found.of_listeners == pytest.approx(0, abs=1e-6)
    assert found.of_samples**2 == pytest.approx(7 / 36)
    assert found.error**2 == pytest.approx(7 / 36 / 4 + 1 / 12 / 12)
    freedom = 8**2 / (7**2 / 3 + 1**2 / 11)
    assert found.freedom == pytest.approx(freedom)
    assert found.student is not None
    assert found.student.low == pytest.approx(2 / 3 - t.ppf(0.975, freedom) / math.sqrt(18))
    # Student's t would end at 133 %.
    assert found.student.high == 1


@pytest.mark.parametrize("answer", [0, 1])
def test_that_all_say_one_thing_does_not_say_that_everybody_would(answer: int) -> None:
    found = share(np.full((5, 4), answer))
    assert found.value == answer
    assert (found.student, found.bootstrap) == (None, None)
    assert math.isnan(found.error)


def test_the_bootstrap_of_a_share_holds_the_truth_as_often_as_it_says() -> None:
    """An answer is 1 where bent, ease and chance together lie above a threshold; the truth is 85 %."""
    random = np.random.default_rng(5)
    spread = (0.5, 0.5, 1.0)
    threshold = 3 - norm.ppf(0.85) * math.sqrt(sum(one**2 for one in spread))
    held, studies = 0, 200
    for _ in range(studies):
        limits = share(table(random, 15, 20, spread) > threshold).bootstrap
        held += limits is not None and limits.low < 0.85 < limits.high
    assert 0.9 <= held / studies <= 0.99
