"""Loudness over time, and from it how fast someone speaks, without knowing the words.

Syllables are counted as de Jong and Wempe (2009) do: a peak of the level is one if it lies within 25 dB of
the loud ones, falls by 2 dB before the next, and is voiced.
"""

from __future__ import annotations

import numpy as np

#: Frames of 64 ms: shorter ones would follow the single periods of a low voice.
_WINDOW = 1024
_HOP = 256
_SAMPLE_RATE = 16000
_RANGE_DB = 25.0
_DIP_DB = 2.0
#: Quieter than this below the loudest frame is all the same.
_FLOOR_DB = 60.0


def frame_levels(samples: np.ndarray, hop: int) -> np.ndarray:
    """(L,) at 16 kHz -> (1 + L // hop,) dB of the power under a Hann window of 64 ms about sample i * hop."""
    window = np.hanning(_WINDOW + 1)[:-1]
    padded = np.pad(np.square(samples, dtype=np.float64), _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::hop]
    power = frames @ (window / window.sum())
    loudest = max(float(power.max()), 1e-12)
    return np.asarray(10.0 * np.log10(np.maximum(power, loudest * 10 ** (-_FLOOR_DB / 10))))


def syllables_per_second(samples: np.ndarray, voiced: np.ndarray) -> float:
    """Syllables over the time from the first loud frame to the last; NaN if there is none.

    Args:
        samples: (L,) at 16 kHz.
        voiced: (T,) of frames 16 ms apart.
    """
    from scipy.signal import find_peaks

    levels = frame_levels(samples, _HOP)[: len(voiced)]
    threshold = float(np.percentile(levels, 99)) - _RANGE_DB
    peaks, _ = find_peaks(levels, height=threshold, prominence=_DIP_DB)
    syllables = int(np.count_nonzero(voiced[peaks]))
    loud = np.flatnonzero(levels > threshold)
    if not syllables:
        return float("nan")
    return syllables * _SAMPLE_RATE / _HOP / float(loud[-1] - loud[0] + 1)
