"""Pieces that several models share.

Inside a network tensors are channels first, (B, C, T), as convolutions want them; at every public
joint they are channels last, (B, T, D).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

#: Smallest standard deviation that normalisation divides by: silence and single frames stay finite.
DEVIATION_FLOOR = 1e-3


class Snake(nn.Module):
    """x + sin(a x)^2 / a with a learned frequency a > 0 per channel (Ziyin et al. 2020).

    Gives a vocoder the periodicity that ReLU-like activations have to approximate (BigVGAN, Lee et
    al. 2022). (B, C, T) -> (B, C, T).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_frequency = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, hidden: Tensor) -> Tensor:
        frequency = self.log_frequency.exp()
        return hidden + (frequency * hidden).sin().square() / frequency


class Standardise(nn.Module):
    """(frames - mean) / deviation per dimension, with statistics of a corpus kept in the weights.

    Untouched until `fit` is called: mean 0, deviation 1.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("deviation", torch.ones(dim))

    @torch.no_grad()
    def fit(self, frames: Tensor) -> None:
        """Takes mean and deviation from `frames` (..., D); a constant dimension is only shifted."""
        flat = frames.reshape(-1, frames.shape[-1]).cpu().double()
        deviation = flat.std(0, correction=0)
        self.mean.copy_(flat.mean(0))
        self.deviation.copy_(torch.where(deviation < DEVIATION_FLOOR, torch.ones_like(deviation), deviation))

    def forward(self, frames: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return (frames - self.mean) / self.deviation

    def inverse(self, frames: Tensor) -> Tensor:
        """Undoes `forward`."""
        return frames * self.deviation + self.mean


def instance_normalise(hidden: Tensor) -> Tensor:
    """Mean 0 and deviation 1 over time, per utterance and channel: (B, T, C) -> (B, T, C).

    The deviation is floored, so constant input and a single frame give zeros and finite gradients.
    """
    centred = hidden - hidden.mean(1, keepdim=True)
    variance = centred.square().sum(1, keepdim=True) / max(hidden.shape[1] - 1, 1)
    # Clamped before the root, whose slope at 0 is infinite.
    return centred / variance.clamp(min=DEVIATION_FLOOR**2).sqrt()


def resample_frames(frames: Tensor, rate_in: float, rate_out: float, count: int | None = None) -> Tensor:
    """Linear interpolation from one frame rate to another: (B, T, D) -> (B, count, D).

    Frame i stands at i / rate seconds on both sides; past the last frame its value is held.
    `count` defaults to what lasts as long as the input, at least 1.
    """
    length = frames.shape[1]
    count = max(1, round(length * rate_out / rate_in)) if count is None else count
    if rate_in == rate_out and count == length:
        return frames
    # In float64, which not every device has, hence on the CPU.
    position = (torch.arange(count, dtype=torch.float64) * (rate_in / rate_out)).clamp(max=length - 1)
    left = position.floor().long()
    share = (position - left).to(frames.device, frames.dtype)[:, None]
    left = left.to(frames.device)
    right = (left + 1).clamp(max=length - 1)
    return frames[:, left] * (1 - share) + frames[:, right] * share


def magnitude(audio: Tensor, n_fft: int, hop: int, window: int) -> Tensor:
    """Magnitude spectrogram in float32, zeros beyond the ends: (B, L) -> (B, n_fft // 2 + 1, T)."""
    with torch.autocast(audio.device.type, enabled=False):
        spectrum = torch.stft(
            audio.float(),
            n_fft,
            hop,
            window,
            torch.hann_window(window, device=audio.device),
            pad_mode="constant",
            return_complex=True,
        )
        # The root has no slope at 0; what is added is 60 dB below a quiet bin.
        return (spectrum.real.square() + spectrum.imag.square() + 1e-10).sqrt()


@dataclass(frozen=True, slots=True)
class Span:
    """Time steps `first..last`, inclusive; the methods walk backwards through one layer.

    Starting with the output samples of a frame and walking to the input gives the receptive field.
    """

    first: int
    last: int

    def before_convolution(self, kernel: int, dilation: int = 1) -> Span:
        """Inputs of a convolution of odd `kernel` that keeps the length."""
        side = (kernel - 1) * dilation // 2
        return Span(self.first - side, self.last + side)

    def before_upsampling(self, kernel: int, stride: int, padding: int = 0) -> Span:
        """Inputs of a transposed convolution, or of overlap-add with window `kernel` and hop `stride`."""
        return Span(-((kernel - 1 - padding - self.first) // stride), (self.last + padding) // stride)

    def before_framing(self, window: int, hop: int, padding: int) -> Span:
        """Samples under frames of `window` samples, the first of which starts at `-padding`."""
        return Span(self.first * hop - padding, self.last * hop - padding + window - 1)

    @property
    def reach(self) -> int:
        """Steps beyond step 0 on the wider side."""
        return max(-self.first, self.last)


def add_weight_norm(module: nn.Module) -> None:
    """Reparametrises every convolution in `module` as direction and length, for training."""
    for layer in _convolutions(module):
        if not parametrize.is_parametrized(layer, "weight"):
            parametrizations.weight_norm(layer)


def fold_weight_norm(module: nn.Module) -> None:
    """Turns direction and length back into plain weights; does nothing where they are plain."""
    for layer in _convolutions(module):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


def folded_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """State dict of `module` with plain weights, as a checkpoint stores it; `module` stays as it is."""
    state = {name: value for name, value in module.state_dict().items() if ".parametrizations." not in name}
    for name, layer in module.named_modules():
        if isinstance(layer, _Convolution) and parametrize.is_parametrized(layer, "weight"):
            state[f"{name}.weight"] = layer.weight.detach()
    return state


_Convolution = nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d


def _convolutions(module: nn.Module) -> list[nn.Module]:
    return [layer for layer in module.modules() if isinstance(layer, _Convolution)]
