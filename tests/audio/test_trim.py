"""Silence is cut off the ends, speech never."""

from __future__ import annotations

import numpy as np
import pytest

from timbrel.audio.trim import sounding

RATE = 16000


def tone(seconds: float, level: float) -> np.ndarray:
    return level * np.sin(2 * np.pi * 200 * np.arange(round(seconds * RATE)) / RATE)


def hiss(seconds: float, level: float) -> np.ndarray:
    return level * np.random.default_rng(0).standard_normal(round(seconds * RATE))


@pytest.mark.parametrize("noise", [0.0, 1e-4, 3e-3])
def test_the_ends_go_and_a_margin_stays(noise: float) -> None:
    samples = np.concatenate([np.zeros(RATE), tone(2.0, 0.3), np.zeros(2 * RATE)]) + hiss(5.0, noise)
    kept = sounding(samples.astype(np.float32), RATE)
    assert abs(kept.start / RATE - 0.8) <= 0.02
    assert abs(kept.stop / RATE - 3.2) <= 0.02


def test_a_pause_inside_stays() -> None:
    samples = np.concatenate([tone(1.0, 0.3), np.zeros(2 * RATE), tone(1.0, 0.3)]).astype(np.float32)
    assert sounding(samples, RATE) == slice(0, 4 * RATE)


def test_a_soft_beginning_stays() -> None:
    # 34 dB below what follows, as a soft fricative may be.
    samples = np.concatenate([hiss(1.0, 1e-4), tone(0.3, 0.006), tone(1.0, 0.3), hiss(1.0, 1e-4)])
    kept = sounding(samples.astype(np.float32), RATE)
    assert kept.start <= 0.82 * RATE


def test_noise_that_is_nearly_as_loud_as_speech_is_left_alone() -> None:
    samples = (np.concatenate([np.zeros(RATE), tone(1.0, 0.1), np.zeros(RATE)]) + hiss(3.0, 0.05)).astype(
        np.float32
    )
    assert sounding(samples, RATE) == slice(0, 3 * RATE)


def test_a_quiet_syllable_stays_where_no_pause_tells_the_noise() -> None:
    # 15 dB below the other, and the quietest there is.
    samples = np.concatenate([tone(0.5, 0.3 * 10 ** (-15 / 20)), tone(1.0, 0.3)]).astype(np.float32)
    assert sounding(samples, RATE) == slice(0, len(samples))


@pytest.mark.parametrize(
    "samples", [np.zeros(0), np.zeros(100), np.zeros(RATE), tone(1.0, 0.5), np.ones(8000)]
)
def test_what_has_no_ends_stays_whole(samples: np.ndarray) -> None:
    assert sounding(samples.astype(np.float32), RATE) == slice(0, len(samples))
