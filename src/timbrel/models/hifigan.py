"""HiFi-GAN generator (Kong, Kim & Bae 2020): mel or learned frames to a waveform.

Transposed convolutions raise the frame rate step by step to the sample rate; after each, the mean
of several residual blocks of different reach. With plain weights (as built, or after
`layers.fold_weight_norm`) the parameters have the official names and shapes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.config import require_sizes
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models.layers import Span

_SLOPE = 0.1
# The official generator leaves the last activation at PyTorch's default.
_LAST_SLOPE = 0.01

# Upsampling rates by hop: 256 is published; the others keep its shape.
_FOUR_STAGES = {128: (8, 4, 2, 2), 256: (8, 8, 2, 2), 320: (10, 8, 2, 2)}
_THREE_STAGES = {128: (8, 4, 4), 256: (8, 8, 4), 320: (10, 8, 4)}


@dataclass(frozen=True, slots=True)
class HiFiGANConfig:
    """Sizes of a generator.

    Fields:
        spec_in: the frames it reads; its hop is the product of `upsample_rates`.
        upsample_rates, upsample_kernels: of the transposed convolutions.
        channels: after the first convolution; halved by each upsampling.
        resblock: 1, pairs of a dilated and a plain convolution; 2, dilated ones only.
        resblock_kernels, resblock_dilations: one residual block per kernel.
        projection: values to which a linear layer first brings each frame, 512 in kNN-VC; 0 for none.

    Raises:
        ConfigError: if the rates do not give the hop, lists that belong together differ in length, or
            the channels cannot be halved so often.
    """

    spec_in: FeatureSpec
    upsample_rates: tuple[int, ...]
    upsample_kernels: tuple[int, ...]
    channels: int
    resblock: Literal[1, 2]
    resblock_kernels: tuple[int, ...]
    resblock_dilations: tuple[tuple[int, ...], ...]
    projection: int = 0

    def __post_init__(self) -> None:
        require_sizes(self, "upsample_rates", "upsample_kernels", "channels")
        require_sizes(self, "resblock_kernels", "resblock_dilations")
        require_sizes(self, "projection", least=0)
        if math.prod(self.upsample_rates) != self.spec_in.hop:
            raise ConfigError(
                f"upsample_rates {self.upsample_rates} multiply to {math.prod(self.upsample_rates)}; "
                f"they must give the hop of the input, {self.spec_in.hop}."
            )
        if len(self.upsample_kernels) != len(self.upsample_rates):
            raise ConfigError("upsample_kernels needs one kernel for each of upsample_rates.")
        if any(kernel < rate for rate, kernel in _stages(self)):
            raise ConfigError("Each of upsample_kernels must be at least as large as its rate.")
        if self.channels % 2 ** len(self.upsample_rates):
            raise ConfigError(
                f"channels must be a multiple of {2 ** len(self.upsample_rates)}, "
                f"to be halved by each of {len(self.upsample_rates)} stages, not {self.channels}."
            )
        if len(self.resblock_kernels) != len(self.resblock_dilations):
            raise ConfigError("resblock_dilations needs one group of dilations for each of resblock_kernels.")

    @classmethod
    def v1(cls, spec: FeatureSpec) -> HiFiGANConfig:
        """The largest, 13.9 million parameters; any sample rate, hop 128, 256 or 320."""
        return cls._type_1(spec, channels=512)

    @classmethod
    def v2(cls, spec: FeatureSpec) -> HiFiGANConfig:
        """V1 with a quarter of the channels, 0.9 million parameters."""
        return cls._type_1(spec, channels=128)

    @classmethod
    def v3(cls, spec: FeatureSpec) -> HiFiGANConfig:
        """Fewer stages and simpler blocks, 1.5 million parameters."""
        rates = _rates(_THREE_STAGES, spec.hop)
        kernels = tuple(2 * rate for rate in rates)
        return cls(spec, rates, kernels, 256, 2, (3, 5, 7), ((1, 2), (2, 6), (3, 12)))

    @classmethod
    def knn_vc(cls, spec: FeatureSpec) -> HiFiGANConfig:
        """V1 behind a linear layer to 512 values, 16.5 million parameters (Baas et al. 2023); hop 320."""
        return replace(cls.v1(spec), projection=512)

    @classmethod
    def _type_1(cls, spec: FeatureSpec, channels: int) -> HiFiGANConfig:
        rates = _rates(_FOUR_STAGES, spec.hop)
        kernels = tuple(2 * rate for rate in rates)
        return cls(spec, rates, kernels, channels, 1, (3, 7, 11), ((1, 3, 5),) * 3)


class HiFiGAN(nn.Module):
    """Frames (B, T, D) -> waveform (B, T * hop) within [-1, 1].

    Built with plain weights, as a checkpoint stores them; training calls `layers.add_weight_norm` first.
    """

    family = "hifigan"
    Config = HiFiGANConfig

    def __init__(self, config: HiFiGANConfig) -> None:
        super().__init__()
        self.config = config
        self.spec_in = config.spec_in
        given = config.projection or config.spec_in.dim
        self.lin_pre = nn.Linear(config.spec_in.dim, given) if config.projection else None
        widths = [config.channels >> stage for stage in range(len(config.upsample_rates) + 1)]
        self.conv_pre = nn.Conv1d(given, widths[0], 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        block = ResidualBlock1 if config.resblock == 1 else ResidualBlock2
        for stage, (rate, kernel) in enumerate(_stages(config)):
            before, after = widths[stage : stage + 2]
            self.ups.append(nn.ConvTranspose1d(before, after, kernel, rate, padding=(kernel - rate) // 2))
            for size, dilations in _branches(config):
                self.resblocks.append(block(after, size, dilations))
        self.conv_post = nn.Conv1d(widths[-1], 1, 7, padding=3)

    def forward(self, features: Tensor) -> Tensor:
        frames = features if self.lin_pre is None else self.lin_pre(features)
        hidden = self.conv_pre(frames.transpose(1, 2))
        branches = len(self.config.resblock_kernels)
        for stage, rate in enumerate(self.config.upsample_rates):
            length = hidden.shape[2] * rate
            # An odd difference of kernel and rate gives one sample too many.
            hidden = self.ups[stage](functional.leaky_relu(hidden, _SLOPE))[..., :length]
            first, *others = self.resblocks[stage * branches : (stage + 1) * branches]
            total = first(hidden)
            for block in others:
                total = total + block(hidden)
            hidden = total / branches
        hidden = self.conv_post(functional.leaky_relu(hidden, _LAST_SLOPE))
        return torch.tanh(hidden)[:, 0]

    @property
    def receptive_field(self) -> int:
        """Frames on either side of a frame that its samples depend on."""
        span = Span(0, self.config.spec_in.hop - 1).before_convolution(7)
        for rate, kernel in reversed(_stages(self.config)):
            span = self._widest_block(span)
            span = span.before_upsampling(kernel, rate, (kernel - rate) // 2)
        return span.before_convolution(7).reach

    def _widest_block(self, span: Span) -> Span:
        def through(kernel: int, dilations: tuple[int, ...]) -> Span:
            inner = span
            for dilation in dilations:
                inner = inner.before_convolution(kernel, dilation)
                if self.config.resblock == 1:
                    inner = inner.before_convolution(kernel)
            return inner

        return max((through(*branch) for branch in _branches(self.config)), key=lambda s: s.last - s.first)


class ResidualBlock1(nn.Module):
    """For each dilation: x + plain(relu(dilated(relu(x)))), (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_same(channels, kernel, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(_same(channels, kernel, 1) for _ in dilations)

    def forward(self, hidden: Tensor) -> Tensor:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            change = dilated(functional.leaky_relu(hidden, _SLOPE))
            hidden = hidden + plain(functional.leaky_relu(change, _SLOPE))
        return hidden


class ResidualBlock2(nn.Module):
    """For each dilation: x + dilated(relu(x)), (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_same(channels, kernel, dilation) for dilation in dilations)

    def forward(self, hidden: Tensor) -> Tensor:
        for dilated in self.convs:
            hidden = hidden + dilated(functional.leaky_relu(hidden, _SLOPE))
        return hidden


def _same(channels: int, kernel: int, dilation: int) -> nn.Conv1d:
    return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=(kernel - 1) * dilation // 2)


def _stages(config: HiFiGANConfig) -> list[tuple[int, int]]:
    return list(zip(config.upsample_rates, config.upsample_kernels, strict=True))


def _branches(config: HiFiGANConfig) -> list[tuple[int, tuple[int, ...]]]:
    return list(zip(config.resblock_kernels, config.resblock_dilations, strict=True))


def _rates(known: Mapping[int, tuple[int, ...]], hop: int) -> tuple[int, ...]:
    if hop not in known:
        raise ConfigError(
            f"This size of HiFi-GAN has upsampling rates for hops of {', '.join(map(str, known))} samples, "
            f"not {hop}; state upsample_rates and upsample_kernels instead."
        )
    return known[hop]
