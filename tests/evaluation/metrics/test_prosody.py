"""Melody, voicing, energy and speed on tones whose melody, voicing, energy and speed are known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from timbrel.audio.pitch import Pitch
from timbrel.evaluation.metrics import load
from timbrel.evaluation.metrics.prosody import (
    contour_distance,
    correlation,
    median_distance,
    prosody,
)
from timbrel.evaluation.metrics.rate import frame_levels, syllables_per_second

from .cases import RATE, Given, sung, write

SECONDS = 2.0
RISE_AND_FALL = 150.0 * 2 ** (0.25 * np.sin(np.linspace(0, 4 * np.pi, 200)))


def speech(contour: np.ndarray, first_silence: float = 0.0) -> np.ndarray:
    """A tone that swells four times a second, each time with another resonance, so that it can be aligned."""
    tone = sung(contour, SECONDS)
    tone[: int(first_silence * RATE)] = 0
    made = np.random.default_rng(0).normal(0, 0.002, len(tone))
    for swell, hertz in enumerate((700, 2500, 400, 1600, 3200, 500, 2000, 1000)):
        place = slice(swell * RATE // 4, (swell + 1) * RATE // 4)
        turn = np.exp(2j * np.pi * hertz / RATE - np.pi * 120 / RATE)
        coloured = lfilter([1 - abs(turn)], np.poly([turn, turn.conjugate()]).real, tone)
        made[place] += 0.3 * np.hanning(RATE // 4) * coloured[place] / np.abs(coloured).max(initial=1e-6)
    return made


def measured(tmp_path: Path, source: np.ndarray, converted: np.ndarray) -> dict[str, float]:
    paths = write(tmp_path / "source.wav", source), write(tmp_path / "converted.wav", converted)
    return prosody("", False).measure(Given(paths[0], paths[0], paths[1]))


def test_the_same_melody_an_octave_third_higher_is_kept(tmp_path: Path) -> None:
    found = measured(tmp_path, speech(RISE_AND_FALL), speech(RISE_AND_FALL * 2 ** (4 / 12)))
    assert found["f0_correlation"] > 0.98
    assert found["f0_rmse"] < 60
    assert found["f0_target"] == pytest.approx(4.0, abs=0.3)
    assert found["voicing_error"] < 10
    assert found["energy_correlation"] > 0.95


def test_a_melody_upside_down_is_not_kept(tmp_path: Path) -> None:
    found = measured(tmp_path, speech(RISE_AND_FALL), speech(150.0**2 / RISE_AND_FALL))
    assert found["f0_correlation"] < -0.8
    # A sine of 300 cents against its mirror image: 600 / sqrt 2 = 424.
    assert found["f0_rmse"] == pytest.approx(424, abs=60)


def test_half_of_it_unvoiced_is_a_voicing_error_of_half(tmp_path: Path) -> None:
    found = measured(tmp_path, speech(RISE_AND_FALL), speech(RISE_AND_FALL, first_silence=SECONDS / 2))
    assert found["voicing_error"] == pytest.approx(50, abs=12)
    ratio = found["voicing_error_errors"] / found["voicing_error_length"]
    assert found["voicing_error"] == pytest.approx(100 * ratio)


def test_noise_has_no_melody(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).normal(0, 0.1, int(SECONDS * RATE))
    found = measured(tmp_path, speech(RISE_AND_FALL), noise)
    assert math.isnan(found["f0_correlation"])
    assert math.isnan(found["f0_target"])
    assert found["voicing_error"] > 70


def test_another_tracker_finds_the_same(tmp_path: Path) -> None:
    pytest.importorskip("pyworld")
    source = write(tmp_path / "source.wav", speech(RISE_AND_FALL))
    higher = write(tmp_path / "higher.wav", speech(RISE_AND_FALL * 2 ** (4 / 12)))
    found = load("melody").measure(Given(source, source, higher))
    assert found["dio_f0_correlation"] > 0.95
    assert found["dio_f0_target"] == pytest.approx(4.0, abs=0.3)
    silent = write(tmp_path / "silent.wav", np.zeros(int(SECONDS * RATE)))
    assert math.isnan(load("melody").measure(Given(source, source, silent))["dio_f0_correlation"])


def test_contours_are_compared_in_cents_about_their_means() -> None:
    steps = np.log(np.array([100.0, 200.0]))
    assert contour_distance(steps, steps + 1) == pytest.approx(0)
    # An octave apart at both ends of a mean that is half-way: 600 cents each way from a flat line.
    assert contour_distance(steps, np.zeros(2)) == pytest.approx(600)


def test_correlation_is_numpys() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=40), rng.normal(size=40)
    assert correlation(first, second) == pytest.approx(np.corrcoef(first, second)[0, 1])
    assert math.isnan(correlation(first, np.ones(40)))


def test_medians_an_octave_apart_are_twelve_semitones() -> None:
    low, high = (Pitch(np.full(20, hertz, np.float32), np.ones(20, np.float32)) for hertz in (110, 220))
    assert median_distance(low, high) == pytest.approx(12)
    short = Pitch(low.f0[:9], low.voicing[:9])
    assert math.isnan(median_distance(short, high))


@pytest.mark.parametrize("rate", [3, 5])
def test_swells_are_syllables(rate: int) -> None:
    time = np.arange(4 * RATE) / RATE
    tone = (0.51 - 0.49 * np.cos(2 * np.pi * rate * time)) * np.sin(2 * np.pi * 200 * time)
    assert syllables_per_second(tone, np.ones(250, bool)) == pytest.approx(rate, rel=0.08)
    assert math.isnan(syllables_per_second(tone, np.zeros(250, bool)))


def test_the_level_of_a_tone_is_that_of_its_power() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    levels = frame_levels(tone, 256)
    assert len(levels) == 1 + RATE // 256
    assert levels[20:40] == pytest.approx(10 * np.log10(0.125), abs=0.01)
