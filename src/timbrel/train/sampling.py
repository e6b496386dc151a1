"""Which clips make up a batch: a function of (seed, step) alone, by the balance of the recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from timbrel.corpora.prepared import Clip
from timbrel.errors import CorpusError
from timbrel.train.recipe import DataRecipe
from timbrel.wording import counted

# A stream of random numbers of its own.
_ORDER = 1


def by_speaker(clips: Sequence[Clip]) -> dict[str, list[int]]:
    """Indices of the clips of each speaker, in the order of the speakers' names."""
    found: dict[str, list[int]] = {speaker: [] for speaker in sorted({clip.speaker for clip in clips})}
    for index, clip in enumerate(clips):
        found[clip.speaker].append(index)
    return found


class Sampler:
    """Draws clips as `recipe.balance` says; see `DataRecipe`."""

    def __init__(
        self, clips: Sequence[Clip], clips_of: dict[str, list[int]], recipe: DataRecipe, seed: int
    ) -> None:
        self.clips, self.recipe, self.seed = clips, recipe, seed
        self._clips_of, self._speakers = clips_of, list(clips_of)

    def choose(self, step: int, random: np.random.Generator) -> list[int]:
        """Indices of the clips in the batch of a step, drawn by `random`, the step's own."""
        batch = self.recipe.batch
        if self.recipe.balance == "grid":
            return self._grid(random)
        if self.recipe.balance == "speakers":
            speakers = [self._speakers[i] for i in random.integers(len(self._speakers), size=batch)]
            return [int(random.choice(self._clips_of[speaker])) for speaker in speakers]
        if self.recipe.balance == "seconds":
            return [int(i) for i in random.choice(len(self.clips), batch, p=self._chances)]
        return [self._at(position) for position in range(step * batch, (step + 1) * batch)]

    def _grid(self, random: np.random.Generator) -> list[int]:
        """N speakers, all different, with M different clips each; a speaker's clips follow each other."""
        each = self.recipe.utterances_per_speaker
        count = min(self.recipe.batch // each, len(self._speakers))
        drawn = random.choice(len(self._speakers), count, replace=False)
        clips = [random.choice(self._clips_of[self._speakers[i]], each, replace=False) for i in drawn]
        return [int(i) for i in np.concatenate(clips)]

    @cached_property
    def _chances(self) -> np.ndarray:
        """How likely each clip is with the balance "seconds", (N,)."""
        total = {speaker: sum(self.clips[i].seconds for i in own) for speaker, own in self._clips_of.items()}
        favour = self.recipe.favour.items()
        weights = np.array(
            [
                clip.seconds
                / total[clip.speaker] ** self.recipe.evenness
                * math.prod(factors.get(clip.column(name) or "", 1.0) for name, factors in favour)
                for clip in self.clips
            ]
        )
        chances: np.ndarray = weights / weights.sum()
        return chances

    def _at(self, position: int) -> int:
        """The clip at a position in the endless order that takes all clips once per round."""
        epoch, place = divmod(position, len(self.clips))
        if epoch not in self._orders:
            random = np.random.default_rng([self.seed, _ORDER, epoch])
            self._orders.clear()
            self._orders[epoch] = random.permutation(len(self.clips))
        return int(self._orders[epoch][place])

    @cached_property
    def _orders(self) -> dict[int, np.ndarray]:
        """The order of the round last asked for, kept only to save time."""
        return {}


def require_grid(root: Path, recipe: DataRecipe, split: str, clips_of: dict[str, list[int]]) -> None:
    """Checks that a split can fill the balance "grid"; to validate on, two speakers are enough.

    Raises:
        CorpusError: naming a speaker with too few clips, or saying how many speakers there are.
    """
    each, wanted = recipe.utterances_per_speaker, recipe.batch // recipe.utterances_per_speaker
    wanted = min(2, wanted) if split == recipe.validation else wanted
    for speaker, clips in clips_of.items():
        if len(clips) < each:
            raise CorpusError(
                f"{root}: {speaker} has {counted(len(clips), 'clip')} of split {split!r}, where "
                f"data.utterances_per_speaker wants {each}: set data.min_utterances = {each} to leave such "
                "speakers out."
            )
    if len(clips_of) < wanted:
        raise CorpusError(
            f"{root} has {counted(len(clips_of), 'speaker')} in split {split!r} and a batch wants {wanted}: "
            "lower data.batch, or data.min_utterances if it leaves speakers out."
        )
