"""Features that a user brings as numbers: of which kind they are, and what they were made with.

The value ranges are those of one real utterance (`docs/doctor.md`): each way of taking the logarithm and
normalising it leaves its floor in silence and its spread in speech.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from timbrel.audio.io import Waveform
from timbrel.audio.mel import PRESETS, MelSpectrogram
from timbrel.audio.resample import resample
from timbrel.contract import FeatureSpec
from timbrel.errors import AudioError

_NEAR = 2e-3
#: Seconds of audio that features are compared with.
_SECONDS = 20.0
#: Mean difference over the spread from which on features are not what they were taken for.
MOST_DIFFERENCE = 0.003

#: Nats: the spread of loud speech is about 1.7 in logarithms of magnitudes, 3.3 in those of power.
_POWER_SPREAD = 2.5
#: Of AutoVC's decibels 0.43, of simple-autovc's values 0.61.
_BETWEEN_MEDIANS = 0.52
#: Natural logarithms scaled and moved by 1.
_SCALES = {1 / 12: "simple-autovc", 1 / 5: "vocgan", 1 / 5.76: "gru"}

#: Kinds by the value that silence has in them.
_FLOORS = {
    -11.512925: "ln",
    0.040590: "simple-autovc",
    -0.998772: "gru",
    -1.302585: "vocgan",
    -5.0: "log10",
    -10.0: "log10",
    -16.118096: "ln-other-floor",
    -20.723266: "ln-other-floor",
    -23.025851: "ln-other-floor",
}
KINDS = {
    "ln": "natural logarithms of magnitudes, floor 1e-5",
    "ln-other-floor": "natural logarithms with a floor below 1e-5",
    "ln-power": "natural logarithms of power (magnitude squared)",
    "log10": "decimal logarithms",
    "db": "decibels between 0 and 1, as AutoVC normalises them",
    "simple-autovc": "natural logarithms as (x + 12) / 12, as simple-autovc normalises them",
    "gru": "natural logarithms as (x + 5.76) / 5.76, as the GRU embedder normalises them itself",
    "vocgan": "natural logarithms as (x + 5) / 5, as VocGAN normalises them itself",
    "standardised": "mean 0 and deviation 1 in each band, as VQVC normalises them with its corpus",
    "linear": "no logarithm: magnitudes or power",
    "unknown": "none of the kinds that are known",
}


@dataclass(frozen=True, slots=True)
class Features:
    """Frames from a file.

    Fields:
        values: (T, D) float64.
        transposed: whether the file has them as (D, T).
        finite: whether all are numbers.
        half: whether they were stored in half precision.
        kind: one of `KINDS`.
    """

    path: Path
    values: np.ndarray
    transposed: bool
    finite: bool
    half: bool
    kind: str


def load(path: Path) -> np.ndarray:
    """The array of an .npy file; nothing pickled is read.

    Raises:
        AudioError: it is no array of numbers.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise AudioError(f"{path} is no array of numbers in NumPy's format: {error}.") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.size == 0:
        raise AudioError(f"{path} holds no numbers that could be features.")
    return array


def examine(path: Path, array: np.ndarray) -> Features:
    """What frames (T, D), (D, T) or with a leading 1 are.

    Raises:
        AudioError: the array has another number of dimensions.
    """
    frames = array[0] if array.ndim == 3 and array.shape[0] == 1 else array
    if frames.ndim != 2:
        raise AudioError(f"{path} has the shape {array.shape}; features have two axes, a vector one.")
    values = frames.astype(np.float64)
    finite = bool(np.isfinite(values).all())
    transposed = finite and _bands_first(values)
    values = values.T if transposed else values
    kind = recognise(values) if finite else "unknown"
    return Features(path, values, transposed, finite, array.dtype == np.float16, kind)


def recognise(values: np.ndarray) -> str:
    """The kind of mel (T, D) by its values: by what silence has in them, else by range and spread."""
    low, spread = float(values.min()), _spread(values)
    for floor, kind in _FLOORS.items():
        if abs(low - floor) < _NEAR:
            return "ln-power" if kind == "ln" and spread > _POWER_SPREAD else kind
    return _positive(values) if low >= 0 else _logarithmic(values, low, spread)


def _spread(values: np.ndarray) -> float:
    """Deviation within the louder half of the frames, so that pauses do not count."""
    loudness = values.mean(axis=1)
    return float(values[loudness >= np.median(loudness)].std())


def _positive(values: np.ndarray) -> str:
    """What has no negative value: no logarithm, or one moved to 0..1."""
    high, median = float(values.max()), float(np.median(values))
    if high > max(1.5, 1e3 * median):
        return "linear"
    if high > 1.0 or median >= _BETWEEN_MEDIANS:
        return "simple-autovc"
    return "db"


def _logarithmic(values: np.ndarray, low: float, spread: float) -> str:
    guesses = (
        ("standardised", _standardised(values)),
        ("ln-power", spread > _POWER_SPREAD),
        ("ln-other-floor", low < -11.6),
        ("ln", spread > 1.1 and low < -4),
        ("log10", 0.4 < spread <= 1.1 and low < -2),
    )
    return next((kind for kind, applies in guesses if applies), "unknown")


def kind_of(spec: FeatureSpec) -> str:
    """The kind that a contract asks for."""
    if spec.kind != "mel" or spec.log == "db":
        autovc = spec.log == "db" and abs(spec.scale - 0.01) < 1e-6 and abs(spec.offset - 0.84) < 1e-6
        return "db" if autovc else "unknown"
    if spec.log != "ln":
        return "linear" if spec.log == "none" else "log10"
    if spec.power == 2:
        return "ln-power"
    if (spec.scale, spec.offset) == (1.0, 0.0):
        return "ln-other-floor" if spec.floor < 0.99e-5 else "ln"
    return next((kind for scale, kind in _SCALES.items() if abs(spec.scale - scale) < 1e-6), "unknown")


@dataclass(frozen=True, slots=True)
class Origin:
    """A front end, and how far what it makes of a recording is from given features.

    Fields:
        name: of the preset, or what differs from the wanted one.
        difference: mean difference over the spread of the features.
        traps: numbers of the traps that the difference belongs to.
    """

    name: str
    difference: float
    traps: tuple[int, ...] = ()


def origins(values: np.ndarray, waveform: Waveform, wanted: FeatureSpec) -> tuple[Origin, ...]:
    """Front ends that could have made features (T, D) of a recording, the closest first."""
    spread = max(float(values.std()), 1e-9)
    found = []
    for name, spec, traps in _variants(wanted):
        if spec.dim == values.shape[1]:
            samples = resample(waveform.samples.numpy(), waveform.sample_rate, spec.sample_rate)
            found.append(Origin(name, _difference(values, samples, spec) / spread, traps))
    if waveform.sample_rate != wanted.sample_rate and wanted.dim == values.shape[1]:
        name = f"audio of {waveform.sample_rate} Hz that was not resampled to {wanted.sample_rate}"
        found.append(Origin(name, _difference(values, waveform.samples.numpy(), wanted) / spread, (7,)))
    return tuple(sorted(found, key=lambda origin: origin.difference))


def durations(frames: int, seconds: float) -> tuple[tuple[int, int], ...]:
    """Sample rates and hops at which so many frames last so long, to a frame and a half."""
    usual = {(spec.sample_rate, spec.hop) for spec in PRESETS.values()} | {(24000, 240), (24000, 300)}
    near = [(rate, hop) for rate, hop in usual if abs(frames - seconds * rate / hop) <= 1.5]
    return tuple(sorted(near))


def _difference(values: np.ndarray, samples: np.ndarray, spec: FeatureSpec) -> float:
    """Mean difference of features and what `spec` makes of the samples, over the shorter of both."""
    count = min(len(samples), round(_SECONDS * spec.sample_rate))
    made = MelSpectrogram(spec)(torch.from_numpy(np.ascontiguousarray(samples[:count]))[None])[0].numpy()
    frames = min(len(made), len(values))
    return float(np.abs(made[:frames] - values[:frames]).mean()) if frames else float("inf")


def _variants(wanted: FeatureSpec) -> Iterator[tuple[str, FeatureSpec, tuple[int, ...]]]:
    """The wanted front end, each with one thing changed, and the presets."""
    yield "as wanted", wanted, ()
    half = wanted.sample_rate / 2
    changes: list[tuple[str, object, int]] = [
        ("mel_scale", "htk" if wanted.mel_scale == "slaney" else "slaney", 1),
        ("mel_norm", "none" if wanted.mel_norm == "slaney" else "slaney", 2),
        ("log", "log10", 3),
        ("log", "ln", 3),
        *(("f_min", hz, 9) for hz in (0.0, 80.0, 90.0, 125.0)),
        *(("f_max", hz, 10) for hz in (7600.0, 8000.0, half) if hz <= half),
        ("power", 2 if wanted.power == 1 else 1, 11),
        *(("floor", floor, 12) for floor in (1e-5, 1e-7, 1e-9, 1e-10)),
        *(("sqrt_eps", eps, 13) for eps in (0.0, 1e-9, 1e-6)),
        ("pad", "same", 14),
        ("pad", "center", 14),
        ("pad", "center-zero", 15),
    ]
    for field, value, trap in changes:
        if getattr(wanted, field) != value:
            changed: FeatureSpec = replace(wanted, **{field: value})  # type: ignore[arg-type]
            yield f"{field} {value} instead of {getattr(wanted, field)}", changed, (trap,)
    for name, spec in PRESETS.items():
        if spec.hop == wanted.hop and spec != wanted:
            yield f"the front end {name}", spec, (4, 5)


def _bands_first(values: np.ndarray) -> bool:
    """Whether the first axis is frequency: the mean along it is a smooth, falling curve."""
    rows, columns = values.shape
    usual = {spec.dim for spec in PRESETS.values()} | {512, 1024}
    if (rows in usual) != (columns in usual):
        return rows in usual
    return _tilt(values.mean(axis=1)) < _tilt(values.mean(axis=0)) - 0.2


def _tilt(curve: np.ndarray) -> float:
    """Correlation with the index: speech falls towards high frequencies and does not over time."""
    if len(curve) < 3 or curve.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(np.arange(len(curve)), curve)[0, 1])


def _standardised(values: np.ndarray) -> bool:
    means, deviations = values.mean(axis=0), values.std(axis=0)
    return bool(np.median(np.abs(means)) < 0.5 and 0.6 < np.median(deviations) < 1.4)
