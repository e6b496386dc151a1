"""How well a model knows the speaker: errors on held-out speech, and conversions beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from timbrel import recordings
from timbrel.adaptation import lesson
from timbrel.adaptation.base import Base
from timbrel.adaptation.material import CROP, Material, joined
from timbrel.audio.io import Waveform
from timbrel.models.converter import Converter
from timbrel.train.spectral import SpectralDistance

#: As in the recipe of the bundled model.
MEL_WEIGHT, SPECTRA_WEIGHT = 3.75, 2.0
#: Of each source, what is converted for measuring.
_SOURCE_SECONDS = 20.0
#: Crops of held-out speech at most, a minute and a half.
_MOST_CROPS = 60
#: Crops that are said at a time.
_TOGETHER = 12
_DECIBELS = 20 / math.log(10)


class HeldOut:
    """The held-out speech in crops, with the rest as their reference; the same at every call.

    What the speaker says is heard in disguise, as training hears it.
    """

    def __init__(self, base: Base, material: Material) -> None:
        crops = [
            stretch.crop(start)
            for stretch in material.held_out
            for start in range(0, stretch.frames - CROP + 1, CROP)
        ][:_MOST_CROPS]
        generator = torch.Generator().manual_seed(1)
        self._lessons = [
            lesson.compose(base, crops[start : start + _TOGETHER], material.train, generator)
            for start in range(0, len(crops), _TOGETHER)
        ]
        self._distance = SpectralDistance(base.rate).to(base.networks.device)
        self._mel = base.networks.mel

    @torch.no_grad()
    def loss(self, converter: Converter) -> float:
        """The distance that training makes smaller."""
        return self._mean(converter, self._weighted)

    @torch.no_grad()
    def mel_error_db(self, converter: Converter) -> float:
        """Mean absolute difference of the log-mels of what is rebuilt and what was recorded."""
        return self._mean(converter, self._mel_error)

    def _mean(self, converter: Converter, figure: Callable[[Tensor, Tensor], Tensor]) -> float:
        total, count = 0.0, 0
        for one in self._lessons:
            made = lesson.say(converter, one, torch.Generator().manual_seed(1))
            total += len(made) * float(figure(made, one.target))
            count += len(made)
        return total / count

    def _weighted(self, made: Tensor, real: Tensor) -> Tensor:
        return weighted(self._distance, made, real)

    def _mel_error(self, made: Tensor, real: Tensor) -> Tensor:
        return _DECIBELS * functional.l1_loss(self._mel(made), self._mel(real))


def weighted(distance: SpectralDistance, made: Tensor, real: Tensor) -> Tensor:
    """The two distances between waveforms (B, L) in one, ()."""
    mel, spectra = distance(made, real)
    return torch.as_tensor(MEL_WEIGHT * mel + SPECTRA_WEIGHT * spectra)


@dataclass(frozen=True, slots=True)
class Figures:
    """How well a converter knows the speaker.

    Fields:
        mel_error_db: of held-out speech that is rebuilt.
        similarity: cosine of conversions to held-out speech, by the model's own speaker encoder.
    """

    mel_error_db: float
    similarity: float


class Measure:
    """Takes the figures of a converter; equal for equal weights."""

    def __init__(self, base: Base, material: Material, held_out: HeldOut, sources: Sequence[Path]) -> None:
        self._base, self._held_out = base, held_out
        self._sources = [recordings.opening(path, base.rate, _SOURCE_SECONDS) for path in sources]
        self._speaker = base.embed(joined(material.held_out))
        self._reference = Waveform(joined(material.train), base.rate)

    def __call__(self, converter: Converter) -> Figures:
        at_work = self._base.with_converter(converter)
        voice = at_work.enrol(self._reference)  # by each converter, which corrects what it lacks of the voice
        conversions = [at_work.convert(source, voice).waveform for source in self._sources]
        vectors = torch.stack([self._base.embed(made) for made in conversions])
        similarity = torch.cosine_similarity(vectors, self._speaker[None], dim=-1).mean()
        return Figures(self._held_out.mel_error_db(converter), float(similarity))
