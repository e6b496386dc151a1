"""Training of HiFi-GAN (Kong et al. 2020): multi-period and multi-scale discriminators, three losses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from timbrel.models.discriminators import MultiPeriodDiscriminator, MultiScaleDiscriminator
from timbrel.models.hifigan import HiFiGAN, HiFiGANConfig
from timbrel.train.data import Data, check_sample_rate
from timbrel.train.tasks.vocoder import VocoderTask, Weights, front_end

CARD = """# HiFi-GAN

Vocoder: log-mel frames in, waveform out (Kong, Kim & Bae 2020). It says what its mel says, in the
voice the mel has; it knows nothing of speakers.
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """Fields:

    front_end: name of the mel, see `timbrel.audio.mel.PRESETS`.
    size: V1 is the largest, V2 has its shape, V3 is simpler.
    period_width, scale_width: of the two kinds of discriminators; the published sizes are the defaults.
    """

    front_end: str = "hifigan-16k"
    size: Literal["v1", "v2", "v3"] = "v1"
    period_width: int = 32
    scale_width: int = 128
    weights: Weights = field(default_factory=Weights)


def build(settings: Settings, data: Data) -> VocoderTask:
    """Generator and discriminators of the settings."""
    spec = front_end(settings.front_end)
    check_sample_rate(data, spec.sample_rate)
    sizes = {"v1": HiFiGANConfig.v1, "v2": HiFiGANConfig.v2, "v3": HiFiGANConfig.v3}
    generator = HiFiGAN(sizes[settings.size](spec))
    generator.add_weight_norm()
    discriminators = (
        MultiPeriodDiscriminator(width=settings.period_width),
        MultiScaleDiscriminator(width=settings.scale_width),
    )
    return VocoderTask(generator, discriminators, settings.weights, CARD)
