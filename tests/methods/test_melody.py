"""Where a source's melody goes in another voice, on melodies whose mean and deviation are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from timbrel.analysis import Analysis
from timbrel.methods.melody import in_voice
from timbrel.voice import Voice


def source(mean: float, deviation: float) -> Analysis:
    return Analysis(16000, 1.0, np.zeros(64), np.ones(64), mean, deviation)


def voice(mean: float, deviation: float) -> Voice:
    return Voice("little", "", {}, {}, mean, deviation, 5.0, ("her.wav",))


def melody(mean: float, deviation: float) -> np.ndarray:
    """A sine of whole periods: its deviation is its amplitude over the root of 2."""
    return mean + math.sqrt(2) * deviation * np.sin(np.linspace(0, 8 * np.pi, 400, endpoint=False))


def test_mean_and_deviation_become_the_voices() -> None:
    moved = in_voice(melody(4.7, 0.10), source(4.7, 0.10), voice(5.3, 0.17))
    assert moved.mean() == pytest.approx(5.3)
    assert moved.std() == pytest.approx(0.17)
    # The same melody still: only its range is another.
    assert np.corrcoef(moved, melody(4.7, 0.10))[0, 1] == pytest.approx(1.0)


@pytest.mark.parametrize(("lively", "factor"), [(1.0, 2.0), (0.01, 0.5)])
def test_a_range_changes_at_most_twofold(lively: float, factor: float) -> None:
    assert in_voice(melody(5, 0.1), source(5, 0.1), voice(5, lively)).std() == pytest.approx(0.1 * factor)


def test_a_slip_of_the_tracker_gets_no_farther() -> None:
    octave = math.log(2)
    moved = in_voice(np.array([5.0, 5.0 + octave]), source(5.0, 0.1), voice(5.0, 0.2))
    # 0.7 octaves are doubled, the 0.3 beyond them are not.
    np.testing.assert_allclose(moved - 5.0, [0.0, 1.7 * octave])


@pytest.mark.parametrize(("own", "wanted"), [((0.0, 0.0), (5.0, 0.1)), ((5.0, 0.1), (0.0, 0.0))])
def test_without_a_pitch_on_either_side_nothing_moves(
    own: tuple[float, float], wanted: tuple[float, float]
) -> None:
    heard = melody(5.0, 0.1)
    np.testing.assert_array_equal(in_voice(heard, source(*own), voice(*wanted)), heard)


def test_an_unknown_deviation_leaves_the_range() -> None:
    heard = melody(5.0, 0.1)
    np.testing.assert_allclose(in_voice(heard, source(5.0, 0.1), voice(5.5, 0.0)), heard + 0.5)


def test_what_comes_out_is_of_the_type_that_went_in() -> None:
    assert in_voice(np.full(3, 5.0, np.float32), source(5, 0.1), voice(5, 0.2)).dtype == np.float32
