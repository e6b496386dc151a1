"""A light vocoder: a frame-rate trunk, a few periodic layers at a higher rate, an inverse STFT.

Vocos (Siuzdak 2023) predicts magnitude and phase once per mel frame, which is very cheap but makes
pitch unsteady: within a hop of 16 ms the phase of every harmonic turns many times, and a bin that
holds several harmonics has no simple phase at all. iSTFTNet (Kaneko et al. 2022) upsamples first,
so that frames follow each other faster than pitch periods. Here the expensive ConvNeXt trunk stays
at the frame rate, and narrow residual layers with periodic activations (Snake) run once every `step`
samples, 2 ms, where they look past a whole period of the lowest voice on both sides.

Multiply-adds per second of 16 kHz audio with 80 bands and hop 128 (125 frames, 500 steps):

    trunk      125 * (80*256*7 + 8*(256*7 + 2*256*768) + 256*4*128)    0.43 G
    periodic   500 * 6 * (128*128*3 + 128*128)                         0.20 G
    head       500 * 128*130                                           0.01 G

0.63 G together; HiFi-GAN V1 takes 19.2 G at 16 kHz and hop 256, 30 times as much.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.config import require_sizes
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models.convnext import ConvNeXtBlock
from timbrel.models.layers import Snake, Span

_KERNEL = 7
_PERIODIC_KERNEL = 3
#: The window of the inverse STFT, in steps.
_OVERLAP = 4
# Vocos's bound on the magnitude that the exponential may reach.
_LARGEST_MAGNITUDE = 100.0


@dataclass(frozen=True, slots=True)
class ISTFTConfig:
    """Sizes of the light vocoder.

    Fields:
        spec_in: the frames it reads; `step` divides its hop.
        width, blocks: of the ConvNeXt trunk.
        step: samples between two spectra.
        periodic_width, periodic_dilations: of the layers at the rate of the spectra, one per dilation.

    Raises:
        ConfigError: if `step` is odd or does not divide the hop.
    """

    spec_in: FeatureSpec
    width: int = 256
    blocks: int = 8
    step: int = 32
    periodic_width: int = 128
    periodic_dilations: tuple[int, ...] = (1, 3, 9, 1, 3, 9)

    def __post_init__(self) -> None:
        require_sizes(self, "width", "blocks", "step", "periodic_width", "periodic_dilations")
        if self.step % 2 != 0 or self.spec_in.hop % self.step != 0:
            raise ConfigError(
                f"step must be even and divide the hop of {self.spec_in.hop} samples, not {self.step}."
            )

    @property
    def upsampling(self) -> int:
        """Steps per frame."""
        return self.spec_in.hop // self.step


class ISTFT(nn.Module):
    """Frames (B, T, D) -> waveform (B, T * hop) within [-1, 1]."""

    family = "istft"
    Config = ISTFTConfig

    def __init__(self, config: ISTFTConfig) -> None:
        super().__init__()
        self.config = config
        self.spec_in = config.spec_in
        self.embed = nn.Conv1d(config.spec_in.dim, config.width, _KERNEL, padding=_KERNEL // 2)
        self.norm = nn.LayerNorm(config.width)
        self.trunk = nn.Sequential(*(ConvNeXtBlock(config.width, _KERNEL) for _ in range(config.blocks)))
        self.trunk_norm = nn.LayerNorm(config.width)
        self.split = nn.Linear(config.width, config.upsampling * config.periodic_width)
        layers = (PeriodicLayer(config.periodic_width, d) for d in config.periodic_dilations)
        self.periodic = nn.Sequential(*layers, Snake(config.periodic_width))
        n_fft = _OVERLAP * config.step
        self.head = nn.Conv1d(config.periodic_width, n_fft + 2, 1)
        self.inverse = InverseSTFT(n_fft, config.step)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.norm(self.embed(features.transpose(1, 2)).transpose(1, 2))
        hidden = self.split(self.trunk_norm(self.trunk(hidden)))
        # The channels of a frame become those of its steps.
        hidden = hidden.reshape(len(hidden), -1, self.config.periodic_width)
        hidden = self.periodic(hidden.transpose(1, 2))
        magnitude, phase = self.head(hidden).float().chunk(2, dim=1)
        magnitude = magnitude.exp().clamp(max=_LARGEST_MAGNITUDE)
        waveform: Tensor = self.inverse(torch.polar(magnitude, phase))
        return waveform.clamp(-1, 1)

    @property
    def receptive_field(self) -> int:
        """Frames on either side of a frame that its samples depend on."""
        span = self.inverse.before(Span(0, self.config.spec_in.hop - 1))
        for dilation in self.config.periodic_dilations:
            span = span.before_convolution(_PERIODIC_KERNEL, dilation)
        span = span.before_upsampling(self.config.upsampling, self.config.upsampling)
        for _ in range(self.config.blocks + 1):
            span = span.before_convolution(_KERNEL)
        return span.reach


class PeriodicLayer(nn.Module):
    """x + plain(snake(dilated(snake(x)))), (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        side = (_PERIODIC_KERNEL - 1) * dilation // 2
        self.layers = nn.Sequential(
            Snake(channels),
            nn.Conv1d(channels, channels, _PERIODIC_KERNEL, dilation=dilation, padding=side),
            Snake(channels),
            nn.Conv1d(channels, channels, 1),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        change: Tensor = self.layers(hidden)
        return hidden + change


class InverseSTFT(nn.Module):
    """Spectra (B, n_fft // 2 + 1, T) -> waveform (B, T * hop), by windowed overlap-add (Hann).

    Frame i starts at sample i * hop - `padding`. The default centres it on its own hop, so that
    exactly T hops are covered; n_fft // 2 makes it the inverse of a centred STFT. Divided by the sum
    of squared windows, so it inverts `spectra` exactly (Griffin & Lim 1984).
    """

    taper: Tensor

    def __init__(self, n_fft: int, hop: int, window: int | None = None, padding: int | None = None) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.padding = (n_fft - hop) // 2 if padding is None else padding
        window = n_fft if window is None else window
        margin = (n_fft - window) // 2
        taper = functional.pad(torch.hann_window(window), (margin, n_fft - window - margin))
        self.register_buffer("taper", taper, persistent=False)

    def forward(self, spectra: Tensor) -> Tensor:
        count = spectra.shape[2]
        frames = torch.fft.irfft(spectra, self.n_fft, dim=1) * self.taper[:, None]
        weights = self.taper.square()[None, :, None].expand(1, -1, count)
        return self._overlap_add(frames) / self._overlap_add(weights).clamp(min=1e-6)

    def spectra(self, waveform: Tensor) -> Tensor:
        """The frames of a waveform (B, T * hop), zeros beyond its ends -> (B, n_fft // 2 + 1, T)."""
        after = self.n_fft - self.hop - self.padding
        frames = functional.pad(waveform, (self.padding, after)).unfold(1, self.n_fft, self.hop)
        spectra: Tensor = torch.fft.rfft(frames * self.taper, dim=2)
        return spectra.transpose(1, 2)

    def before(self, samples: Span) -> Span:
        """The frames that `samples` are made of."""
        return samples.before_upsampling(self.n_fft, self.hop, self.padding)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """(B, n_fft, T) -> (B, T * hop)."""
        count = frames.shape[2]
        total = (count - 1) * self.hop + self.n_fft
        joined = functional.fold(frames, (1, total), (1, self.n_fft), stride=(1, self.hop))
        return joined[:, 0, 0, self.padding : self.padding + count * self.hop]
