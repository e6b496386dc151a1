"""Where a spectrum ends as if cut off: the trace that an earlier, lower sample rate leaves."""

from __future__ import annotations

import numpy as np

_SIZE_SECONDS = 0.032
#: Above the wall there is this much less than below it, and nothing comes after.
_FALL_DB = 25.0
#: The wall is this steep: within this share of its frequency.
_WIDTH = 0.12
_LOWEST_HZ = 2500.0
#: A wall above this share of half the sample rate is the recorder's own.
_OWN = 0.85


def wall(samples: np.ndarray, sample_rate: int) -> float | None:
    """Hz at which the long-term spectrum of (L,) samples falls off a cliff and stays down; None without.

    Resampling upwards leaves everything above half of the old rate empty; so does a telephone.
    """
    frequencies, level = _levels(samples, sample_rate)
    if len(level) < 16:
        return None
    rest = np.maximum.accumulate(level[::-1])[::-1]  # the loudest of what is still to come
    best, fall = None, _FALL_DB
    for start in np.flatnonzero((frequencies >= _LOWEST_HZ) & (frequencies <= _OWN * sample_rate / 2)):
        after = np.searchsorted(frequencies, frequencies[start] * (1 + _WIDTH))
        before = np.searchsorted(frequencies, frequencies[start] * (1 - _WIDTH))
        if after >= len(level):
            break
        drop = level[before : start + 1].mean() - rest[after]
        if drop > fall:
            best, fall = float(frequencies[start]), drop
    return best


def _levels(samples: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (N,) and long-term levels (N,) in dB, smoothed over five bins."""
    size = 2 ** round(np.log2(_SIZE_SECONDS * sample_rate))
    if len(samples) < size:
        return np.zeros(0), np.zeros(0)
    windows = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2]
    windows = windows[np.linspace(0, len(windows) - 1, min(len(windows), 2000)).astype(int)]
    # The Blackman window leaks less than 16 bits resolve.
    power = np.square(
        np.abs(np.fft.rfft((windows - windows.mean(axis=1, keepdims=True)) * np.blackman(size)))
    )
    smooth = np.convolve(power.mean(axis=0), np.ones(5) / 5, mode="same")
    floor = max(smooth.max() * 1e-12, 1e-20)
    return np.fft.rfftfreq(size, 1 / sample_rate), 10 * np.log10(np.maximum(smooth, floor))
