"""The melody again, by a tracker that no bundled model knows: WORLD's DIO, refined by StoneMask.

SwiftF0, whose figures `prosody` has, also tells the bundled converters which melody to sing, so that it may
be lenient with them. DIO (Morise et al. 2009) shares nothing with it. It loses the pitch of audio whose
phases are incoherent, such as Griffin-Lim's: these figures are then void.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from timbrel.audio import pitch
from timbrel.audio.pitch import Pitch
from timbrel.evaluation.metrics import Column, Judged
from timbrel.evaluation.metrics.packages import EXTRA, fingerprint
from timbrel.evaluation.metrics.prosody import Delivery, compare, delivery, median_distance
from timbrel.evaluation.metrics.rate import frame_levels
from timbrel.evaluation.metrics.recordings import SAMPLE_RATE, Kept, hear
from timbrel.packages import require

_F0_MIN, _F0_MAX = 60.0, 500.0
#: Frames quieter than this below the loudest are not voiced.
_QUIET_DB = 35.0
_PAPER = "Morise et al. 2009, DIO; 2016, StoneMask"


class MelodyMetric:
    """`prosody`'s figures of the melody, by DIO; their names begin with `dio_`."""

    name = "melody"
    columns = (
        Column("dio_f0_correlation", "", "higher", _PAPER, "F0 correlation (DIO)"),
        Column("dio_f0_rmse", "cents", "lower", _PAPER, "F0 RMSE (DIO)"),
        Column(
            "dio_voicing_error",
            "%",
            "lower",
            _PAPER,
            "Voicing error (DIO)",
            ("dio_voicing_error_errors", "dio_voicing_error_length"),
        ),
        Column("dio_f0_target", "semitones", "lower", _PAPER, "F0 to target (DIO)"),
    )

    def __init__(self) -> None:
        self._delivery = Kept(_delivery)

    @property
    def fingerprint(self) -> str:
        return fingerprint("melody-1", ["pyworld-prebuilt,pyworld"])

    def measure(self, case: Judged) -> dict[str, float]:
        source, target, said = (self._delivery(path) for path in (case.source, case.target, case.converted))
        found = compare(source, said) | {"f0_target": median_distance(said.pitch, target.pitch)}
        keys = [key for column in self.columns for key in (column.name, *column.pooled)]
        return {key: found[key.removeprefix("dio_")] for key in keys}


def melody(model: str, download: bool) -> MelodyMetric:
    """Needs pyworld; both arguments go unused.

    Raises:
        EvaluationError: it is missing.
    """
    require("The melody by DIO", ["pyworld"], EXTRA)
    return MelodyMetric()


def dio(samples: np.ndarray) -> Pitch:
    """(L,) at 16 kHz -> max(1, L // 256) frames; `f0` is the median where nothing is voiced."""
    import pyworld

    double = samples.astype(np.float64)
    period = 1000.0 * pitch.HOP / SAMPLE_RATE
    coarse, times = pyworld.dio(double, SAMPLE_RATE, _F0_MIN, _F0_MAX, frame_period=period)
    levels = frame_levels(samples, pitch.HOP)
    frames = max(1, len(samples) // pitch.HOP)
    f0 = pyworld.stonemask(double, coarse, times, SAMPLE_RATE)[:frames]
    voiced = (f0 > 0) & (levels[: len(f0)] > levels.max() - _QUIET_DB)
    usual = float(np.median(f0[voiced])) if voiced.any() else _F0_MIN
    return Pitch(np.where(voiced, f0, usual).astype(np.float32), voiced.astype(np.float32))


def _delivery(path: Path) -> Delivery:
    return replace(delivery(path), pitch=dio(hear(path)))
