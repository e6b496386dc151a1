"""How far the spectrum is from the target speaker's own, where they said the same words.

Mel-cepstral distortion (Kubichek 1993) in decibels, averaged over the path of dynamic time warping:

    MCD = 10 / ln(10) * sqrt(2 * sum_m (c_m - c'_m)^2),   m = 1..24

With the cepstra of `cepstra` that is the root mean square difference of two smooth log spectra over the mel
axis, levels apart. Frames of 32 ms every 10 ms; silence more than 40 dB below the loudest frame is cut off at
both ends. Figures from WORLD's spectra, as papers often have them, differ: compare within one table.
"""

from __future__ import annotations

import numpy as np

from timbrel.evaluation.metrics import Column, Judged
from timbrel.evaluation.metrics.cepstra import dynamic_time_warping, mel_cepstra
from timbrel.evaluation.metrics.packages import fingerprint
from timbrel.evaluation.metrics.recordings import Kept, hear, spoken

ORDER = 24
_HOP = 160
_DECIBELS = 10.0 / np.log(10.0) * np.sqrt(2.0)


class SpectrumMetric:
    """`mcd`, against the case's parallel recording; NaN where there is none."""

    name = "spectrum"
    fingerprint = fingerprint("mcd-1")
    columns = (Column("mcd", "dB", "lower", "Kubichek 1993, mel-cepstral distance", "MCD"),)

    def __init__(self) -> None:
        self._cepstra = Kept(lambda path: mel_cepstra(spoken(hear(path)), ORDER, _HOP))

    def measure(self, case: Judged) -> dict[str, float]:
        if case.parallel is None:
            return {"mcd": float("nan")}
        return {"mcd": distortion(self._cepstra(case.converted), self._cepstra(case.parallel))}


def spectrum(model: str, download: bool) -> SpectrumMetric:
    """Needs nothing; both arguments go unused."""
    return SpectrumMetric()


def distortion(first: np.ndarray, second: np.ndarray) -> float:
    """Cepstra (N, D) and (M, D) -> dB; NaN if they are too long to be aligned."""
    between = _euclidean(first, second)
    path = dynamic_time_warping(between)
    if path is None:
        return float("nan")
    return float(_DECIBELS * between[path[:, 0], path[:, 1]].mean())


def _euclidean(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    squares = np.square(first).sum(axis=1)[:, None] + np.square(second).sum(axis=1) - 2.0 * first @ second.T
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))
