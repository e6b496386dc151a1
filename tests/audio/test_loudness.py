"""Loudness against the standard's own figures and against pyloudnorm."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pyloudnorm
import pytest

from timbrel.audio.loudness import (
    LoudnessMeter,
    integrated_loudness,
    k_weighting,
    peak_dbfs,
    rms_dbfs,
)


def sine(frequency: float, rate: int, seconds: float = 2.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def test_filters_are_those_of_the_standard_at_48_khz() -> None:
    """ITU-R BS.1770-4, tables 1 and 2."""
    (shelf_b, shelf_a), (ear_b, ear_a) = k_weighting(48000)
    np.testing.assert_allclose(shelf_b, [1.53512485958697, -2.69169618940638, 1.19839281085285], atol=1e-8)
    np.testing.assert_allclose(shelf_a, [1.0, -1.69065929318241, 0.73248077421585], atol=1e-8)
    np.testing.assert_allclose(ear_b, [1.0, -2.0, 1.0])
    np.testing.assert_allclose(ear_a, [1.0, -1.99004745483398, 0.99007225036621], atol=1e-8)


def test_full_scale_sine_reads_minus_three() -> None:
    """BS.1770-4: 0 dBFS at 997 Hz in one channel is -3.01 LKFS."""
    assert integrated_loudness(sine(997, 48000), 48000) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("rate", [11025, 16000, 22050, 44100, 48000])
def test_equals_pyloudnorm(rate: int) -> None:
    """Loud, quiet and silent passages, so that both gates matter."""
    noise = np.random.default_rng(0).standard_normal(rate * 6)
    noise *= np.repeat([0.2, 0.02, 0.0, 0.1, 1e-5, 0.3], rate)
    expected = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(noise)
    assert integrated_loudness(noise, rate) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("size", [160, 1601, 30000])
def test_stream_equals_the_whole(size: int) -> None:
    noise = 0.1 * np.random.default_rng(1).standard_normal(11025 * 3)
    meter = LoudnessMeter(11025)
    for start in range(0, len(noise), size):
        meter.push(noise[start : start + size])
    assert meter.integrated() == pytest.approx(integrated_loudness(noise, 11025), abs=1e-6)


def test_twice_the_amplitude_is_six_decibels_louder() -> None:
    noise = 0.1 * np.random.default_rng(2).standard_normal(32000)
    assert integrated_loudness(2 * noise, 16000) - integrated_loudness(noise, 16000) == pytest.approx(
        6.0206, abs=1e-3
    )


def test_shorter_than_a_block_is_estimated() -> None:
    short = integrated_loudness(sine(997, 48000, 0.3), 48000)
    assert short == pytest.approx(integrated_loudness(sine(997, 48000), 48000), abs=0.2)


def test_an_hour_needs_no_more_memory_than_a_minute() -> None:
    meter = LoudnessMeter(16000)
    block = 0.1 * np.ones(160_000)
    tracemalloc.start()
    for _ in range(60):
        meter.push(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * block.nbytes


def test_silence_is_minus_infinity() -> None:
    silence = np.zeros(16000)
    assert integrated_loudness(silence, 16000) == -math.inf
    assert rms_dbfs(silence) == peak_dbfs(silence) == -math.inf
    assert rms_dbfs(np.zeros(0)) == -math.inf


def test_levels_of_a_sine() -> None:
    assert rms_dbfs(sine(1000, 16000)) == pytest.approx(-3.0103, abs=1e-3)
    assert peak_dbfs(0.5 * sine(1000, 16000)) == pytest.approx(-6.0206, abs=1e-3)
