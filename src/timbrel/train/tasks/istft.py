"""Training of the light vocoder (`models/istft.py`): discriminators light enough for a CPU, STFT loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from timbrel.config import decode_config, encode_config
from timbrel.models.discriminators import MultiPeriodDiscriminator, MultiResolutionDiscriminator
from timbrel.models.istft import ISTFT, ISTFTConfig
from timbrel.train.data import Data, check_sample_rate
from timbrel.train.tasks.vocoder import VocoderTask, Weights, front_end

CARD = """# Light vocoder

Log-mel frames in, waveform out, by an inverse STFT over a frame-rate trunk: some 30 times fewer
operations than HiFi-GAN V1. It says what its mel says, in the voice the mel has.
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """Fields:

    front_end: name of the mel, see `timbrel.audio.mel.PRESETS`.
    model: sizes of the generator, see `ISTFTConfig`.
    period_width, resolution_width: of the two kinds of discriminators.
    """

    front_end: str = "timbrel-16k"
    period_width: int = 16
    resolution_width: int = 16
    weights: Weights = field(default_factory=lambda: Weights(mel=15.0, spectra=2.5))
    model: dict[str, Any] = field(default_factory=dict)


def build(settings: Settings, data: Data) -> VocoderTask:
    """Generator and discriminators of the settings."""
    spec = front_end(settings.front_end)
    check_sample_rate(data, spec.sample_rate)
    tables = {"spec_in": encode_config(spec), **settings.model}
    generator = ISTFT(decode_config(tables, ISTFTConfig, name="settings.model"))
    discriminators = (
        MultiPeriodDiscriminator(width=settings.period_width),
        MultiResolutionDiscriminator(width=settings.resolution_width),
    )
    return VocoderTask(generator, discriminators, settings.weights, CARD)
