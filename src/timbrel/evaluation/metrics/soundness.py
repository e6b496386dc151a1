"""What is plainly wrong with a converted file, whatever it says and whoever it is.

A file is flagged if it holds NaN or infinity, is silent (peak below -60 dBFS) or shorter than 0.2 s, has over
0.2 % of its samples stuck at a peak near full scale, or lasts less than half or more than twice as long as
the source.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from timbrel.evaluation.metrics import Column, Judged
from timbrel.evaluation.metrics.packages import fingerprint
from timbrel.evaluation.metrics.recordings import Kept, raw

_OURS = "Timbrel"
_SILENT_PEAK = 1e-3
_LEAST_SECONDS = 0.2
#: Peaks are compared with full scale, and samples with the peak.
_FULL_SCALE, _AT_PEAK = 0.98, 0.999
_MOST_CLIPPED = 0.2
_LEAST_RATIO, _MOST_RATIO = 0.5, 2.0


class SoundnessMetric:
    """`duration_ratio` (converted to source), `clipped` (percent of samples), and `flagged` (1 or 0)."""

    name = "soundness"
    fingerprint = fingerprint("soundness-1")
    columns = (
        Column("duration_ratio", "", "neither", _OURS, "Duration to source"),
        Column("clipped", "%", "lower", _OURS, "Clipped"),
        Column("flagged", "", "lower", _OURS, "Flagged"),
    )

    def __init__(self) -> None:
        self._seconds = Kept(_seconds)

    def measure(self, case: Judged) -> dict[str, float]:
        samples, rate = raw(case.converted)
        ratio = len(samples) / rate / self._seconds(case.source)
        clipped, broken = clipped_share(samples), not bool(np.isfinite(samples).all())
        silent = _peak(samples) < _SILENT_PEAK or len(samples) / rate < _LEAST_SECONDS
        odd = broken or silent or clipped > _MOST_CLIPPED or not _LEAST_RATIO <= ratio <= _MOST_RATIO
        return {"duration_ratio": ratio, "clipped": clipped, "flagged": float(odd)}


def soundness(model: str, download: bool) -> SoundnessMetric:
    """Needs nothing; both arguments go unused."""
    return SoundnessMetric()


def clipped_share(samples: np.ndarray) -> float:
    """Percent of samples at the recording's own peak, if that is near full scale; otherwise 0."""
    peak = _peak(samples)
    if peak <= _FULL_SCALE:
        return 0.0
    return 100.0 * float((np.abs(np.nan_to_num(samples, posinf=0.0, neginf=0.0)) >= _AT_PEAK * peak).mean())


def _peak(samples: np.ndarray) -> float:
    return float(np.abs(np.nan_to_num(samples, posinf=0.0, neginf=0.0)).max(initial=0.0))


def _seconds(path: Path) -> float:
    samples, rate = raw(path)
    return len(samples) / rate
