"""Training of the speaker encoder: what Resemblyzer says of a voice, and telling speakers apart.

Distillation gives a space in which new speakers have their place; an additive-margin softmax over the
speakers of the corpus (Wang et al. 2018, "Additive Margin Softmax for Face Verification") pulls the
recordings of one speaker together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.audio.mel import MelSpectrogram
from timbrel.config import decode_config
from timbrel.errors import ConfigError
from timbrel.models.speaker import ConvSpeakerEncoder, SpeakerConfig
from timbrel.train.augment import Perturbation, perturb_waveform, repeat, uniform
from timbrel.train.data import Batch, Crops, Data, check_sample_rate
from timbrel.train.tasks import Export, Preview, Task, Update
from timbrel.train.taught import speaker_vectors
from timbrel.train.trials import equal_error_rate, pair_cosines

CARD = """# Speaker encoder

Log-mel frames in, one unit vector of 256 values out: near for recordings of one voice. Taught by
Resemblyzer (Resemble AI, Apache 2.0), which is not part of it, and by telling the speakers of its
corpus apart. Made for reports of similarity, not for letting anyone in.
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """Fields:

    model: sizes of the network, see `SpeakerConfig`.
    perturbation: what the student hears that the teacher did not; its speed is not used.
    least_seconds: a crop is cut to between this and its whole length, and repeated to fill it.
    distillation, classification: weights of the two losses.
    margin, scale: of the softmax over the cosines to the speakers of the corpus.
    """

    model: dict[str, Any] = field(default_factory=dict)
    perturbation: Perturbation = field(default_factory=Perturbation)
    least_seconds: float = 1.5
    distillation: float = 4.0
    classification: float = 0.25
    margin: float = 0.2
    scale: float = 30.0


def build(settings: Settings, data: Data) -> SpeakerTask:
    """The task, with the teacher's vectors of the corpus and a prototype for each of its speakers.

    Raises:
        ConfigError: a setting cannot be.
        TrainingError: the corpus has another sample rate, or was not taught.
    """
    config = decode_config(settings.model, SpeakerConfig, name="settings.model")
    check_sample_rate(data, config.mel.sample_rate)
    teacher_dim = speaker_vectors(data.root, [data.clips[0].id]).shape[1]
    if config.embedding_dim != teacher_dim:
        raise ConfigError(f"settings.model.embedding_dim must be the teacher's {teacher_dim}.")
    return SpeakerTask(config, settings, data.root, len(data.speakers))


class Prototypes(nn.Module):
    """One direction for each speaker; the loss asks an embedding to be nearest to its own.

    The cosine to the right one counts as `margin` less than it is, so being just nearest is not enough.
    """

    def __init__(self, speakers: int, dim: int, margin: float, scale: float) -> None:
        super().__init__()
        self.margin, self.scale = margin, scale
        self.weight = nn.Parameter(0.05 * torch.randn(speakers, dim))

    def forward(self, embeddings: Tensor, speakers: Tensor) -> Tensor:
        """Unit vectors (B, E) and their speakers (B,) -> cross-entropy, ()."""
        cosines = embeddings @ functional.normalize(self.weight, dim=-1).T
        right = functional.one_hot(speakers, len(self.weight))
        return functional.cross_entropy(self.scale * (cosines - self.margin * right), speakers)


class SpeakerTask(Task):
    """The encoder and, in training only, the prototypes of the corpus."""

    def __init__(self, config: SpeakerConfig, settings: Settings, root: Path, speakers: int) -> None:
        super().__init__()
        self.model = ConvSpeakerEncoder(config)
        prototypes = Prototypes(speakers, config.embedding_dim, settings.margin, settings.scale)
        self.trained = nn.ModuleDict({"encoder": self.model, "prototypes": prototypes})
        self.front_end = MelSpectrogram(config.mel)
        self.settings, self.root = settings, root

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"model": self.trained}

    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        embeddings = self.model(self.perturbed(batch.source, generator))
        distillation = self._distance(embeddings, batch.source.ids)
        with torch.autocast(embeddings.device.type, enabled=False):
            classification = self.trained["prototypes"](embeddings, batch.source.speakers)
        loss = self.settings.distillation * distillation + self.settings.classification * classification
        logs = {"loss": loss, "distillation": distillation, "classification": classification}
        yield Update(loss, "model", dict(logs))

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        embeddings = torch.cat([self.model(self.clean(batch.source)) for batch in batches])
        ids = [clip for batch in batches for clip in batch.source.ids]
        speakers = torch.cat([batch.source.speakers for batch in batches])
        distance = float(self._distance(embeddings, ids))
        rate = equal_error_rate(*pair_cosines(embeddings, speakers, ids))
        return {"loss": distance, "distillation": distance, "equal_error_rate": rate}

    def preview(self, batch: Batch) -> Preview:
        return Preview({"mel": self.clean(batch.source)[0]})

    def export(self) -> Export:
        return Export(ConvSpeakerEncoder.family, self.model.config, self.model.state_dict(), CARD)

    @torch.no_grad()
    def perturbed(self, crops: Crops, generator: torch.Generator) -> Tensor:
        """Mels (B, T, D) of shorter pieces, repeated, as `Perturbation` says."""
        spec, ranges = self.front_end.spec, self.settings.perturbation
        longest = crops.audio.shape[1]
        shortest = min(longest, round(self.settings.least_seconds * spec.sample_rate))
        lengths = uniform((len(crops.ids),), shortest, longest, generator).long().to(crops.lengths.device)
        audio = repeat(crops.audio, torch.minimum(lengths, crops.lengths))
        mel: Tensor = self.front_end(perturb_waveform(audio, spec.sample_rate, ranges, generator))
        return mel

    def clean(self, crops: Crops) -> Tensor:
        """Mels (B, T, D) of whole crops, repeated where they are short."""
        mel: Tensor = self.front_end(repeat(crops.audio, crops.lengths))
        return mel

    def _distance(self, embeddings: Tensor, ids: Sequence[str]) -> Tensor:
        """Mean cosine distance to the teacher's vectors."""
        vectors = torch.from_numpy(speaker_vectors(self.root, ids)).to(embeddings.device)
        return (1 - functional.cosine_similarity(embeddings, vectors, dim=-1)).mean()
