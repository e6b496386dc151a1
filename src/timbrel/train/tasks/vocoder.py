"""Adversarial training of a vocoder (HiFi-GAN, Kong et al. 2020), whatever its generator.

Two updates a step: the discriminators learn to tell real from generated audio, then the generator
learns to deceive them while its mel, their inner features and, if wanted, its spectra match.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from timbrel.audio.io import Waveform
from timbrel.audio.mel import PRESETS, MelSpectrogram
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models.discriminators import Judgement
from timbrel.models.hifigan import HiFiGAN
from timbrel.models.istft import ISTFT
from timbrel.models.layers import folded_state_dict
from timbrel.models.losses import (
    MultiResolutionSTFT,
    discriminator_adversarial,
    feature_matching,
    generator_adversarial,
    mel_l1,
)
from timbrel.models.vocgan import VocGAN
from timbrel.train.adversary import frozen
from timbrel.train.data import Batch
from timbrel.train.frames import Frames
from timbrel.train.tasks import Export, Preview, Task, Update, mean_figures


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the generator's losses; HiFi-GAN's are the defaults.

    Fields:
        adversarial_from: the step from which the discriminators take part.
    """

    mel: float = 45.0
    features: float = 2.0
    adversarial: float = 1.0
    spectra: float = 0.0
    adversarial_from: int = 0


class VocoderTask(Task):
    """Generator against discriminators.

    Args:
        generator: features (B, T, D) -> waveform (B, T * hop).
        discriminators: each answers a waveform (B, L) with a `Judgement`.
        card: text for the checkpoint.
        learned: what the generator reads, where that is no mel of the audio.
        compared: the mel that the loss compares; by default the one that the generator reads.
    """

    def __init__(
        self,
        generator: HiFiGAN | ISTFT | VocGAN,
        discriminators: Sequence[nn.Module],
        weights: Weights,
        card: str,
        learned: Frames | None = None,
        compared: FeatureSpec | None = None,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.discriminators = nn.ModuleList(discriminators)
        self.weights, self.card, self.learned = weights, card, learned
        spec = compared or generator.spec_in
        self.front_end = MelSpectrogram(spec)
        # The loss hears the whole band, also where the input mel stops short of it.
        self.loss_front_end = MelSpectrogram(replace(spec, f_max=spec.sample_rate / 2))
        self.spectra = MultiResolutionSTFT()

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminators}

    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        real, features = self._audio_and_features(batch)
        fake = self.generator(features)
        adversarial = step >= self.weights.adversarial_from
        if adversarial:
            pairs = [(judge(real), judge(fake.detach())) for judge in self.discriminators]
            loss = torch.stack([discriminator_adversarial(*pair) for pair in pairs]).sum()
            yield Update(loss, "discriminator", {"discriminator": loss})
        figures = self._figures(real, fake)
        if adversarial:
            with frozen(self.discriminators):
                pairs = [(self._judge_real(judge, real), judge(fake)) for judge in self.discriminators]
            deceived = torch.stack([generator_adversarial(false) for _, false in pairs]).sum()
            alike = torch.stack([feature_matching(*pair) for pair in pairs]).sum()
            figures |= self._adversarial(figures["loss"], deceived, alike)
        yield Update(figures["loss"], "generator", dict(figures))

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        pairs = (self._audio_and_features(batch) for batch in batches)
        return mean_figures([self._figures(real, self.generator(features)) for real, features in pairs])

    def preview(self, batch: Batch) -> Preview:
        real, features = self._audio_and_features(batch)
        fake = self.generator(features[:1]).float()
        rate = self.generator.spec_in.sample_rate
        return Preview(
            {"real": self.front_end(real[:1])[0], "generated": self.front_end(fake)[0]},
            {"real": Waveform(real[0].cpu(), rate), "generated": Waveform(fake[0].cpu(), rate)},
        )

    def export(self) -> Export:
        return Export(
            self.generator.family, self.generator.config, folded_state_dict(self.generator), self.card
        )

    def _audio_and_features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Whole hops of audio (B, T * hop) and what the generator reads of them (B, T, D)."""
        if self.learned is not None:
            return self.learned.of(batch.source)
        hop = self.generator.spec_in.hop
        frames = batch.source.audio.shape[1] // hop
        audio = batch.source.audio[:, : frames * hop]
        # A centred mel has one frame more than there are whole hops.
        return audio, self.front_end(audio)[:, :frames]

    def _figures(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The losses that need no discriminator."""
        mel = mel_l1(self.loss_front_end, fake.float(), real)
        figures = {"mel": mel, "loss": self.weights.mel * mel}
        if self.weights.spectra > 0:
            figures["spectra"] = self.spectra(fake.float(), real)
            figures["loss"] = figures["loss"] + self.weights.spectra * figures["spectra"]
        return figures

    def _adversarial(self, loss: Tensor, deceived: Tensor, alike: Tensor) -> dict[str, Tensor]:
        """The losses of the discriminators' judgement, and `loss` with them added."""
        total = loss + self.weights.adversarial * deceived + self.weights.features * alike
        return {"adversarial": deceived, "features": alike, "loss": total}

    @torch.no_grad()
    def _judge_real(self, judge: nn.Module, real: Tensor) -> Judgement:
        judgement: Judgement = judge(real)
        return judgement


def front_end(name: str) -> FeatureSpec:
    """The preset of that name, or a ConfigError with those that exist."""
    if name not in PRESETS:
        raise ConfigError(f"settings.front_end must be one of {', '.join(PRESETS)}, not {name}.")
    return PRESETS[name]
