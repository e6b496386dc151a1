"""VocGAN generator (Yang et al. 2020): mel to a waveform, through ever finer waveforms of the same sound.

Transposed convolutions raise the frame rate to the sample rate in six stages. From the third stage on
the mel comes in again, by a transposed convolution straight to that stage's rate. From the second on,
a head may turn what is there into a waveform at a sixteenth, an eighth, a quarter, half of the sample
rate; in training a discriminator judges each of them, which is what keeps the lower octaves right.

The heads serve nothing but training. Without them, and with plain weights, the parameters have the
names and shapes of the published files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.audio.mel import compress
from timbrel.config import require_sizes
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models.layers import Span

_SLOPE = 0.2
#: The mel is shifted and scaled so as to be roughly within -1 and 1: (x + 5) / 5.
_CENTRE = 5.0
#: Reflected samples around the first and the last convolution, of kernel 7.
_EDGE = 3
#: The first stages whose results are no waveforms, and those that do not hear the mel again.
_WITHOUT_HEAD, _WITHOUT_SKIP = 1, 2


@dataclass(frozen=True, slots=True)
class VocGANConfig:
    """Sizes of a generator; the defaults are the published ones.

    Fields:
        spec_in: the mel it reads, in plain natural logarithms; its hop is the product of `upsample_rates`.
        upsample_rates: of the stages.
        channels: after the first convolution; halved by each stage.
        residual_layers: convolutions in a stage's stack, with dilations 1, 3, 9, ...
        side_outputs: whether it has the heads for coarser waveforms, which only training needs.

    Raises:
        ConfigError: if the input is no mel in natural logarithms, the rates do not give its hop, or
            the channels cannot be halved so often.
    """

    spec_in: FeatureSpec
    upsample_rates: tuple[int, ...] = (4, 4, 2, 2, 2, 2)
    channels: int = 512
    residual_layers: int = 4
    side_outputs: bool = False

    def __post_init__(self) -> None:
        require_sizes(self, "upsample_rates", "channels", "residual_layers")
        spec = self.spec_in
        if spec.kind != "mel" or (spec.log, spec.scale, spec.offset) != ("ln", 1.0, 0.0):
            raise ConfigError("spec_in must be a mel in natural logarithms, unscaled: VocGAN does that.")
        if math.prod(self.upsample_rates) != spec.hop:
            raise ConfigError(
                f"upsample_rates {self.upsample_rates} multiply to {math.prod(self.upsample_rates)}; "
                f"they must give the hop of the input, {spec.hop}."
            )
        if self.channels % 2 ** len(self.upsample_rates):
            raise ConfigError(
                f"channels must be a multiple of {2 ** len(self.upsample_rates)}, "
                f"to be halved by each of {len(self.upsample_rates)} stages, not {self.channels}."
            )

    @property
    def divisors(self) -> tuple[int, ...]:
        """What the sample rate is divided by in `VocGAN.resolutions`, coarsest first: 16, 8, 4, 2, 1."""
        stages = range(_WITHOUT_HEAD + 1, len(self.upsample_rates) + 1)
        return tuple(math.prod(self.upsample_rates[stage:]) for stage in stages)


class VocGAN(nn.Module):
    """Frames (B, T, D) -> waveform (B, T * hop) within [-1, 1].

    Built with plain weights, as a checkpoint stores them; training calls `layers.add_weight_norm` first.
    """

    family = "vocgan"
    Config = VocGANConfig

    def __init__(self, config: VocGANConfig) -> None:
        super().__init__()
        self.config = config
        self.spec_in = config.spec_in
        mel, width, rate = config.spec_in.dim, config.channels, 1
        self.start = nn.Sequential(nn.ReflectionPad1d(_EDGE), nn.Conv1d(mel, width, 2 * _EDGE + 1))
        for stage, factor in enumerate(config.upsample_rates, 1):
            width, rate = width // 2, rate * factor
            up = nn.Sequential(nn.LeakyReLU(_SLOPE), _upsampling(2 * width, width, factor))
            layers = (ResidualLayer(width, 3**layer) for layer in range(config.residual_layers))
            self.add_module(f"upsample_{stage}", up)
            if stage > _WITHOUT_SKIP:
                self.add_module(f"skip_upsample_{stage - _WITHOUT_SKIP}", _upsampling(mel, width, rate))
            self.add_module(f"res_stack_{stage}", nn.Sequential(*layers))
            if config.side_outputs and _WITHOUT_HEAD < stage < len(config.upsample_rates):
                self.add_module(f"sub_out_{stage - _WITHOUT_HEAD}", _head(width))
        self.out = _head(width)

    def forward(self, features: Tensor) -> Tensor:
        *_, last = self._stages(features)
        return self._finish(self.out(last), features.shape[1])

    def resolutions(self, features: Tensor) -> tuple[Tensor, ...]:
        """Waveforms (B, T * hop / divisor), one for each of `config.divisors`; the last is `forward`'s.

        Raises:
            ConfigError: the generator was built without side outputs.
        """
        if not self.config.side_outputs:
            raise ConfigError("This VocGAN has no side outputs: build it with side_outputs = true.")
        sides = range(1, len(self.config.divisors))
        heads = [*(self.get_submodule(f"sub_out_{side}") for side in sides), self.out]
        inner = list(self._stages(features))[_WITHOUT_HEAD:]
        return tuple(
            self._finish(head(hidden), features.shape[1], divisor)
            for head, hidden, divisor in zip(heads, inner, self.config.divisors, strict=True)
        )

    @property
    def least_frames(self) -> int:
        """7 as published: padding can reflect only what there is, so shorter input is filled with silence."""
        widest: int = 3 ** (self.config.residual_layers - 1)
        return max(_EDGE, widest // self.config.upsample_rates[0]) + 1

    @property
    def receptive_field(self) -> int:
        """Frames on either side of a frame that its samples depend on."""
        span, skips, rate = (
            Span(0, self.spec_in.hop - 1).before_convolution(2 * _EDGE + 1),
            [0],
            self.spec_in.hop,
        )
        for stage, factor in reversed(list(enumerate(self.config.upsample_rates, 1))):
            for layer in range(self.config.residual_layers):
                span = span.before_convolution(3, 3**layer)
            if stage > _WITHOUT_SKIP:
                skips.append(span.before_upsampling(2 * rate, rate, rate // 2 + rate % 2).reach)
            span = span.before_upsampling(2 * factor, factor, factor // 2 + factor % 2)
            rate //= factor
        return max(*skips, span.before_convolution(2 * _EDGE + 1).reach)

    def _stages(self, features: Tensor) -> Iterator[Tensor]:
        """What each stage makes, (B, C, T * rate)."""
        missing = max(0, self.least_frames - features.shape[1])
        silence = compress(torch.zeros(()), self.spec_in).item()
        filled = functional.pad(features, (0, 0, 0, missing), value=silence)
        mel = (filled.transpose(1, 2) + _CENTRE) / _CENTRE
        hidden = self.start(mel)
        for stage in range(1, len(self.config.upsample_rates) + 1):
            hidden = self.get_submodule(f"upsample_{stage}")(hidden)
            if stage > _WITHOUT_SKIP:
                hidden = hidden + self.get_submodule(f"skip_upsample_{stage - _WITHOUT_SKIP}")(mel)
            hidden = self.get_submodule(f"res_stack_{stage}")(hidden)
            yield hidden

    def _finish(self, audio: Tensor, frames: int, divisor: int = 1) -> Tensor:
        """(B, 1, at least T * hop / divisor) -> (B, T * hop / divisor)."""
        return audio[:, 0, : frames * self.spec_in.hop // divisor]


class ResidualLayer(nn.Module):
    """shortcut(x) + plain(relu(dilated(relu(x)))), (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.LeakyReLU(_SLOPE),
            nn.ReflectionPad1d(dilation),
            nn.Conv1d(channels, channels, 3, dilation=dilation),
            nn.LeakyReLU(_SLOPE),
            nn.Conv1d(channels, channels, 1),
        )
        self.shortcut = nn.Conv1d(channels, channels, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        changed: Tensor = self.shortcut(hidden) + self.block(hidden)
        return changed


def for_use(config: VocGANConfig, tensors: dict[str, Tensor]) -> tuple[VocGANConfig, dict[str, Tensor]]:
    """A trained generator without the heads that only training needs."""
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("sub_out_")}
    return replace(config, side_outputs=False), kept


def _upsampling(before: int, after: int, rate: int) -> nn.ConvTranspose1d:
    """(B, before, T) -> (B, after, T * rate)."""
    odd = rate % 2
    return nn.ConvTranspose1d(before, after, 2 * rate, rate, padding=rate // 2 + odd, output_padding=odd)


def _head(channels: int) -> nn.Sequential:
    """(B, C, L) -> (B, 1, L)."""
    convolution = nn.Conv1d(channels, 1, 2 * _EDGE + 1)
    return nn.Sequential(nn.LeakyReLU(_SLOPE), nn.ReflectionPad1d(_EDGE), convolution, nn.Tanh())
