"""Trials: pairs of recordings, each of one speaker or of two, in blocks that fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timbrel.corpora import Utterance, by_speaker
from timbrel.errors import CorpusError

#: Pairs that are scored at once.
BLOCK = 1 << 14
#: Every pair of a corpus is a trial up to this many; beyond, fewer recordings of each speaker are heard.
MOST_PAIRS = 10_000_000


@dataclass(frozen=True, slots=True)
class Block:
    """Some trials: numbers of two recordings (n,), and whether both are of one speaker (n,) bool."""

    first: np.ndarray
    second: np.ndarray
    same: np.ndarray


@dataclass(frozen=True, slots=True)
class Trials:
    """Recordings and which pairs of them are compared.

    Fields:
        paths: (R) recordings.
        speakers: (R,) numbers of their speakers.
        names: of the speakers.
        listed: the pairs of a list; None where every pair of recordings is a trial, once.
        missing: files that a list names and that are not there; their trials are left out.
        left_out: trials of the list that were left out because of that.
        notes: what was decided about the data, in sentences.
    """

    paths: tuple[Path, ...]
    speakers: np.ndarray
    names: tuple[str, ...]
    listed: Block | None = None
    missing: tuple[str, ...] = ()
    left_out: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        count = len(self.paths)
        return count * (count - 1) // 2 if self.listed is None else len(self.listed.first)

    def blocks(self) -> Iterator[Block]:
        """All trials, at each call the same ones in the same order."""
        return self._all_pairs() if self.listed is None else _slices(self.listed)

    def _all_pairs(self) -> Iterator[Block]:
        count = len(self.paths)
        rows = max(1, BLOCK // max(1, count))
        numbers = np.arange(count, dtype=np.int32)
        for start in range(0, count, rows):
            own, second = np.nonzero(numbers[None, :] > numbers[start : start + rows, None])
            first = own + start
            yield Block(first, second, self.speakers[first] == self.speakers[second])


def of_corpus(utterances: Sequence[Utterance], most_pairs: int = MOST_PAIRS) -> Trials:
    """Every pair of the recordings of a corpus.

    Of a corpus with more pairs than `most_pairs`, as many recordings of each speaker are taken as stay
    below it, spread evenly over those there are; if one of each is too many, all speakers keep one.

    Raises:
        CorpusError: it is a prepared corpus, or it has no recordings.
    """
    prepared = [one for one in utterances if one.path.suffix == ".safetensors"]
    if prepared:
        raise CorpusError(
            f"{prepared[0].path} is a clip of a prepared corpus: give the corpus it was prepared from."
        )
    groups = by_speaker(utterances)
    if not groups:
        raise CorpusError("The corpus has no recordings.")
    each = _recordings_each([len(own) for own in groups.values()], most_pairs)
    kept = {name: _spread([one.path for one in own], each) for name, own in sorted(groups.items())}
    speakers = np.repeat(np.arange(len(kept), dtype=np.int32), [len(own) for own in kept.values()])
    notes = (
        [f"{len(utterances)} recordings make too many pairs: of each speaker at most {each} are used."]
        if len(speakers) < len(utterances)
        else []
    )
    paths = tuple(path for own in kept.values() for path in own)
    return Trials(paths, speakers, tuple(kept), notes=tuple(notes))


def _slices(listed: Block) -> Iterator[Block]:
    for start in range(0, len(listed.first), BLOCK):
        part = slice(start, start + BLOCK)
        yield Block(listed.first[part], listed.second[part], listed.same[part])


def _recordings_each(counts: Sequence[int], most_pairs: int) -> int:
    """The most recordings of a speaker with which all pairs stay within `most_pairs`, at least one."""
    for each in range(max(counts), 1, -1):
        total = sum(min(count, each) for count in counts)
        if total * (total - 1) // 2 <= most_pairs:
            return each
    return 1


def _spread(paths: list[Path], count: int) -> list[Path]:
    """At most `count` of them, spread evenly."""
    if len(paths) <= count:
        return paths
    return [paths[round(place)] for place in np.linspace(0, len(paths) - 1, count)]
