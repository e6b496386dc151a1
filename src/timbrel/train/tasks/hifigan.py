"""Training of HiFi-GAN (Kong et al. 2020): multi-period and multi-scale discriminators, three losses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from timbrel import registry
from timbrel.errors import ConfigError
from timbrel.models.discriminators import MultiPeriodDiscriminator, MultiScaleDiscriminator
from timbrel.models.hifigan import HiFiGAN, HiFiGANConfig
from timbrel.models.layers import add_weight_norm
from timbrel.train.data import Data, check_sample_rate
from timbrel.train.frames import Frames, frames_of
from timbrel.train.tasks.vocoder import VocoderTask, Weights, front_end

CARD = """# HiFi-GAN

Vocoder: log-mel or learned frames in, waveform out (Kong, Kim & Bae 2020). It says what its frames say, in
the voice they have; it knows nothing of speakers.
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """Fields:

    front_end: name of the mel, see `timbrel.audio.mel.PRESETS`.
    content: checkpoint of a content encoder whose frames are read in place of the mel, which then serves the
        loss alone; `timbrel teach` must have prepared them.
    prematched: read frames rebuilt from the speaker's other clips, as kNN-VC does.
    size: V1 is the largest, V2 has its shape, V3 is simpler.
    projection: values to which a linear layer first brings each frame; 0 for none.
    period_width, scale_width: of the two kinds of discriminators; the published sizes are the defaults.
    """

    front_end: str = "hifigan-16k"
    content: str = ""
    prematched: bool = False
    size: Literal["v1", "v2", "v3"] = "v1"
    projection: int = 0
    period_width: int = 32
    scale_width: int = 128
    weights: Weights = field(default_factory=Weights)

    def __post_init__(self) -> None:
        if self.prematched and not self.content:
            raise ConfigError("settings.prematched belongs to settings.content, whose frames are rebuilt.")


def build(settings: Settings, data: Data) -> VocoderTask:
    """Generator and discriminators of the settings."""
    spec = front_end(settings.front_end)
    check_sample_rate(data, spec.sample_rate)
    learned = _learned(settings, data) if settings.content else None
    sizes = {"v1": HiFiGANConfig.v1, "v2": HiFiGANConfig.v2, "v3": HiFiGANConfig.v3}
    config = sizes[settings.size](learned.spec if learned else spec)
    generator = HiFiGAN(replace(config, projection=settings.projection))
    add_weight_norm(generator)
    discriminators = (
        MultiPeriodDiscriminator(width=settings.period_width),
        MultiScaleDiscriminator(width=settings.scale_width),
    )
    return VocoderTask(generator, discriminators, settings.weights, CARD, learned, spec)


def _learned(settings: Settings, data: Data) -> Frames:
    return frames_of(data, registry.find_part(settings.content, "content"), prematched=settings.prematched)
