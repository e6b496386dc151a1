"""Loudness against the standard's own figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from timbrel.audio.loudness import integrated_loudness, peak_dbfs, rms_dbfs


def sine(frequency: float, rate: int, seconds: float = 2.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def test_full_scale_sine_reads_minus_three() -> None:
    """BS.1770-4: 0 dBFS at 997 Hz in one channel is -3.01 LKFS."""
    assert integrated_loudness(sine(997, 48000), 48000) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("rate", [11025, 16000, 48000])
def test_quiet_passages_do_not_count(rate: int) -> None:
    """BS.1770-4: blocks 10 LU below the rest, and those below -70 LUFS, are gated."""
    loud = sine(997, rate, 4.0)
    gaps = np.concatenate([loud, 1e-2 * loud, 1e-5 * loud, 0 * loud])
    assert integrated_loudness(gaps, rate) == pytest.approx(integrated_loudness(loud, rate), abs=0.35)


def test_twice_the_amplitude_is_six_decibels_louder() -> None:
    noise = 0.1 * np.random.default_rng(2).standard_normal(32000)
    assert integrated_loudness(2 * noise, 16000) - integrated_loudness(noise, 16000) == pytest.approx(
        6.0206, abs=1e-3
    )


def test_shorter_than_a_block_is_estimated() -> None:
    short = integrated_loudness(sine(997, 48000, 0.3), 48000)
    assert short == pytest.approx(integrated_loudness(sine(997, 48000), 48000), abs=0.2)


def test_silence_is_minus_infinity() -> None:
    silence = np.zeros(16000)
    assert integrated_loudness(silence, 16000) == -math.inf
    assert rms_dbfs(silence) == peak_dbfs(silence) == -math.inf
    assert rms_dbfs(np.zeros(0)) == -math.inf


def test_levels_of_a_sine() -> None:
    assert rms_dbfs(sine(1000, 16000)) == pytest.approx(-3.0103, abs=1e-3)
    assert peak_dbfs(0.5 * sine(1000, 16000)) == pytest.approx(-6.0206, abs=1e-3)
