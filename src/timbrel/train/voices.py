"""The voices of a prepared corpus, as a trained speaker encoder knows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from timbrel.corpora import by_speaker
from timbrel.corpora.prepared import Clip, read_index
from timbrel.errors import CorpusError
from timbrel.methods.listening import Listener
from timbrel.train.data import FULL_SCALE, Data


class Voices:
    """Vectors of the speakers of a corpus, each heard when it is first asked for, and kept.

    Args:
        data: what is trained on. A speaker is known by clips in it, one who has none by all they have.
        utterances: how many clips of a speaker are heard, spread evenly over all of them in order.
    """

    def __init__(self, data: Data, listener: Listener, utterances: int) -> None:
        self._root, self._sample_rate = data.root, data.sample_rate
        self._listener, self._utterances = listener, utterances
        rows = [clip for clip in read_index(data.root) if clip.matches(data.recipe.only)]
        self._speaker = {clip.id: clip.speaker for clip in rows}
        self._clips = by_speaker(rows) | by_speaker(data.clips)
        self._known: dict[str, Tensor] = {}

    def mean(self, ids: Sequence[str]) -> Tensor:
        """The mean vectors of the speakers of these clips, (B, E)."""
        return torch.stack([self._listener.mean(list(self._heard(clip))) for clip in ids])

    def drawn(self, ids: Sequence[str], generator: torch.Generator) -> Tensor:
        """The vector of one utterance, drawn at random, of each clip's speaker, (B, E)."""
        heard = [self._heard(clip) for clip in ids]
        chances = torch.rand(len(heard), generator=generator)
        return torch.stack([own[int(chance * len(own))] for own, chance in zip(heard, chances, strict=True)])

    def _heard(self, clip: str) -> Tensor:
        """The vectors of the utterances of a clip's speaker, (U, E)."""
        speaker = self._speaker[clip]
        if speaker not in self._known:
            self._known[speaker] = torch.stack([self._hear(one) for one in self._chosen(speaker)])
        return self._known[speaker]

    def _chosen(self, speaker: str) -> list[Clip]:
        clips = sorted(self._clips[speaker], key=lambda clip: clip.id)
        count = min(self._utterances, len(clips))
        return [clips[int(place)] for place in np.arange(count) * len(clips) / count]

    def _hear(self, clip: Clip) -> Tensor:
        return self._listener.embed(_samples(self._root / clip.file), self._sample_rate)


def _samples(path: Path) -> Tensor:
    """A prepared clip, (L,)."""
    try:
        return load_file(path)["audio"].float() / FULL_SCALE
    except (OSError, SafetensorError, KeyError) as error:
        raise CorpusError(f"{path} is missing or damaged ({error}); prepare the corpus again.") from error
