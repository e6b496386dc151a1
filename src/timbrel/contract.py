"""The contract of every tensor that crosses from one part to another.

A mel in decibels given to a vocoder that expects natural logarithms has the right shape and the
wrong meaning; people meet it as "squeaky noise". Here each joint compares what is given with what
is wanted: `compare` answers `Exact`, `Bridge` (an affine change of values, done exactly), `Lossy`
(possible only with loss, so it needs permission) or raises `ContractError`.

Plain data: nothing here imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from timbrel.errors import ContractError

#: Nothing has more: no frame values, no window samples, no network channels. It would only fill the memory.
LARGEST = 1 << 15

#: Factor that turns a logarithm of an amplitude of this kind into natural logarithms.
_TO_NATURAL_LOG = {"ln": 1.0, "log10": math.log(10.0), "db": math.log(10.0) / 20.0}


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """What a sequence of frames means: (B, T, `dim`), `sample_rate / hop` frames a second.

    A mel value is `scale * log(max(floor, m)) + offset`, clipped to `clip`, where `m` is the
    magnitude (`power` 1) or power (`power` 2) spectrum through the mel filterbank.

    A waveform, fed to networks that make their own features, is frames of one sample: hop 1, dim 1,
    values in [-1, 1].

    Fields:
        pad: "center" pads `n_fft // 2` on both sides, so that frame i is centred on sample
            `i * hop` and there are `1 + samples // hop` frames; "same" pads `(n_fft - hop) / 2`,
            so that there are `samples // hop`. Both reflect; "center-zero" pads with zeros.
        sqrt_eps: added to the power before the square root (HiFi-GAN 1e-9, FreeVC 1e-6).
        prescale: factor on the waveform before framing (AutoVC 0.96).
        encoder: fingerprint of the weights that made learned frames.
    """

    kind: Literal["mel", "learned", "waveform"]
    sample_rate: int
    hop: int
    dim: int
    # mel only
    n_fft: int = 0
    window: int = 0
    window_fn: str = "hann"
    pad: Literal["center", "center-zero", "same"] = "center"
    f_min: float = 0.0
    f_max: float = 0.0
    mel_scale: Literal["slaney", "htk"] = "slaney"
    mel_norm: Literal["slaney", "none"] = "slaney"
    power: Literal[1, 2] = 1
    sqrt_eps: float = 0.0
    log: Literal["ln", "log10", "db", "none"] = "ln"
    floor: float = 1e-5
    scale: float = 1.0
    offset: float = 0.0
    clip: tuple[float, float] | None = None
    highpass_hz: float | None = None
    prescale: float = 1.0
    # learned only
    encoder: str = ""

    def __post_init__(self) -> None:
        if self.kind not in ("mel", "learned", "waveform"):
            raise ContractError(f'A feature kind is "mel", "learned" or "waveform", not "{self.kind}".')
        for name in ("sample_rate", "hop", "dim"):
            if getattr(self, name) <= 0:
                raise ContractError(f"{name} must be positive, not {getattr(self, name)}.")
        for name in ("hop", "dim", "n_fft"):
            if getattr(self, name) > LARGEST:
                raise ContractError(f"{name} must be at most {LARGEST}, not {getattr(self, name)}.")
        if self.kind == "mel":
            self._check_mel()
        if self.kind == "waveform" and (self.hop, self.dim) != (1, 1):
            raise ContractError(f"A waveform has hop 1 and dim 1, not {self.hop} and {self.dim}.")

    def _check_mel(self) -> None:
        if not 0 < self.window <= self.n_fft:
            raise ContractError(f"window must lie in 1..n_fft={self.n_fft}, not {self.window}.")
        if not 0 <= self.f_min < self.f_max <= self.sample_rate / 2:
            raise ContractError(
                f"f_min {self.f_min} and f_max {self.f_max} Hz must rise and stay within half "
                f"the sample rate of {self.sample_rate} Hz."
            )
        if self.log != "none" and self.floor <= 0:
            raise ContractError("A logarithmic mel needs a floor above 0.")

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop

    def frames(self, samples: int) -> int:
        """Number of frames that `samples` samples at this spec's rate give, of a mel or a waveform.

        Raises:
            ContractError: it is learned; how many there are is the network's affair.
        """
        if self.kind == "learned":
            raise ContractError("Only its network knows how many learned frames there are.")
        if self.kind == "waveform" or self.pad == "same":
            return samples // self.hop
        return 1 + samples // self.hop


@dataclass(frozen=True, slots=True)
class EmbeddingSpec:
    """One vector (E,) for a voice: which weights made it, from what, and whether it has unit length."""

    encoder: str
    dim: int
    l2_normalised: bool
    input: FeatureSpec


@dataclass(frozen=True, slots=True)
class Exact:
    """Given and wanted mean the same."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """Wanted = `scale` * given + `offset`, exactly."""

    scale: float
    offset: float


@dataclass(frozen=True, slots=True)
class Lossy:
    """Wanted = `scale` * given + `offset` up to a loss that `reasons` states."""

    scale: float
    offset: float
    reasons: tuple[str, ...] = field(default=())


Verdict = Exact | Bridge | Lossy


def compare(given: FeatureSpec, wanted: FeatureSpec) -> Verdict:
    """Says whether frames of `given` can be used where `wanted` is expected.

    Two mels that differ only in how the logarithm is scaled and shifted are bridged exactly, since
    both are affine in ln(amplitude). If their floors differ or the given one was clipped, quiet
    frames differ and the verdict is `Lossy`.

    Raises:
        ContractError: naming each field that differs and cannot be bridged.
    """
    if given == wanted:
        return Exact()
    differing = list(_unbridgeable(given, wanted))
    if differing:
        raise ContractError(f"The parts do not fit: {'; '.join(differing)}.")
    scale, offset = _affine(given, wanted)
    reasons = tuple(_losses(given, wanted))
    return Lossy(scale, offset, reasons) if reasons else Bridge(scale, offset)


def require_exact(given: FeatureSpec, wanted: FeatureSpec) -> None:
    """Checks a joint that has no room for a bridge.

    Raises:
        ContractError: naming each field that differs.
    """
    if compare(given, wanted) != Exact():
        raise ContractError(f"The parts do not fit: {describe_differences(given, wanted)}.")


# Fields of a mel that an affine map (and, with loss, a floor or a clip) can bring together.
_BRIDGEABLE = frozenset({"log", "floor", "scale", "offset", "clip"})


def differences(given: Any, wanted: Any) -> Iterator[tuple[str, Any, Any]]:
    """Name, given and wanted value of each field in which two specs of one class differ."""
    for item in fields(given):
        one, two = getattr(given, item.name), getattr(wanted, item.name)
        if one != two:
            yield item.name, one, two


def describe_differences(given: Any, wanted: Any) -> str:
    """Every field that differs, as errors name them."""
    return "; ".join(
        f"{name} is {_show(one)}, wanted {_show(two)}" for name, one, two in differences(given, wanted)
    )


def _show(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _unbridgeable(given: FeatureSpec, wanted: FeatureSpec) -> Iterator[str]:
    mels = given.kind == wanted.kind == "mel"
    for name, one, two in differences(given, wanted):
        if not mels or name not in _BRIDGEABLE:
            yield f"{name} is {_show(one)}, wanted {_show(two)}"
    linear = (given.log == "none") != (wanted.log == "none")
    if mels and linear:
        yield f"log is {_show(given.log)}, wanted {_show(wanted.log)}"


def _affine(given: FeatureSpec, wanted: FeatureSpec) -> tuple[float, float]:
    """`(scale, offset)` with wanted = scale * given + offset."""
    rate = _TO_NATURAL_LOG.get(given.log, 1.0) / _TO_NATURAL_LOG.get(wanted.log, 1.0)
    scale = wanted.scale * rate / given.scale
    return scale, wanted.offset - scale * given.offset


def _losses(given: FeatureSpec, wanted: FeatureSpec) -> Iterator[str]:
    if given.log != "none" and given.floor > wanted.floor:
        yield f"floor is {given.floor:g}, wanted {wanted.floor:g}: quiet frames stay louder"
    if given.clip is not None and given.clip != wanted.clip:
        yield f"clip is {given.clip}, wanted {wanted.clip}: what lies outside is lost"
    if given.clip is not None and given.clip == wanted.clip and _affine(given, wanted) != (1.0, 0.0):
        yield f"clip is {given.clip} of another scale: what lies outside is lost"
    if wanted.clip is not None and given.clip is None:
        yield f"clip is None, wanted {wanted.clip}: what lies outside will be cut"
    if given.log != "none" and given.floor < wanted.floor:
        yield f"floor is {given.floor:g}, wanted {wanted.floor:g}: quiet frames will be raised"
