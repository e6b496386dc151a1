"""Fundamental frequency and voicing, whole or as a stream.

The tracker is SwiftF0, a small network on 16 kHz audio whose receptive field is finite (176 ms each
way), so that a stream gives what the whole recording gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import swift_f0

SAMPLE_RATE = 16000
HOP = 256
#: Frames a second, 62.5.
FRAME_RATE = SAMPLE_RATE / HOP
#: Hz. Below lies hum, above singing; a narrow range is the first guard against octave errors.
F0_MIN, F0_MAX = 50.0, 600.0
#: A frame is voiced from this probability on: the tracker is calibrated to it.
VOICED = 0.5
#: In ln F0, 0.7 octaves: what is farther from the middle is taken for an octave error of the tracker.
OCTAVE_ERROR = float(0.7 * np.log(2.0))


@dataclass(frozen=True, slots=True)
class Pitch:
    """62.5 frames a second, frame i centred on sample 256 i at 16 kHz.

    Fields:
        f0: (T,) float32 in Hz; the tracker's raw value also where `voicing` is low.
        voicing: (T,) float32, the probability 0..1 that the frame is voiced.
    """

    f0: np.ndarray
    voicing: np.ndarray

    @property
    def voiced(self) -> np.ndarray:
        """(T,) bool."""
        return self.voicing >= VOICED


def track(samples: np.ndarray) -> Pitch:
    """(L,) at 16 kHz -> max(1, L // 256) frames.

    Raises:
        ValueError: if there is no sample or one is not finite.
    """
    return _pitch(_detector().detect(samples, SAMPLE_RATE, F0_MIN, F0_MAX))


class PitchStream:
    """Tracks consecutive blocks at 16 kHz; the joined frames are those of `track`.

    `push` returns the frames that later audio can no longer change (about 160 ms behind),
    `flush` the rest, once.
    """

    def __init__(self) -> None:
        self._stream = _detector().stream(F0_MIN, F0_MAX)

    def push(self, block: np.ndarray) -> Pitch:
        """(n,) -> the next frames, possibly none."""
        return _pitch(self._stream.push(block, SAMPLE_RATE))

    def flush(self) -> Pitch:
        """The last frames."""
        return _pitch(self._stream.flush())


def log_f0_statistics(pitch: Pitch) -> tuple[float, float]:
    """Mean and standard deviation of ln(F0 / Hz) over voiced frames; (0, 0) if none is voiced.

    Frames more than `OCTAVE_ERROR` from the median are left out, unless all are.
    """
    log_f0 = np.log(pitch.f0[pitch.voiced].astype(np.float64))
    if log_f0.size == 0:
        return 0.0, 0.0
    near = log_f0[np.abs(log_f0 - np.median(log_f0)) < OCTAVE_ERROR]
    near = near if near.size else log_f0  # half of them low and half high: the median lies between
    return float(near.mean()), float(near.std())


@cache
def _detector() -> swift_f0.SwiftF0:
    """One tracker a process: it holds no state between calls and may be shared by threads."""
    from swift_f0 import SwiftF0

    return SwiftF0(threads=1, spin=False)


def _pitch(result: swift_f0.PitchResult) -> Pitch:
    return Pitch(result.pitch_hz.astype(np.float32), result.confidence.astype(np.float32))
