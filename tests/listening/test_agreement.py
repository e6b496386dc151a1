"""Krippendorff's alpha on the examples of Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"."""

from __future__ import annotations

import math

import numpy as np
import pytest

from timbrel.listening.agreement import alpha

N = math.nan
#: Section C: four observers, twelve units, ratings missing.
FOUR = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
        [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
    ]
)


@pytest.mark.parametrize(("level", "value"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_four_observers_with_missing_ratings(level: str, value: float) -> None:
    assert alpha(FOUR, level) == pytest.approx(value, abs=5e-4)


def test_two_observers_of_binary_data() -> None:
    ratings = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], dtype=float)
    assert alpha(ratings, "nominal") == pytest.approx(0.095, abs=5e-4)


def test_two_observers_of_five_categories() -> None:
    names = ["aabbdcccedda", "babbbccceddd"]
    ratings = np.array([[ord(letter) for letter in row] for row in names], dtype=float)
    assert alpha(ratings, "nominal") == pytest.approx(0.692, abs=5e-4)


def test_perfect_agreement_is_one_and_chance_is_zero() -> None:
    random = np.random.default_rng(0)
    ratings = random.integers(1, 6, (6, 3000)).astype(float)
    assert abs(alpha(ratings, "ordinal")) < 0.02
    assert alpha(np.repeat(ratings[:1], 4, axis=0), "interval") == pytest.approx(1.0)


def test_what_cannot_be_compared_has_no_alpha() -> None:
    for ratings in (np.full((2, 3), N), np.array([[1, N], [N, 2.0]]), np.full((3, 4), 2.0), np.zeros((0, 0))):
        assert math.isnan(alpha(ratings, "ordinal"))
