"""Training of VocGAN (Yang et al. 2020): a discriminator for every rate the generator passes through.

At first the generator learns from spectra alone; then discriminators judge all of its waveforms, with
and without the mel, and their inner features are to match as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from timbrel.config import decode_config, encode_config
from timbrel.models.discriminators import Judgement
from timbrel.models.layers import add_weight_norm, folded_state_dict
from timbrel.models.losses import joint_discriminator, joint_feature_matching, joint_generator
from timbrel.models.vocgan import VocGAN, VocGANConfig, for_use
from timbrel.models.vocgan_discriminators import HierarchicalDiscriminator
from timbrel.train.adversary import frozen
from timbrel.train.data import FULL_SCALE, Batch, Data, check_sample_rate
from timbrel.train.tasks import Export, Update
from timbrel.train.tasks.vocoder import VocoderTask, Weights, front_end

CARD = """# VocGAN

Vocoder: log-mel frames in, waveform out (Yang et al. 2020). It says what its mel says, in the voice the
mel has; it knows nothing of speakers.
"""


def _published_weights() -> Weights:
    return Weights(mel=0.0, spectra=1.0, features=10.0, adversarial=1.0, adversarial_from=100_000)


@dataclass(frozen=True, slots=True)
class Settings:
    """Fields:

    front_end: name of the mel, see `timbrel.audio.mel.PRESETS`.
    discriminator_width: of each discriminator; the published size is the default.
    scales: discriminators of the last waveform.
    weights: the mel of the waveform is only looked at, and counts if its weight is above 0.
    model: sizes of the generator, see `VocGANConfig`.
    """

    front_end: str = "vocgan-22k"
    discriminator_width: int = 16
    scales: int = 3
    weights: Weights = field(default_factory=_published_weights)
    model: dict[str, Any] = field(default_factory=dict)


def build(settings: Settings, data: Data) -> VocGANTask:
    """Generator and discriminators of the settings."""
    spec = front_end(settings.front_end)
    check_sample_rate(data, spec.sample_rate)
    tables = {"spec_in": encode_config(spec), "side_outputs": True, **settings.model}
    generator = VocGAN(decode_config(tables, VocGANConfig, name="settings.model"))
    add_weight_norm(generator)
    divisors = generator.config.divisors
    judges = HierarchicalDiscriminator(spec.dim, divisors, settings.scales, settings.discriminator_width)
    return VocGANTask(generator, judges, settings.weights)


class VocGANTask(VocoderTask):
    """Generator with side outputs against hierarchically nested discriminators."""

    def __init__(self, generator: VocGAN, judges: HierarchicalDiscriminator, weights: Weights) -> None:
        super().__init__(generator, [judges], weights, CARD)
        # The same networks once more, by what only they can do.
        self.pyramid, self.judges = generator, judges

    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        clean, mel = self._audio_and_features(batch)
        real = _dithered(clean, generator)
        fakes = self.pyramid.resolutions(mel)
        adversarial = step >= self.weights.adversarial_from
        if adversarial:
            reals = self.judges.resolutions(real)
            loss = joint_discriminator(
                self.judges(reals, mel), self.judges([fake.detach() for fake in fakes], mel)
            )
            yield Update(loss, "discriminator", {"discriminator": loss})
        figures = self._figures(real, fakes[-1])
        if adversarial:
            with frozen(self.judges):
                opinions = self._judge_all_real(reals, mel)
                judgements = self.judges(fakes, mel)
            deceived, alike = joint_generator(judgements), joint_feature_matching(opinions, judgements)
            figures |= self._adversarial(figures["loss"], deceived, alike)
        yield Update(figures["loss"], "generator", dict(figures))

    def export(self) -> Export:
        config, tensors = for_use(self.pyramid.config, folded_state_dict(self.pyramid))
        return Export(VocGAN.family, config, tensors, self.card)

    @torch.no_grad()
    def _judge_all_real(self, reals: tuple[Tensor, ...], mel: Tensor) -> tuple[Judgement, ...]:
        judgements: tuple[Judgement, ...] = self.judges(reals, mel)
        return judgements


def _dithered(audio: Tensor, generator: torch.Generator) -> Tensor:
    """With noise of one 16-bit step, as published: digital silence has no spectrum to be learnt."""
    noise = torch.randn(audio.shape, generator=generator) / FULL_SCALE
    return audio + noise.to(audio.device)
