"""Training of speaker encoders with the GE2E loss (Wan et al. 2018).

A batch is a grid: M utterances of each of N speakers (`data.balance = "grid"`). Several processes
embed their shares, then each compares the embeddings of all, so the loss is that of the joint batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from timbrel.config import decode_config
from timbrel.errors import ConfigError
from timbrel.models.convgru_embedder import ConvGRUEmbedder
from timbrel.models.embedding import listen
from timbrel.models.ge2e import DVector
from timbrel.models.ge2e_loss import Form, GE2ELoss, gather
from timbrel.models.gru_embedder import GRUEmbedder
from timbrel.train.augment import repeat
from timbrel.train.data import Batch, Crops, Data, check_sample_rate
from timbrel.train.pictures import embedding_map
from timbrel.train.tasks import Export, Preview, Task, Update
from timbrel.train.trials import equal_error_rate, pair_cosines

Encoder = DVector | GRUEmbedder | ConvGRUEmbedder

_ENCODERS: dict[str, type[Encoder]] = {"lstm": DVector, "gru": GRUEmbedder, "convgru": ConvGRUEmbedder}
# A stream of random numbers of its own.
_LENGTH = 3

CARD = """# {family}

Speech in, one vector of {dim} values out: near for recordings of one voice. Trained with the
generalised end-to-end loss (Wan et al. 2018). Made to tell a voice converter who should speak and to
report similarity, not for letting anyone in.
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """Fields:

    encoder: "lstm" is `DVector`, "gru" `GRUEmbedder`, "convgru" `ConvGRUEmbedder`.
    model: sizes that differ from the published ones, see the encoder's Config.
    form, scale, offset, gradient_share: of the loss, see `GE2ELoss`. Adam scales every gradient to
        the same size, so with it `gradient_share` acts only through the norm that is clipped.
    least_seconds: the crops of a step are cut to one length between this and their whole.
    """

    encoder: Literal["lstm", "gru", "convgru"] = "lstm"
    model: dict[str, Any] = field(default_factory=dict)
    form: Form = "softmax"
    scale: float = 10.0
    offset: float = -5.0
    gradient_share: float = 0.01
    least_seconds: float = 1.6


def build(settings: Settings, data: Data) -> GE2ETask:
    """The task.

    Raises:
        ConfigError: the data is no grid of at least 2 x 2, or crops are shorter than `least_seconds`.
        TrainingError: the corpus was prepared at another rate than the encoder hears.
    """
    encoder = _ENCODERS[settings.encoder]
    config: Any = decode_config(settings.model, encoder.Config, name="settings.model")
    check_sample_rate(data, config.spec_in.sample_rate)
    each = data.recipe.utterances_per_speaker
    if data.recipe.balance != "grid" or each < 2 or data.recipe.batch < 2 * each:
        raise ConfigError(
            'The task ge2e needs data.balance = "grid" with at least 2 data.utterances_per_speaker of '
            f"at least 2 speakers in data.batch, not {each} and a batch of {data.recipe.batch}."
        )
    if not 0 < settings.least_seconds <= data.recipe.seconds:
        raise ConfigError(
            f"settings.least_seconds must lie above 0 and within data.seconds = {data.recipe.seconds}, "
            f"not be {settings.least_seconds}."
        )
    return GE2ETask(encoder(config), settings, each, data.seed)


class GE2ETask(Task):
    """The encoder and, in training only, the scale and offset of the loss.

    Args:
        encoder: what to train.
        utterances: M, of each speaker in a batch.
        seed: of the lengths of crops.
    """

    def __init__(self, encoder: Encoder, settings: Settings, utterances: int, seed: int) -> None:
        super().__init__()
        self.model = encoder
        self.loss = GE2ELoss(settings.form, settings.scale, settings.offset, settings.gradient_share)
        self.trained = nn.ModuleDict({"encoder": self.model, "loss": self.loss})
        self.least_seconds, self.utterances, self.seed = settings.least_seconds, utterances, seed

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"model": self.trained}

    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        samples = self._length(batch.source.audio.shape[1], step)
        loss = self._loss(gather(self.embed(batch.source, samples)))
        logs = {"loss": loss, "scale": self.loss.scale, "offset": self.loss.offset}
        yield Update(loss, "model", dict(logs))

    def after_step(self, step: int) -> None:
        self.loss.keep_positive()

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        parts = [self.embed(batch.source, batch.source.audio.shape[1]) for batch in batches]
        loss = torch.stack([self._loss(part) for part in parts]).mean()
        speakers = torch.cat([batch.source.speakers for batch in batches])
        ids = [name for batch in batches for name in batch.source.ids]
        rate = equal_error_rate(*pair_cosines(torch.cat(parts), speakers, ids))
        return {"loss": float(loss), "equal_error_rate": rate}

    def preview(self, batch: Batch) -> Preview:
        embeddings = self.embed(batch.source, batch.source.audio.shape[1])
        return Preview(pictures={"embeddings": embedding_map(embeddings, batch.source.speakers)})

    def export(self) -> Export:
        card = CARD.format(family=self.model.family, dim=self.model.config.embedding_dim)
        return Export(self.model.family, self.model.config, self.model.state_dict(), card)

    def embed(self, crops: Crops, samples: int) -> Tensor:
        """Embeddings (B, E) of the first `samples` of each crop, short ones repeated to fill them."""
        audio = repeat(crops.audio[:, :samples], crops.lengths.clamp(max=samples))
        embeddings: Tensor = self.model(listen(self.model.spec_in, audio, self.model.spec_in.sample_rate))
        return embeddings

    def _loss(self, embeddings: Tensor) -> Tensor:
        """Of (N * M, E), the utterances of a speaker side by side."""
        with torch.autocast(embeddings.device.type, enabled=False):
            loss: Tensor = self.loss(embeddings.unflatten(0, (-1, self.utterances)))
            return loss

    def _length(self, longest: int, step: int) -> int:
        """Samples of the crops of a step, at most `longest`, the same in every process."""
        shortest = min(longest, round(self.least_seconds * self.model.spec_in.sample_rate))
        return int(np.random.default_rng([self.seed, _LENGTH, step]).integers(shortest, longest + 1))
