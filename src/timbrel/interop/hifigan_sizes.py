"""The architecture of a HiFi-GAN generator: from the shapes of its weights and the `config.json` beside it.

Rates and dilations leave no trace in the shapes: they come from that file, or are those that every
published size has (a kernel is twice its rate).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from torch import Tensor

from timbrel.contract import FeatureSpec
from timbrel.errors import CheckpointError, ConfigError
from timbrel.interop.family import weights
from timbrel.interop.vocoders import Plain
from timbrel.models.hifigan import HiFiGANConfig

_PAIRS = (1, 3, 5)
_THIRD_SIZE = ((1, 2), (2, 6), (3, 12))


@dataclass(frozen=True, slots=True)
class Settings:
    """What Timbrel needs of the `config.json` that the authors keep beside a generator."""

    upsample_rates: tuple[int, ...]
    resblock_dilation_sizes: tuple[tuple[int, ...], ...]
    sampling_rate: int
    num_mels: int
    n_fft: int
    hop_size: int
    win_size: int
    fmin: float = 0.0
    fmax: float | None = None

    @property
    def mel(self) -> FeatureSpec:
        """Padded to the hop, with an epsilon in the root and natural logarithms, as the authors do."""
        return FeatureSpec(
            kind="mel",
            sample_rate=self.sampling_rate,
            hop=self.hop_size,
            dim=self.num_mels,
            n_fft=self.n_fft,
            window=self.win_size,
            pad="same",
            f_min=float(self.fmin),
            f_max=float(self.sampling_rate / 2 if self.fmax is None else self.fmax),
            sqrt_eps=1e-9,
        )


def settings_beside(path: Path) -> Settings | None:
    """The `config.json` in a checkpoint's folder; None if there is none, or it is of something else.

    Raises:
        CheckpointError: it cannot be read, or a value in it is of the wrong kind.
    """
    file = path.parent / "config.json"
    if not file.is_file():
        return None
    try:
        tables = json.loads(file.read_text(encoding="utf-8-sig"))
        if not isinstance(tables, dict) or "upsample_rates" not in tables:
            return None
        return msgspec.convert(tables, Settings)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} is no configuration of HiFi-GAN: {error}.") from error


def is_generator(tensors: Mapping[str, Tensor], section: str, *, projected: bool) -> bool:
    """Whether these are a generator's names in any spelling, with or without a linear layer in front."""
    names = weights(tensors, section).keys()
    layers = ("conv_pre.", "ups.0.", "resblocks.0.conv", "conv_post.")
    found = all(any(name.startswith(layer) for name in names) for layer in layers)
    return found and ("lin_pre.weight" in names) is projected


def sizes(plain: Plain, spec: FeatureSpec, settings: Settings | None = None) -> HiFiGANConfig:
    """The configuration of a generator with these weights that reads `spec`.

    Raises:
        CheckpointError: a weight that tells a size is missing, or the mel's hop is not the generator's.
    """
    kernels = _upsampling_kernels(plain)
    if plain.size("conv_post.weight") != 1:
        raise CheckpointError(
            f"{plain.describe('conv_post.weight')}, wanted one row, which makes a waveform."
        )
    resblock, resblock_kernels = _residual_blocks(plain, len(kernels))
    rates = settings.upsample_rates if settings else tuple(kernel // 2 for kernel in kernels)
    if math.prod(rates) != spec.hop:
        raise CheckpointError(_wrong_hop(rates, kernels, spec, settings))
    dilations = settings.resblock_dilation_sizes if settings else _dilations(resblock, len(resblock_kernels))
    channels = first_channels(plain, len(kernels))
    try:
        return HiFiGANConfig(spec, rates, kernels, channels, resblock, resblock_kernels, dilations)
    except ConfigError as error:
        source = "the config.json beside it is of another model" if settings else "it is no such generator"
        raise CheckpointError(f"{source}: {error}") from error


def first_channels(plain: Plain, stages: int) -> int:
    """Channels after the first convolution, which each upsampling halves.

    Raises:
        CheckpointError: there is no such convolution, or they cannot be halved so often.
    """
    channels = plain.size("conv_pre.weight")
    if channels % 2**stages:
        halved = f"whose rows cannot be halved by {stages} upsamplings"
        raise CheckpointError(f"{plain.describe('conv_pre.weight')}, {halved}.")
    return channels


def _upsampling_kernels(plain: Plain) -> tuple[int, ...]:
    count = len(_indices(plain.tensors, r"ups\.(\d+)\.weight"))
    return tuple(plain.size(f"ups.{stage}.weight", 2) for stage in range(max(1, count)))


def _residual_blocks(plain: Plain, stages: int) -> tuple[Literal[1, 2], tuple[int, ...]]:
    """Which kind they are, and the kernel of each of those in a stage."""
    found = _indices(plain.tensors, r"resblocks\.(\d+)\.")
    branches = range(max(1, math.ceil(len(found) / stages)))
    if "resblocks.0.convs.0.weight" in plain.tensors:
        return 2, tuple(plain.size(f"resblocks.{branch}.convs.0.weight", 2) for branch in branches)
    return 1, tuple(plain.size(f"resblocks.{branch}.convs1.0.weight", 2) for branch in branches)


def _indices(tensors: Mapping[str, Tensor], pattern: str) -> set[str]:
    matches = (re.match(pattern, name) for name in tensors)
    return {match[1] for match in matches if match}


def _dilations(resblock: int, branches: int) -> tuple[tuple[int, ...], ...]:
    if resblock == 1:
        return (_PAIRS,) * branches
    if branches == len(_THIRD_SIZE):
        return _THIRD_SIZE
    raise CheckpointError(
        f"its {branches} residual blocks of the second kind are not the published three: "
        "put the config.json of the model beside the file."
    )


def _wrong_hop(
    rates: tuple[int, ...], kernels: tuple[int, ...], spec: FeatureSpec, settings: Settings | None
) -> str:
    source = "config.json gives" if settings else f"the kernels {kernels} of ups suggest"
    return (
        f"{source} the rates {rates} and a hop of {math.prod(rates)} samples, the mel has {spec.hop}: "
        "state the right mel with --mel, or put the model's own config.json beside the file."
    )
