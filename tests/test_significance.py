"""Adjusting for several tests at once."""

from __future__ import annotations

import numpy as np
import pytest

from timbrel.significance import holm


def test_the_worked_example_of_four() -> None:
    # 0.005 × 4, 0.01 × 3, 0.03 × 2, and 0.04 × 1, which may not fall below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_nothing_grows_beyond_certainty_and_nothing_is_nothing() -> None:
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_what_could_not_be_tested_is_left_out_of_the_count() -> None:
    # As the example of four: neither None is a fifth test.
    found = holm([None, 0.01, 0.04, 0.03, None, 0.005])
    assert [found.pop(4), found.pop(0)] == [None, None]
    assert found == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([None]) == [None]


def test_of_tests_without_any_effect_one_in_twenty_sets_errs() -> None:
    chances = np.random.default_rng(0).random((4000, 6))
    wrong = np.mean([min(holm(row)) <= 0.05 for row in chances])
    assert wrong == pytest.approx(0.05, abs=0.011)
