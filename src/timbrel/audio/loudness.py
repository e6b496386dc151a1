"""Loudness and level: LUFS after ITU-R BS.1770-4 by pyloudnorm, RMS and peak in dBFS.

Digital silence has -inf in each of them.
"""

from __future__ import annotations

import math

import numpy as np

#: Models hear speech whose active frames have this RMS (-20 dBFS).
STANDARD_LEVEL = 0.1
#: Length of the frames whose energies say so.
LEVEL_SECONDS = 0.025
#: A frame is active if its energy is within 30 dB of the loudest.
_ACTIVE = 1e-3
#: BS.1770 gates blocks of this length; shorter audio has none.
BLOCK_SECONDS = 0.4


def rms_dbfs(samples: np.ndarray) -> float:
    """Root mean square of (T,) samples against full scale 1, in dB."""
    return _decibels(float(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else -math.inf


def peak_dbfs(samples: np.ndarray) -> float:
    """Largest magnitude of (T,) samples against full scale 1, in dB."""
    return _decibels(float(np.abs(samples).max(initial=0.0)) ** 2)


def standard_gain(energies: np.ndarray) -> float:
    """Gain to `STANDARD_LEVEL` from the mean squares (N,) of frames of some 20 ms; 1 for silence."""
    loudest = energies.max(initial=0.0)
    if loudest <= 0:
        return 1.0
    return float(STANDARD_LEVEL / np.sqrt(energies[energies > loudest * _ACTIVE].mean()))


def level_gain(samples: np.ndarray, sample_rate: int) -> float:
    """Gain that brings a recording (T,) to `STANDARD_LEVEL`."""
    size = round(LEVEL_SECONDS * sample_rate)
    count = max(1, len(samples) // size)
    frames = np.resize(samples[: count * size], (count, size))
    return standard_gain(np.square(frames).mean(axis=1))


def integrated_loudness(samples: np.ndarray, sample_rate: int) -> float:
    """Gated loudness of (T,) mono samples in LUFS.

    Audio shorter than one block is repeated until it fills one, which leaves its loudness as it is.
    """
    import pyloudnorm  # brings scipy, which most commands need not wait for

    if len(samples) == 0 or not samples.any():
        return -math.inf
    block = math.ceil(BLOCK_SECONDS * sample_rate)
    whole = np.resize(samples, max(block, len(samples))).astype(np.float64)
    # The library's default filters are those of 48 kHz; De Man's follow the standard at any rate.
    return float(pyloudnorm.Meter(sample_rate, filter_class="DeMan").integrated_loudness(whole))


def _decibels(power: float) -> float:
    return 10 * math.log10(power) if power > 0 else -math.inf
