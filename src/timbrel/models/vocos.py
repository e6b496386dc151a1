"""Vocos (Siuzdak 2023): a mel's frames to spectra, once a frame, and an inverse STFT.

Everything is computed at the frame rate: a stack of ConvNeXt blocks, then a linear layer to the
logarithm of the magnitude and to the phase of every frequency. The parameters have the published names
and shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.config import require_sizes
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models.istft import InverseSTFT
from timbrel.models.layers import Span

_KERNEL = 7
_NORM_EPSILON = 1e-6
#: Bound on the magnitude that the exponential may reach.
_LARGEST_MAGNITUDE = 100.0


@dataclass(frozen=True, slots=True)
class VocosConfig:
    """Sizes of a Vocos; the defaults are the published ones, 13.5 million parameters for 100 bands.

    Fields:
        spec_in: the frames it reads.
        width, hidden: values of a frame in the trunk, and within its blocks.
        blocks: number of ConvNeXt blocks.
        n_fft: samples in the window of the inverse STFT, whose hop is that of `spec_in`.

    Raises:
        ConfigError: if the window is odd or so short that its parts leave gaps.
    """

    spec_in: FeatureSpec
    width: int = 512
    hidden: int = 1536
    blocks: int = 8
    n_fft: int = 1024

    def __post_init__(self) -> None:
        require_sizes(self, "width", "hidden", "blocks", "n_fft")
        if self.n_fft % 2 or self.n_fft < 2 * self.spec_in.hop:
            raise ConfigError(
                f"n_fft must be even and at least two hops of {self.spec_in.hop} samples, not {self.n_fft}."
            )


class Vocos(nn.Module):
    """Frames (B, T, D) -> waveform (B, T * hop) within [-1, 1].

    The first (T - 1) * hop samples are what the published network gives; it leaves out the last hop.
    """

    family = "vocos"
    Config = VocosConfig

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        self.config = config
        self.spec_in = config.spec_in
        self.backbone = Backbone(config)
        self.head = Head(config)

    def forward(self, features: Tensor) -> Tensor:
        waveform: Tensor = self.head(self.backbone(features))
        return waveform.clamp(-1, 1)

    @property
    def receptive_field(self) -> int:
        """Frames on either side of a frame that its samples depend on."""
        span = self.head.istft.before(Span(0, self.config.spec_in.hop - 1))
        for _ in range(self.config.blocks + 1):
            span = span.before_convolution(_KERNEL)
        return span.reach


class Backbone(nn.Module):
    """Frames (B, T, D) -> (B, T, width)."""

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        self.embed = nn.Conv1d(config.spec_in.dim, config.width, _KERNEL, padding=_KERNEL // 2)
        self.norm = nn.LayerNorm(config.width, _NORM_EPSILON)
        self.convnext = nn.ModuleList(Block(config.width, config.hidden) for _ in range(config.blocks))
        self.final_layer_norm = nn.LayerNorm(config.width, _NORM_EPSILON)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.norm(self.embed(features.transpose(1, 2)).transpose(1, 2))
        for block in self.convnext:
            hidden = block(hidden)
        normed: Tensor = self.final_layer_norm(hidden)
        return normed


class Block(nn.Module):
    """x + gamma * linear(gelu(linear(norm(depthwise(x))))), (B, T, width) -> (B, T, width).

    The published GELU is the exact one; `convnext.ConvNeXtBlock` has the faster approximation.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(width, width, _KERNEL, padding=_KERNEL // 2, groups=width)
        self.norm = nn.LayerNorm(width, _NORM_EPSILON)
        self.pwconv1 = nn.Linear(width, hidden)
        self.pwconv2 = nn.Linear(hidden, width)
        self.gamma = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, frames: Tensor) -> Tensor:
        hidden = self.norm(self.dwconv(frames.transpose(1, 2)).transpose(1, 2))
        changed: Tensor = frames + self.gamma * self.pwconv2(functional.gelu(self.pwconv1(hidden)))
        return changed


class Head(nn.Module):
    """Frames (B, T, width) -> waveform (B, T * hop); frame i is centred on sample i * hop."""

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        self.out = nn.Linear(config.width, config.n_fft + 2)
        self.istft = InverseSTFT(config.n_fft, config.spec_in.hop, padding=config.n_fft // 2)

    def forward(self, hidden: Tensor) -> Tensor:
        magnitude, phase = self.out(hidden).float().transpose(1, 2).chunk(2, dim=1)
        magnitude = magnitude.exp().clamp(max=_LARGEST_MAGNITUDE)
        waveform: Tensor = self.istft(torch.polar(magnitude, phase))
        return waveform
