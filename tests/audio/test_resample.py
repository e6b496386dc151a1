"""soxr at high quality: no alias, no loss below, and a stream that equals the whole."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from timbrel.audio.resample import ResampleStream, resample


def tone(frequency: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return (0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def gain_db(before: np.ndarray, after: np.ndarray) -> float:
    """RMS in the middle half, where the filter has settled."""

    def middle(samples: np.ndarray) -> np.ndarray:
        return samples[len(samples) // 4 : -len(samples) // 4].astype(np.float64)

    return float(20 * np.log10(middle(after).std() / middle(before).std()))


def test_a_tone_above_the_new_band_leaves_no_alias() -> None:
    high = tone(9000, 44100)
    assert gain_db(high, resample(high, 44100, 16000)) < -100


def test_a_tone_below_the_new_band_keeps_its_level() -> None:
    low = tone(7200, 44100)
    assert abs(gain_db(low, resample(low, 44100, 16000))) < 0.1


def test_equals_soxr() -> None:
    noise = np.random.default_rng(0).standard_normal(10000).astype(np.float32)
    np.testing.assert_array_equal(resample(noise, 22050, 16000), soxr.resample(noise, 22050, 16000, "HQ"))


@pytest.mark.parametrize("rates", [(44100, 16000), (48000, 16000), (8000, 16000), (16000, 22050)])
def test_length_follows_the_ratio(rates: tuple[int, int]) -> None:
    given_rate, wanted = rates
    assert abs(len(resample(tone(300, given_rate, 0.777), *rates)) - 0.777 * wanted) <= 1


def test_equal_rates_change_nothing() -> None:
    samples = tone(300, 16000)
    np.testing.assert_array_equal(resample(samples, 16000, 16000), samples)


@settings(max_examples=20, deadline=None)
@given(
    rates=st.sampled_from([(44100, 16000), (16000, 48000), (22050, 16000), (16000, 16000)]),
    sizes=st.lists(st.integers(0, 5000), min_size=1, max_size=8),
)
def test_stream_is_bit_equal_to_the_whole(rates: tuple[int, int], sizes: list[int]) -> None:
    noise = np.random.default_rng(1).standard_normal(sum(sizes) + 700).astype(np.float32)
    stream = ResampleStream(*rates)
    blocks = np.split(noise, np.cumsum(sizes))
    pieces = [stream.push(block) for block in blocks[:-1]] + [stream.push(blocks[-1], last=True)]
    np.testing.assert_array_equal(np.concatenate(pieces), resample(noise, *rates))
