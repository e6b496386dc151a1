"""Cosines of groups of vectors, against ones worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from timbrel.likeness import cosine_of_groups, divide, parting, unit


def at(*degrees: float) -> np.ndarray:
    """Unit vectors of the plane at these angles."""
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def test_a_unit_vector() -> None:
    np.testing.assert_allclose(unit(np.array([3.0, 4.0])), [0.6, 0.8])
    np.testing.assert_array_equal(unit(np.zeros(2)), [0.0, 0.0])


def test_groups_are_as_alike_as_their_means() -> None:
    # The means of angles 0 and 20 and of 60 and 80 point to 10 and 70 degrees.
    found = cosine_of_groups(at(0, 60, 20, 80), np.array([True, False, True, False]))
    assert found == pytest.approx(np.cos(np.deg2rad(60)))
    assert cosine_of_groups(at(0, 90), np.array([True, True])) == 1.0


def test_two_kinds_are_found() -> None:
    first = divide(at(0, 80, 5, 85, 10))
    assert first.tolist() in ([True, False, True, False, True], [False, True, False, True, False])


def test_two_kinds_part() -> None:
    # Between the kinds the angles are 60, within them 0.
    assert parting(at(0, 60, 0, 60)) == pytest.approx(0.5)
    # Between 0, 10 and 60, 70: 60, 70, 50, 60 degrees; within, 10 and 10.
    between = np.cos(np.deg2rad([60, 70, 50, 60])).mean()
    assert parting(at(0, 10, 60, 70)) == pytest.approx(between / np.cos(np.deg2rad(10)))


def test_one_kind_does_not() -> None:
    assert parting(at(30, 30, 30, 30)) == pytest.approx(1.0)
    assert parting(at(0, 90)) == 1.0
