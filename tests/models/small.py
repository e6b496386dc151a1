"""A WavLM and a vocoder of its frames, both of a few values: what they do takes no time."""

from __future__ import annotations

from dataclasses import replace

import torch

from timbrel.contract import FeatureSpec
from timbrel.models.hifigan import HiFiGAN, HiFiGANConfig
from timbrel.models.wavlm import WavLM, WavLMConfig

#: Large's shape: norms first, each convolution with one of its own.
LARGE = WavLMConfig(
    layer=2,
    width=32,
    heads=4,
    feed_forward=64,
    conv_width=16,
    position_kernel=16,
    position_groups=4,
    buckets=40,
    max_distance=100,
)
#: Base's: norms last, and one over time in the first convolution.
BASE = replace(LARGE, conv_norm="group", norm_first=False)
FRAMES = FeatureSpec(kind="learned", sample_rate=16000, hop=320, dim=32)


def wavlm(config: WavLMConfig = LARGE, seed: int = 0) -> WavLM:
    """A WavLM of random weights."""
    torch.manual_seed(seed)
    return WavLM(config).eval()


def vocoder(spec: FeatureSpec = FRAMES, seed: int = 0) -> HiFiGAN:
    """A HiFi-GAN of random weights for a hop of 320 samples."""
    sizes = HiFiGANConfig(spec, (10, 8, 2, 2), (20, 16, 4, 4), 32, 2, (3,), ((1, 2),))
    return sensitive(HiFiGAN(sizes).eval(), seed)


def sensitive(model: HiFiGAN, seed: int = 0) -> HiFiGAN:
    """The same with weights so large that what comes out depends on what goes in."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.dim() == 1:
            weight.data.zero_()
            continue
        spread = 0.1 if name.startswith("conv_post") else 1.4
        fan = weight[:, 0].numel() if name.startswith("ups") else weight[0].numel()
        weight.data.copy_(spread * torch.randn(weight.shape, generator=generator) / fan**0.5)
    return model
