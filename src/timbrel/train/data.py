"""A prepared corpus in memory, and batches of random crops that are a function of (seed, step) alone.

Nothing is remembered between batches: a resumed run draws what the uninterrupted one would have
drawn, and N processes together draw the batch that one would.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from timbrel.audio.pitch import FRAME_RATE
from timbrel.corpora.prepared import Clip, read_index
from timbrel.errors import CorpusError, TrainingError
from timbrel.train.recipe import DataRecipe
from timbrel.train.sampling import Sampler, by_speaker, require_grid

FULL_SCALE = 32768.0
#: A reference from the clip's own rest is taken only if this much is left.
_LEAST_REST_SECONDS = 1.0
# A stream of random numbers of its own; 1 is the order of the clips.
_BATCH = 2


@dataclass(frozen=True, slots=True)
class Crops:
    """Pieces of clips, all equally long; B crops of L samples and F pitch frames.

    Fields:
        ids: of the clips.
        audio: (B, L) float32 in [-1, 1], zero after the end of a clip.
        lengths: (B,) samples before that.
        f0, voicing: (B, F), frame i centred on second i / 62.5 of the crop; see `audio.pitch`.
        speakers: (B,) indices into `Data.speakers`.
        clips: (B,) indices into `Data.clips`.
        starts: (B,) first pitch frame of the crop within its clip.
    """

    ids: tuple[str, ...]
    audio: Tensor
    lengths: Tensor
    f0: Tensor
    voicing: Tensor
    speakers: Tensor
    clips: Tensor
    starts: Tensor

    def to(self, device: torch.device) -> Crops:
        """The same on `device`."""
        tensors = {name: getattr(self, name) for name in self.__slots__ if name != "ids"}
        return Crops(self.ids, **{name: tensor.to(device) for name, tensor in tensors.items()})


@dataclass(frozen=True, slots=True)
class Batch:
    """Crops and, if the recipe asks for them, as many other crops of the same speakers."""

    source: Crops
    reference: Crops | None = None

    def to(self, device: torch.device) -> Batch:
        """The same on `device`."""
        return Batch(self.source.to(device), self.reference and self.reference.to(device))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a crop lies: pitch frames `start` to `stop` of a clip; fewer than wanted are padded."""

    clip: int
    start: int
    stop: int


class Data:
    """Clips of one split in memory, as 16-bit samples with their pitch tracks.

    Args:
        root: folder made by `timbrel prepare`.
        recipe: what a batch is made of.
        split: which clips.
        seed: of everything drawn.

    Raises:
        CorpusError: the folder is no prepared corpus, no clip is left, or the balance is "grid" and a
            speaker has too few clips for it, or there are too few speakers to train on.
    """

    def __init__(self, root: Path, recipe: DataRecipe, split: str, seed: int) -> None:
        self.root, self.recipe, self.seed = root, recipe, seed
        self.clips = _select(root, recipe, split)
        self._clips_of = by_speaker(self.clips)
        self.speakers = list(self._clips_of)
        if recipe.balance == "grid":
            require_grid(root, recipe, split, self._clips_of)
        self._sampler = Sampler(self.clips, self._clips_of, recipe, seed)
        self.sample_rate = _sample_rate(root / self.clips[0].file)
        tracks = [_load(root / clip.file, self.sample_rate) for clip in self.clips]
        self._audio, self._f0, self._voicing = zip(*tracks, strict=True)

    @property
    def seconds(self) -> float:
        """How much there is."""
        return sum(clip.seconds for clip in self.clips)

    def summary(self) -> dict[str, Any]:
        """What a checkpoint says of the data it was trained on."""
        licences = {clip.extra["licence"] for clip in self.clips if clip.extra.get("licence")}
        return {
            "clips": len(self.clips),
            "speakers": len(self.speakers),
            "hours": round(self.seconds / 3600, 3),
            "licences": sorted(licences),
        }

    @property
    def pitch_hop(self) -> float:
        """Samples per pitch frame."""
        return self.sample_rate / FRAME_RATE

    def batch(self, step: int, rank: int = 0, processes: int = 1) -> Batch:
        """The batch of a step, or the share of it that process `rank` of `processes`, which divide it, works
        on."""
        random = np.random.default_rng([self.seed, _BATCH, step])
        sources = [
            self._draw(random, clip, self.recipe.seconds) for clip in self._sampler.choose(step, random)
        ]
        references = (
            [self._draw_reference(random, place) for place in sources] if self._wants_reference else []
        )
        share = self.recipe.batch // processes
        mine = slice(rank * share, (rank + 1) * share)
        source = self.cut(sources[mine], self.recipe.seconds)
        if not references:
            return Batch(source)
        return Batch(source, self.cut(references[mine], self.recipe.reference_seconds))

    def cut(self, places: Sequence[Place], seconds: float) -> Crops:
        """The crops at `places`, padded or cut to `seconds`."""
        samples, frames = round(seconds * self.sample_rate), math.ceil(seconds * FRAME_RATE)
        audio = torch.zeros(len(places), samples)
        pitch = torch.zeros(2, len(places), frames)
        lengths = torch.zeros(len(places), dtype=torch.long)
        for row, place in enumerate(places):
            first, last = round(place.start * self.pitch_hop), round(place.stop * self.pitch_hop)
            piece = self._audio[place.clip][first : min(last, first + samples)]
            audio[row, : len(piece)] = torch.from_numpy(piece.astype(np.float32) / FULL_SCALE)
            lengths[row] = len(piece)
            for channel, track in enumerate((self._f0, self._voicing)):
                part = track[place.clip][place.start : min(place.stop, place.start + frames)]
                pitch[channel, row, : len(part)] = torch.from_numpy(part)
        clips = [self.clips[place.clip] for place in places]
        return Crops(
            ids=tuple(clip.id for clip in clips),
            audio=audio,
            lengths=lengths,
            f0=pitch[0],
            voicing=pitch[1],
            speakers=torch.tensor([self._speaker_index[clip.speaker] for clip in clips]),
            clips=torch.tensor([place.clip for place in places]),
            starts=torch.tensor([place.start for place in places]),
        )

    @property
    def _wants_reference(self) -> bool:
        return self.recipe.reference_seconds > 0

    @cached_property
    def _speaker_index(self) -> dict[str, int]:
        return {speaker: index for index, speaker in enumerate(self.speakers)}

    def _draw(
        self, random: np.random.Generator, clip: int, seconds: float, rest: range | None = None
    ) -> Place:
        """A random crop of the clip, or of the frames `rest` of it."""
        frames = math.ceil(seconds * FRAME_RATE)
        rest = rest or range(len(self._f0[clip]))
        start = int(random.integers(rest.start, max(rest.start, rest.stop - frames) + 1))
        return Place(clip, start, min(start + frames, rest.stop))

    def _draw_reference(self, random: np.random.Generator, source: Place) -> Place:
        """A crop of another clip of the speaker, else of this one beside `source`, else anywhere."""
        seconds, own_share = self.recipe.reference_seconds, self.recipe.same_clip
        others = [i for i in self._clips_of[self.clips[source.clip].speaker] if i != source.clip]
        if others and not (own_share > 0 and random.random() < own_share):
            return self._draw(random, int(random.choice(others)), seconds)
        before, after = range(source.start), range(source.stop, len(self._f0[source.clip]))
        rest = max(before, after, key=len)
        if len(rest) < _LEAST_REST_SECONDS * FRAME_RATE:
            rest = range(len(self._f0[source.clip]))
        return self._draw(random, source.clip, seconds, rest)


def has_split(root: Path, recipe: DataRecipe, split: str) -> bool:
    """Whether the prepared corpus has clips of that split that the recipe wants."""
    return bool(_wanted(root, recipe, split))


def _wanted(root: Path, recipe: DataRecipe, split: str) -> list[Clip]:
    return [clip for clip in read_index(root) if clip.split == split and clip.matches(recipe.only)]


def _select(root: Path, recipe: DataRecipe, split: str) -> list[Clip]:
    """The clips of a split without those of speakers that have too few of them."""
    wanted = _wanted(root, recipe, split)
    if not wanted:
        raise CorpusError(f"{root} has no clips with split {split!r} that match {recipe.only or 'it'}.")
    counts = Counter(clip.speaker for clip in wanted)
    clips = [clip for clip in wanted if counts[clip.speaker] >= recipe.min_utterances]
    if not clips:
        speaker, most = counts.most_common(1)[0]
        raise CorpusError(
            f"{root} has no speaker with {recipe.min_utterances} clips of split {split!r}, which "
            f"data.min_utterances wants: {speaker} has most, {most}."
        )
    return clips


def _sample_rate(path: Path) -> int:
    with _open(path) as file:
        return int((file.metadata() or {}).get("sample_rate", 0))


def _load(path: Path, sample_rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples (T,) int16, F0 (F,) and voicing (F,) of a clip."""
    with _open(path) as file:
        rate = int((file.metadata() or {}).get("sample_rate", 0))
        if rate != sample_rate:
            raise CorpusError(
                f"{path} is at {rate} Hz, other clips at {sample_rate}: prepare all at one rate."
            )
        return file.get_tensor("audio"), file.get_tensor("f0"), file.get_tensor("voicing")


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise CorpusError(f"{path} is missing or damaged ({error}); prepare the corpus again.") from error


def check_sample_rate(data: Data, wanted: int) -> None:
    """Raises TrainingError unless the corpus was prepared at `wanted` Hz."""
    if data.sample_rate != wanted:
        raise TrainingError(
            f"{data.root} was prepared at {data.sample_rate} Hz and this recipe needs {wanted} Hz: "
            f"prepare it with --sample-rate {wanted}."
        )
