"""Converted speech is as loud as its source, moment by moment, and silent where its source is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from timbrel.level import REACH, fitted, follow_level, limit

HOP = 256
SECOND = 16000 // HOP * HOP


def noise(level: float, samples: int = 2 * SECOND, seed: int = 0) -> Tensor:
    return level * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def decibels(samples: Tensor) -> float:
    return float(10 * samples.double().square().mean().clamp_min(1e-20).log10())


def middle(samples: Tensor) -> Tensor:
    """What is not within half a second of either end."""
    return samples[SECOND // 2 : -SECOND // 2]


def test_each_phrase_has_the_level_of_its_source() -> None:
    levels = (0.2, 0.05, 0.1)
    source = torch.cat([noise(level, seed=i) for i, level in enumerate(levels)])
    converted = noise(0.1, len(source), seed=9)
    levelled = follow_level(converted, source, HOP)
    for said, wanted in zip(levelled.split(2 * SECOND), source.split(2 * SECOND), strict=True):
        assert decibels(middle(said)) == pytest.approx(decibels(middle(wanted)), abs=0.5)


def test_the_sounds_of_speech_keep_their_own_levels() -> None:
    # Loud and quiet by turns every 50 ms: that is the network's affair, not the phrase's.
    shape = torch.tensor([1.0, 0.3]).repeat_interleave(800).repeat(20)
    converted = noise(0.1, len(shape)) * shape
    levelled = follow_level(converted, noise(0.1, len(shape), seed=1), HOP)
    loud, quiet = (middle(levelled)[middle(shape) == value] for value in (1.0, 0.3))
    assert decibels(loud) - decibels(quiet) == pytest.approx(20 * np.log10(1 / 0.3), abs=1.0)


@pytest.mark.parametrize("level", [1e-3, 1e-6, 10.0])
def test_no_gain_beyond_12_db(level: float) -> None:
    converted = noise(level)
    levelled = follow_level(converted, noise(0.1, seed=1), HOP)
    factor = (levelled / converted)[converted != 0].abs()
    limit_gain = 10 ** (12.05 / 20)
    assert factor.max() <= limit_gain
    assert factor.min() >= 1 / limit_gain
    expected = 12.04 if level < 0.1 else -12.04
    assert decibels(middle(levelled)) - decibels(middle(converted)) == pytest.approx(expected, abs=0.01)


def test_digital_silence_in_is_silence_out() -> None:
    source = noise(0.1, 3 * SECOND)
    source[SECOND : 2 * SECOND] = 0.0
    levelled = follow_level(noise(0.1, 3 * SECOND, seed=1), source, HOP)
    silent = levelled[SECOND + 2 * HOP : 2 * SECOND - 2 * HOP]
    assert silent.abs().max() < 1e-3  # -60 dBFS
    assert decibels(levelled[: SECOND // 2]) > -25


def test_a_quiet_room_is_not_cut_off() -> None:
    # -55 dBFS is a quiet recording's background; only what lies far below it fades out.
    source = noise(10 ** (-55 / 20))
    levelled = follow_level(noise(10 ** (-55 / 20), seed=1), source, HOP)
    assert decibels(middle(levelled)) == pytest.approx(-55, abs=0.5)


def test_nothing_converted_stays_nothing() -> None:
    levelled = follow_level(torch.zeros(SECOND), noise(0.1, SECOND), HOP)
    assert torch.equal(levelled, torch.zeros(SECOND))


@pytest.mark.parametrize("samples", [1, 255, 256, 257, 5000])
def test_any_length_keeps_its_length(samples: int) -> None:
    levelled = follow_level(noise(0.1, samples), noise(0.2, samples, seed=1), HOP)
    assert levelled.shape == (samples,)
    assert levelled.isfinite().all()


@pytest.mark.parametrize(("start", "stop"), [(0, 20), (40, 60), (100, 125)])
def test_a_window_gives_what_the_whole_gives(start: int, stop: int) -> None:
    frames = 125
    source, converted = noise(0.1, frames * HOP), noise(0.05, frames * HOP, seed=1)
    source[50 * HOP : 56 * HOP] = 0.0
    whole = follow_level(converted, source, HOP)
    # One frame more than the levels reach: the gain runs straight between the middles of two frames.
    first, last = max(0, start - REACH - 1), min(frames, stop + REACH + 1)
    seen = slice(first * HOP, last * HOP)
    window = follow_level(converted[seen], source[seen], HOP)[(start - first) * HOP : (stop - first) * HOP]
    torch.testing.assert_close(window, whole[start * HOP : stop * HOP], atol=1e-7, rtol=1e-6)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50))
def test_the_limiter_never_exceeds_full_scale(values: list[float]) -> None:
    samples = torch.tensor(values)
    limited = limit(samples)
    assert limited.abs().max() <= 1.0
    small = samples.abs() <= 0.9
    assert torch.equal(limited[small], samples[small])
    assert torch.equal(limited[~small].sign(), samples[~small].sign())


def test_the_limiter_bends_without_a_step() -> None:
    samples = torch.linspace(-1.5, 1.5, 3001)
    limited = limit(samples)
    assert torch.equal(limit(-samples), -limited)
    steps = limited.diff()
    assert steps.min() >= 0
    assert steps.max() <= 0.001 + 1e-6


@pytest.mark.parametrize("missing", [-300, 0, 500])
def test_what_is_made_is_as_long_and_as_loud_as_its_source(missing: int) -> None:
    source = noise(0.02)
    made = fitted(noise(0.3, 2 * SECOND - missing, seed=1), source, 4.0, 128)
    assert len(made) == len(source)
    assert decibels(middle(made)) == pytest.approx(decibels(middle(source)), abs=0.2)
    assert not made[len(source) - missing :].any()
