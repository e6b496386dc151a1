"""Mel spectrograms from a `FeatureSpec`, every field stated: the front ends of the field and ours.

All presets share a periodic Hann window and a one-sided transform. Where they differ (padding,
band limits, logarithm, floor, normalisation) two parts of a voice converter silently stop
understanding each other, so a front end is built from its contract and from nothing else.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from timbrel.contract import FeatureSpec
from timbrel.errors import ContractError

#: Order of AutoVC's Butterworth high-pass; run forwards and backwards it acts as twice that.
HIGHPASS_ORDER = 5


class MelSpectrogram(nn.Module):
    """Waveform (B, L) at `spec.sample_rate` in [-1, 1] -> mel frames (B, T, `spec.dim`).

    T is `spec.frames(L)`. Nothing is learned and nothing is stored in the state dict. Gradients
    flow through unless the spec has a high-pass, which is computed outside the graph.

    Raises:
        ContractError: if the spec is not a mel or names a window other than "hann".
    """

    window: Tensor
    filterbank: Tensor

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        if spec.kind != "mel":
            raise ContractError(f'A mel front end needs a spec of kind "mel", not "{spec.kind}".')
        if spec.window_fn != "hann":
            raise ContractError(f'window_fn must be "hann", not "{spec.window_fn}".')
        self.spec = spec
        window = torch.hann_window(spec.window, dtype=torch.float64).float()
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filterbank", filterbank(spec), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """(B, L) -> (B, T, dim).

        Raises:
            ValueError: if the waveform is not (B, L) with L of at least one sample.
        """
        if waveform.dim() != 2 or waveform.shape[1] == 0:
            raise ValueError(f"Expected a waveform (B, L) with L > 0, got {tuple(waveform.shape)}.")
        # Half precision would cost two digits of every quiet bin, so autocast stops here.
        with torch.autocast(waveform.device.type, enabled=False):
            samples = self._prepare(waveform.to(self.window.dtype))
            if self.spec.frames(waveform.shape[1]) == 0:
                return samples.new_zeros(waveform.shape[0], 0, self.spec.dim)
            spectrum = self._spectrum(_pad(samples, self.spec))
            return compress(spectrum.transpose(1, 2) @ self.filterbank.T, self.spec)

    def _prepare(self, waveform: Tensor) -> Tensor:
        if self.spec.highpass_hz is not None:
            waveform = _highpass(waveform, self.spec.highpass_hz, self.spec.sample_rate)
        return waveform * self.spec.prescale

    def _spectrum(self, padded: Tensor) -> Tensor:
        """Magnitude or power, (B, n_fft // 2 + 1, T)."""
        spec = self.spec
        transform = torch.stft(
            padded,
            spec.n_fft,
            hop_length=spec.hop,
            win_length=spec.window,
            window=self.window,
            center=False,
            return_complex=True,
        )
        if spec.power == 1 and spec.sqrt_eps == 0:
            return transform.abs()
        power = transform.real.square() + transform.imag.square()
        return power if spec.power == 2 else (power + spec.sqrt_eps).sqrt()


def compress(mel: Tensor, spec: FeatureSpec) -> Tensor:
    """Linear mel values (any shape) -> the spec's: `scale * log(max(floor, m)) + offset`, clipped.

    "db" is 20 log10. Without a logarithm the floor does not apply.
    """
    if spec.log != "none":
        mel = mel.clamp(min=spec.floor).log() * _PER_NATURAL_LOG[spec.log]
    values = mel * spec.scale + spec.offset
    return values if spec.clip is None else values.clamp(*spec.clip)


def expand(values: Tensor, spec: FeatureSpec) -> Tensor:
    """The inverse of `compress`: linear mel values, up to what floor and clip took away."""
    mel = (values - spec.offset) / spec.scale
    return mel if spec.log == "none" else (mel / _PER_NATURAL_LOG[spec.log]).exp()


_PER_NATURAL_LOG = {"ln": 1.0, "log10": 1 / math.log(10), "db": 20 / math.log(10)}


def filterbank(spec: FeatureSpec) -> Tensor:
    """Triangles on the frequencies of the transform, (dim, n_fft // 2 + 1) float32.

    Neighbouring triangles meet at their centres, which are equally spaced on the mel scale. Norm
    "slaney" divides each by half its width in Hz (Slaney, Auditory Toolbox, 1998).
    """
    edges = _edges(spec)
    bins = np.linspace(0.0, spec.sample_rate / 2, spec.n_fft // 2 + 1)
    low, centre, high = (edges[i : i + spec.dim, None] for i in range(3))
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    if spec.mel_norm == "slaney":
        triangles *= 2.0 / (high - low)
    return torch.from_numpy(triangles.astype(np.float32))


def centres(spec: FeatureSpec) -> np.ndarray:
    """Frequencies in Hz at which the triangles have their tops, (dim,)."""
    return _edges(spec)[1:-1]


def _edges(spec: FeatureSpec) -> np.ndarray:
    """Where the triangles begin, have their tops and end, (dim + 2,) Hz."""
    to_mel, to_hz = _SCALES[spec.mel_scale]
    limits = to_mel(np.array([spec.f_min, spec.f_max]))
    return np.asarray(to_hz(np.linspace(limits[0], limits[1], spec.dim + 2)))


# Slaney's scale is linear to 1 kHz (3 mel for 200 Hz), then 27 mel for each factor of 6.4.
_LINEAR_MEL_PER_HZ = 3.0 / 200.0
_BREAK_HZ = 1000.0
_MEL_PER_LOG = 27.0 / math.log(6.4)


def _hz_to_slaney(frequency: np.ndarray) -> np.ndarray:
    above = np.log(np.maximum(frequency, _BREAK_HZ) / _BREAK_HZ) * _MEL_PER_LOG
    return np.asarray(np.minimum(frequency, _BREAK_HZ) * _LINEAR_MEL_PER_HZ + above)


def _slaney_to_hz(mel: np.ndarray) -> np.ndarray:
    break_mel = _BREAK_HZ * _LINEAR_MEL_PER_HZ
    above = np.exp(np.maximum(mel - break_mel, 0.0) / _MEL_PER_LOG)
    return np.asarray(np.minimum(mel, break_mel) / _LINEAR_MEL_PER_HZ * above)


def _hz_to_htk(frequency: np.ndarray) -> np.ndarray:
    return 2595.0 * np.log10(1.0 + frequency / 700.0)


def _htk_to_hz(mel: np.ndarray) -> np.ndarray:
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


_SCALES = {"slaney": (_hz_to_slaney, _slaney_to_hz), "htk": (_hz_to_htk, _htk_to_hz)}


def _pad(waveform: Tensor, spec: FeatureSpec) -> Tensor:
    if spec.pad == "same":
        left = (spec.n_fft - spec.hop) // 2
        return _reflect(waveform, left, spec.n_fft - spec.hop - left)
    if spec.pad == "center":
        return _reflect(waveform, spec.n_fft // 2, spec.n_fft // 2)
    return F.pad(waveform, (spec.n_fft // 2, spec.n_fft // 2))


def _reflect(waveform: Tensor, left: int, right: int) -> Tensor:
    """Mirrors (B, L) at both ends, again and again where L is shorter than the padding."""
    length = waveform.shape[1]
    if length > max(left, right):
        return F.pad(waveform, (left, right), mode="reflect")
    period = max(1, 2 * (length - 1))
    index = torch.arange(-left, length + right, device=waveform.device) % period
    return waveform[:, torch.minimum(index, period - index)]


def _highpass(waveform: Tensor, cutoff: float, sample_rate: int) -> Tensor:
    """Zero-phase Butterworth high-pass over the last axis, in double precision as AutoVC has it."""
    from scipy.signal import butter, filtfilt

    b, a = butter(HIGHPASS_ORDER, cutoff, btype="high", fs=sample_rate)
    samples = waveform.detach().cpu().double().numpy()
    edge = min(3 * len(b), samples.shape[-1] - 1)
    filtered = filtfilt(b, a, samples, padlen=edge)
    return torch.from_numpy(filtered.copy()).to(waveform)


_CENTRED_16K = FeatureSpec(
    kind="mel",
    sample_rate=16000,
    hop=256,
    dim=80,
    n_fft=1024,
    window=1024,
    pad="center",
    f_min=0.0,
    f_max=8000.0,
    log="ln",
    floor=1e-5,
)
_CENTRED_22K = replace(_CENTRED_16K, sample_rate=22050)
_HIFIGAN_22K = replace(_CENTRED_22K, pad="same", sqrt_eps=1e-9)

#: Front ends by name. AutoVC's decibels are `20 log10(m) - 16`, then `(dB + 100) / 100`; its added
#: noise of 1e-6 is left out, so that equal audio gives equal frames.
PRESETS: dict[str, FeatureSpec] = {
    "autovc-16k": replace(
        _CENTRED_16K,
        f_min=90.0,
        f_max=7600.0,
        log="db",
        scale=0.01,
        offset=0.84,
        clip=(0.0, 1.0),
        highpass_hz=30.0,
        prescale=0.96,
    ),
    "simple-autovc-16k": replace(_CENTRED_16K, scale=1 / 12, offset=1.0, highpass_hz=30.0, prescale=0.96),
    "hifigan-22k": _HIFIGAN_22K,
    "hifigan-16k": replace(_HIFIGAN_22K, sample_rate=16000),
    "tacotron-22k": _CENTRED_22K,
    "vqvc-22k": _CENTRED_22K,
    "vocgan-22k": _CENTRED_22K,
    # The encoder was trained when librosa reflected at the ends (before 0.9), so this reflects.
    "resemblyzer-16k": replace(_CENTRED_16K, hop=160, dim=40, n_fft=400, window=400, power=2, log="none"),
    "knn-vc": replace(_CENTRED_16K, hop=320, pad="same"),
    "timbrel-16k": replace(_CENTRED_16K, hop=128, n_fft=512, window=512),
    "vocos-24k": replace(
        _CENTRED_16K,
        sample_rate=24000,
        dim=100,
        f_max=12000.0,
        mel_scale="htk",
        mel_norm="none",
        floor=1e-7,
    ),
}
