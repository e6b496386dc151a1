"""Loudness and level: LUFS after ITU-R BS.1770-4, whole or as a stream, RMS and peak in dBFS.

Digital silence has -inf in each of them.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.signal import lfilter

#: BS.1770: blocks of 400 ms every 100 ms, gated at -70 LUFS and 10 LU below the rest's loudness.
STEP_SECONDS = 0.1
STEPS_PER_BLOCK = 4
ABSOLUTE_GATE = -70.0
RELATIVE_GATE = -10.0
_OFFSET = -0.691


def rms_dbfs(samples: np.ndarray) -> float:
    """Root mean square of (T,) samples against full scale 1, in dB."""
    return _decibels(float(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else -math.inf


def peak_dbfs(samples: np.ndarray) -> float:
    """Largest magnitude of (T,) samples against full scale 1, in dB."""
    return _decibels(float(np.abs(samples).max(initial=0.0)) ** 2)


def integrated_loudness(samples: np.ndarray, sample_rate: int) -> float:
    """Gated loudness of (T,) mono samples in LUFS; see `LoudnessMeter`."""
    meter = LoudnessMeter(sample_rate)
    meter.push(samples)
    return meter.integrated()


class LoudnessMeter:
    """Measures consecutive blocks at `sample_rate` Hz; keeps ten numbers for each second.

    Audio shorter than one block of 400 ms has no gated loudness: its K-weighted RMS stands in.
    """

    def __init__(self, sample_rate: int) -> None:
        self._step = STEP_SECONDS * sample_rate
        self._filters = k_weighting(sample_rate)
        self._states = [np.zeros(2) for _ in self._filters]
        self._energies: list[float] = []  # sum of squares of each step
        self._pending = np.zeros(0)  # squares of a step not yet complete
        self._samples = 0

    def push(self, block: np.ndarray) -> None:
        """Takes the next (n,) samples."""
        weighted = np.asarray(block, dtype=np.float64)
        for i, (b, a) in enumerate(self._filters):
            weighted, self._states[i] = lfilter(b, a, weighted, zi=self._states[i])
        self._samples += len(weighted)
        self._pending = np.concatenate([self._pending, np.square(weighted)])
        while len(self._pending) >= (length := self._next_step()):
            self._energies.append(float(self._pending[:length].sum()))
            self._pending = self._pending[length:]

    def integrated(self) -> float:
        """LUFS of everything so far; -inf for silence."""
        steps = np.array(self._energies)
        if len(steps) < STEPS_PER_BLOCK:
            total = float(steps.sum() + self._pending.sum())
            return _loudness(total / max(1, self._samples))
        blocks = np.convolve(steps, np.ones(STEPS_PER_BLOCK), mode="valid")
        return _gated(blocks / (STEPS_PER_BLOCK * self._step))

    def _next_step(self) -> int:
        """Length of the next step; they alternate where 100 ms is not a whole number of samples."""
        done = len(self._energies)
        return int((done + 1) * self._step) - int(done * self._step)


def k_weighting(sample_rate: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """The two biquads (b, a) of BS.1770: a high shelf for the head, a high-pass for the ear.

    The standard gives coefficients at 48 kHz only; these are the analogue filters behind them,
    transformed bilinearly, so that any rate has the same curve (De Man, 2014).
    """
    k = math.tan(math.pi * 1681.974450955533 / sample_rate)
    quality = 0.7071752369554196
    gain = 10 ** (3.999843853973347 / 20)
    middle = gain**0.4996667741545416
    scale = 1 + k / quality + k * k
    shelf = np.array(
        [gain + middle * k / quality + k * k, 2 * (k * k - gain), gain - middle * k / quality + k * k]
    )
    shelf_poles = np.array([scale, 2 * (k * k - 1), 1 - k / quality + k * k])
    k = math.tan(math.pi * 38.13547087602444 / sample_rate)
    quality = 0.5003270373238773
    ear_scale = 1 + k / quality + k * k
    ear_poles = np.array([ear_scale, 2 * (k * k - 1), 1 - k / quality + k * k])
    return (shelf / scale, shelf_poles / scale), (np.array([1.0, -2.0, 1.0]), ear_poles / ear_scale)


def _gated(mean_squares: np.ndarray) -> float:
    """Mean over the blocks that pass both gates."""
    audible = mean_squares[mean_squares > _mean_square(ABSOLUTE_GATE)]
    if len(audible) == 0:
        return -math.inf
    relative = audible.mean() * 10 ** (RELATIVE_GATE / 10)
    return _loudness(float(audible[audible > relative].mean()))


def _loudness(mean_square: float) -> float:
    return _OFFSET + _decibels(mean_square)


def _mean_square(loudness: float) -> float:
    return float(10 ** ((loudness - _OFFSET) / 10))


def _decibels(power: float) -> float:
    return 10 * math.log10(power) if power > 0 else -math.inf
