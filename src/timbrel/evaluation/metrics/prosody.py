"""Whether it is said the same way: melody, voicing, loudness and speed of the source, kept or not.

Source and converted are first brought onto one time axis by dynamic time warping over cepstra, since a
conversion may change durations. Fundamental frequency and voicing are SwiftF0's, 62.5 frames a second. A
system that models a prosody of its own is not wrong to score low here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timbrel.audio import pitch
from timbrel.audio.pitch import Pitch
from timbrel.evaluation.metrics import Column, Judged
from timbrel.evaluation.metrics.cepstra import cosine_distances, dynamic_time_warping, mel_cepstra
from timbrel.evaluation.metrics.packages import fingerprint
from timbrel.evaluation.metrics.rate import frame_levels, syllables_per_second
from timbrel.evaluation.metrics.recordings import Kept, hear

#: Cepstra that align, how far from the diagonal, and what a sideways step costs besides: without a cost,
#: paths between utterances of equal timing stray by some frames, and steep melodies no longer match.
_ORDER, _BAND, _SIDEWAYS = 12, 0.2, 0.2
#: Octaves from an utterance's median beyond which a frame is creak, or an error of the tracker.
_MOST_OCTAVES = pitch.OCTAVE_ERROR / float(np.log(2.0))
#: Frames that must be voiced in both, 0.3 s, and in an utterance whose median is compared.
_LEAST_VOICED = 20
_LEAST_FOR_MEDIAN = 10
_CENTS = 1200.0 / np.log(2.0)
_NAN = float("nan")

_TRACKED = "SwiftF0 (Nieradzik 2025)"
_INTONATION = f"Clark and Dusterhoff 1999; {_TRACKED}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one utterance is said.

    Fields:
        pitch: T frames.
        levels: (T,) in dB, at most 60 dB below the loudest.
        cepstra: (T, D).
        rate: syllables a second, NaN if there are none.
    """

    pitch: Pitch
    levels: np.ndarray
    cepstra: np.ndarray
    rate: float


class ProsodyMetric:
    """The columns compare the converted utterance with the source's, and `f0_target` with the target's.

    f0_correlation: of the logarithms, over frames voiced in both and within 0.7 octaves of both medians.
    f0_rmse: in cents, each utterance's mean logarithm removed, over the same frames.
    voicing_error: percent of aligned frames that are voiced in one only.
    f0_target: distance of the median from the target's in semitones; a speaker's own wanders by 1 or 2.
    energy_correlation: of the levels in decibels, over all aligned frames.
    speaking_rate: of the converted utterance; `rate_ratio`: divided by the source's.
    """

    name = "prosody"
    columns = (
        Column("f0_correlation", "", "higher", _INTONATION, "F0 correlation"),
        Column("f0_rmse", "cents", "lower", _INTONATION, "F0 RMSE"),
        Column(
            "voicing_error",
            "%",
            "lower",
            f"Nakatani et al. 2008; {_TRACKED}",
            "Voicing error",
            ("voicing_error_errors", "voicing_error_length"),
        ),
        Column("f0_target", "semitones", "lower", _TRACKED, "F0 to target"),
        Column("energy_correlation", "", "higher", "Pearson's correlation", "Energy correlation"),
        Column("speaking_rate", "syllables/s", "neither", "de Jong and Wempe 2009", "Speaking rate"),
        Column("rate_ratio", "", "neither", "de Jong and Wempe 2009", "Rate to source"),
    )

    def __init__(self) -> None:
        self._delivery = Kept(delivery)

    @property
    def fingerprint(self) -> str:
        return fingerprint("prosody-1", ["swift-f0"])

    def measure(self, case: Judged) -> dict[str, float]:
        source, target, said = (self._delivery(path) for path in (case.source, case.target, case.converted))
        return {
            **compare(source, said),
            "f0_target": median_distance(said.pitch, target.pitch),
            "speaking_rate": said.rate,
            "rate_ratio": said.rate / source.rate,
        }


def prosody(model: str, download: bool) -> ProsodyMetric:
    """Needs nothing; both arguments go unused."""
    return ProsodyMetric()


def delivery(path: Path) -> Delivery:
    """How a recording is said.

    Raises:
        AudioError: it cannot be decoded.
    """
    samples = hear(path)
    tracked = pitch.track(samples)
    frames = len(tracked.f0)
    return Delivery(
        pitch=tracked,
        levels=frame_levels(samples, pitch.HOP)[:frames],
        cepstra=mel_cepstra(samples, _ORDER, pitch.HOP)[:frames],
        rate=syllables_per_second(samples, tracked.voiced),
    )


def compare(source: Delivery, said: Delivery) -> dict[str, float]:
    """Melody, voicing and energy over the aligned frames; NaN where there are too few."""
    path = dynamic_time_warping(cosine_distances(source.cepstra, said.cepstra), _BAND, _SIDEWAYS)
    if path is None:
        return dict.fromkeys(_COMPARED, _NAN)
    first, second = path.T
    voiced = source.pitch.voiced[first], said.pitch.voiced[second]
    both = _melodious(source.pitch)[first] & _melodious(said.pitch)[second]
    melody = np.log(source.pitch.f0[first[both]]), np.log(said.pitch.f0[second[both]])
    enough = both.sum() >= _LEAST_VOICED
    differing = voiced[0] ^ voiced[1]
    return {
        "f0_correlation": correlation(*melody) if enough else _NAN,
        "f0_rmse": contour_distance(*melody) if enough else _NAN,
        "voicing_error": 100.0 * float(differing.mean()),
        "voicing_error_errors": float(differing.sum()),
        "voicing_error_length": float(len(path)),
        "energy_correlation": correlation(source.levels[first], said.levels[second]),
    }


def _melodious(track: Pitch) -> np.ndarray:
    """(T,) bool: voiced frames near the median."""
    if not track.voiced.any():
        return track.voiced
    octaves = np.log2(track.f0 / np.median(track.f0[track.voiced]))
    return np.asarray(track.voiced & (np.abs(octaves) < _MOST_OCTAVES))


_COMPARED = (
    "f0_correlation",
    "f0_rmse",
    "voicing_error",
    "voicing_error_errors",
    "voicing_error_length",
    "energy_correlation",
)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's; NaN if one of them does not vary."""
    one, other = (values.astype(np.float64) - values.mean(dtype=np.float64) for values in (first, second))
    scale = float(np.sqrt(np.square(one).mean() * np.square(other).mean()))
    return float((one * other).mean() / scale) if scale > 1e-9 else _NAN


def contour_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Root mean square difference in cents of two contours of ln F0, each about its own mean."""
    apart = (first - first.mean(dtype=np.float64)) - (second - second.mean(dtype=np.float64))
    return float(_CENTS * np.sqrt(np.square(apart).mean()))


def median_distance(said: Pitch, target: Pitch) -> float:
    """Semitones between the medians over voiced frames; NaN where there are too few."""
    voiced = [track.f0[track.voiced] for track in (said, target)]
    if min(len(values) for values in voiced) < _LEAST_FOR_MEDIAN:
        return _NAN
    return 12.0 * abs(float(np.log2(np.median(voiced[0]) / np.median(voiced[1]))))
