"""Training of VQVC (Wu & Lee 2020): one network, one update, the paper's loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from timbrel import registry
from timbrel.audio.io import Waveform
from timbrel.audio.mel import PRESETS, MelSpectrogram
from timbrel.config import decode_config, encode_config
from timbrel.errors import ConfigError
from timbrel.models.griffin_lim import GriffinLim, GriffinLimConfig
from timbrel.models.vqvc import VQVC, VQVCConfig, losses
from timbrel.train.data import Batch, Data, check_sample_rate
from timbrel.train.frames import Frames, frames_of
from timbrel.train.tasks import Export, Preview, Task, Update, mean_figures

#: Batches from which the scale of the mels is taken.
_STATISTICS_BATCHES = 16

CARD = """# VQVC

One-shot voice conversion by vector quantisation (Wu & Lee, ICASSP 2020): content is what the
codebook keeps, the speaker what it removes. {} in, mel out; a vocoder of the same mel makes sound.
The voice that comes out should not be passed off as the person's own speech.
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """Fields:

    front_end: name of the mel, see `timbrel.audio.mel.PRESETS`.
    content: checkpoint of a content encoder whose frames are encoded in place of the mel; `timbrel teach`
        must have prepared them. It goes into the checkpoint.
    latent_weight: of codebook and commitment loss.
    model: sizes of the network, see `VQVCConfig`.
    """

    front_end: str = "timbrel-16k"
    content: str = ""
    latent_weight: float = 0.01
    model: dict[str, Any] = field(default_factory=dict)


def build(settings: Settings, data: Data) -> VQVCTask:
    """The task with its scale taken from the first batches of `data`.

    Raises:
        CheckpointError: a model that the settings name is missing or of another kind.
        ConfigError: a setting cannot be.
        TrainingError: the corpus has another sample rate, or was not prepared for this.
    """
    if settings.front_end not in PRESETS:
        raise ConfigError(
            f"settings.front_end must be one of {', '.join(PRESETS)}, not {settings.front_end}."
        )
    spec = PRESETS[settings.front_end]
    check_sample_rate(data, spec.sample_rate)
    content = registry.find_part(settings.content, "content") if settings.content else None
    frames = frames_of(data, content) if content else None
    tables = {
        "spec_in": encode_config(frames.spec if frames else spec),
        "spec_out": encode_config(spec),
        **settings.model,
    }
    config = decode_config(tables, VQVCConfig, name="settings.model")
    task = VQVCTask(config, settings.latent_weight, frames, {"content": content.path} if content else {})
    pairs = [task.features_and_mel(data.batch(step)) for step in range(_STATISTICS_BATCHES)]
    features, mels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    task.model.fit_statistics(features, mels)
    return task


class VQVCTask(Task):
    """Rebuilds mels through the codebook.

    Args:
        frames: what is encoded, where it is not the mel itself.
        parts: checkpoints that go into the exported one.
    """

    def __init__(
        self,
        config: VQVCConfig,
        latent_weight: float,
        frames: Frames | None = None,
        parts: Mapping[str, Path] | None = None,
    ) -> None:
        super().__init__()
        self.model = VQVC(config)
        self.front_end = MelSpectrogram(config.spec_out)
        self.latent_weight = latent_weight
        self.frames, self.parts = frames, parts or {}

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"model": self.model}

    def features_and_mel(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is encoded (B, T', D') and what is decoded (B, T, D)."""
        if self.frames is None:
            mel: Tensor = self.front_end(batch.source.audio)
            return mel, mel
        audio, features = self.frames.of(batch.source)
        return features, self.front_end(audio)

    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        figures = self._figures(batch)
        figures["window_perplexity"] = torch.tensor(self.model.quantizer.window_perplexity())
        figures["codes_used"] = torch.tensor(self.model.quantizer.used_share())
        yield Update(figures["loss"], "model", dict(figures))

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        return mean_figures([self._figures(batch) for batch in batches])

    def preview(self, batch: Batch) -> Preview:
        features, mel = self.features_and_mel(batch)
        # The last clip's words in the first clip's voice; of a single one, its own.
        converted = self.model.convert(features[-1:], features[:1])[0]
        mels = {"source": mel[-1], "reference": mel[0], "converted": converted}
        vocoder = GriffinLim(GriffinLimConfig(self.model.spec_out)).to(mel.device)
        rate = self.model.spec_out.sample_rate
        audio = {name: Waveform(vocoder(one[None])[0].cpu(), rate) for name, one in mels.items()}
        return Preview(mels, audio)

    def export(self) -> Export:
        card = CARD.format("Mel" if self.frames is None else "Learned frames")
        return Export(VQVC.family, self.model.config, self.model.state_dict(), card, self.parts)

    def _figures(self, batch: Batch) -> dict[str, Tensor]:
        features, mel = self.features_and_mel(batch)
        output = self.model(features, mel.shape[1])
        terms = losses(output, mel, self.latent_weight)
        return {
            "loss": terms.total,
            "reconstruction": terms.reconstruction,
            "codebook": terms.codebook,
            "commitment": terms.commitment,
            "perplexity": output.code.perplexity,
        }
