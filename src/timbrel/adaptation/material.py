"""What a speaker's recordings give to learn from: stretches of speech, some of them held out.

Everything is measured on whole recordings, as a conversion measures it, and then cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from timbrel.adaptation.base import Base
from timbrel.analysis import analyse
from timbrel.audio import condition, io
from timbrel.audio.io import Waveform
from timbrel.audio.pitch import FRAME_RATE, VOICED
from timbrel.errors import AudioError
from timbrel.inspection.voices import MOST_SPLIT
from timbrel.likeness import cosine_of_groups, divide
from timbrel.wording import listed

#: Seconds of speech without which there is too little to learn from and to measure on.
LEAST_SPEECH = 30.0
#: Seconds of recordings that are used at most.
MOST_SECONDS = 900.0
#: Recordings are heard in parts of this length, so that memory does not grow with theirs.
_PART_SECONDS = 60.0
#: Shorter ones are left out.
_LEAST_SECONDS = 1.6
_UNUSED = "It holds too little speech to learn from and is left out."
_BEYOND = f"Of all recordings together {MOST_SECONDS / 60:.0f} min are used; the rest of it is not heard."
#: Content frames that are learned from at a time, 1.5 s.
CROP = 96
#: Content frames of a stretch, about 6 s.
_STRETCH = 375
#: A stretch with a smaller share of voiced frames is a pause or noise.
_LEAST_VOICED = 0.1
#: One stretch in so many is held out, within these bounds.
_HELD_OUT_EVERY, _FEWEST_HELD_OUT, _MOST_HELD_OUT = 6, 2, 10


@dataclass(frozen=True, slots=True)
class Stretch:
    """K content frames of one recording at the standard level.

    Fields:
        audio: from the centre of the first frame on, (hop * K - hop / 2,).
        content, mel: (K, C) and (K, 2 D), see `models.converter`.
        speech: (K,), true where a reference counts.
        f0, voicing: (K,), in Hz and as a probability.
    """

    audio: Tensor
    content: Tensor
    mel: Tensor
    speech: Tensor
    f0: Tensor
    voicing: Tensor

    @property
    def frames(self) -> int:
        return len(self.content)

    def crop(self, start: int, frames: int = CROP) -> Stretch:
        """`frames` frames from frame `start` on."""
        hop = (2 * len(self.audio)) // (2 * self.frames - 1)
        part = slice(start, start + frames)
        return Stretch(
            self.audio[hop * start : hop * (start + frames) - hop // 2],
            *(track[part] for track in (self.content, self.mel, self.speech, self.f0, self.voicing)),
        )


@dataclass(frozen=True, slots=True)
class Material:
    """One speaker's speech.

    Fields:
        train, held_out: stretches to learn from, and those to measure on.
        speech_seconds: of speech in all recordings.
        recordings: those that it was cut from.
        warnings: what is wrong with them, in sentences.
    """

    train: tuple[Stretch, ...]
    held_out: tuple[Stretch, ...]
    speech_seconds: float
    recordings: tuple[Path, ...]
    warnings: tuple[str, ...]

    @property
    def held_out_seconds(self) -> float:
        """How long the held-out stretches last."""
        return sum(stretch.frames for stretch in self.held_out) / FRAME_RATE


def gather(base: Base, references: Sequence[Path]) -> Material:
    """Reads, checks and cuts recordings of one person.

    Raises:
        AudioError: a recording cannot be read or is there twice, there is too little speech, or two people
            speak.
    """
    parts, beyond = _read(references, base.rate)
    warnings = [f"{path.name}: {_BEYOND}" for path in beyond]
    found = [condition.assess(part.waveform) for part in parts]
    for part, one in zip(parts, found, strict=True):
        if part.first:
            # Little speech in one of many recordings is no fault.
            enough = replace(one, speech_seconds=max(one.speech_seconds, condition.FEW_SPEECH_SECONDS))
            warnings += [f"{part.path.name}: {sentence}" for sentence in condition.warnings(enough)]
    seconds = sum(one.speech_seconds for one in found)
    if seconds < LEAST_SPEECH:
        raise _too_little(references, seconds)
    taken = [(part.path, stretch) for part in parts for stretch in cut(base, part.waveform)]
    stretches = [stretch for _, stretch in taken]
    if len(stretches) < 2 * _FEWEST_HELD_OUT:
        raise _too_little(references, seconds)
    _require_one_voice(base, stretches, references)
    train, held_out = hold_out(stretches)
    used = tuple(dict.fromkeys(path for path, _ in taken))
    said = {*used, *beyond}
    warnings += [f"{path.name}: {_UNUSED}" for path in references if path not in said]
    return Material(train, held_out, seconds, used, tuple(warnings))


def cut(base: Base, waveform: Waveform) -> Iterator[Stretch]:
    """The stretches of a recording at the base's rate that hold speech."""
    analysis = analyse([waveform.samples.numpy()])
    samples = waveform.samples * analysis.gain
    heard = base.hear(samples)
    frames = len(samples) // base.hop
    whole = Stretch(
        audio=samples[: base.hop * frames - base.hop // 2],
        content=heard["content"][:frames],
        mel=heard["mel"][:frames],
        speech=heard["speech"][:frames],
        f0=torch.from_numpy(np.exp(analysis.log_f0[:frames])),
        voicing=torch.from_numpy(analysis.voicing_from(0, frames)),
    )
    count = max(1, round(frames / _STRETCH))
    edges = np.linspace(0, frames, count + 1).astype(int).tolist()
    for start, stop in pairwise(edges):
        if stop - start >= CROP:
            stretch = whole.crop(start, stop - start)
            if float((stretch.voicing > VOICED).float().mean()) >= _LEAST_VOICED:
                yield stretch


def hold_out(stretches: Sequence[Stretch]) -> tuple[tuple[Stretch, ...], tuple[Stretch, ...]]:
    """The stretches to learn from, and those spread evenly between them that are kept back."""
    count = min(max(len(stretches) // _HELD_OUT_EVERY, _FEWEST_HELD_OUT), _MOST_HELD_OUT)
    places = set(((np.arange(count) + 0.5) * len(stretches) / count).astype(int).tolist())
    train = tuple(stretch for place, stretch in enumerate(stretches) if place not in places)
    return train, tuple(stretches[place] for place in sorted(places))


def joined(stretches: Sequence[Stretch]) -> Tensor:
    """Their audio end to end, (L,)."""
    return torch.cat([stretch.audio for stretch in stretches])


@dataclass(frozen=True, slots=True)
class _Part:
    """A minute of a recording, or what is left of it; `first` if it is the beginning."""

    waveform: Waveform
    path: Path
    first: bool


def _read(references: Sequence[Path], rate: int) -> tuple[list[_Part], list[Path]]:
    """The recordings in parts, as far as there is room, and those of which there is no room for all."""
    parts: list[_Part] = []
    beyond: list[Path] = []
    room, beginnings = MOST_SECONDS, dict[bytes, str]()
    for reference in references:
        begun = len(parts)
        for samples in io.stream(reference, rate, _PART_SECONDS):
            part = _Part(Waveform(torch.from_numpy(samples), rate), reference, len(parts) == begun)
            if part.first:
                _require_new(samples, reference.name, beginnings)
            room -= part.waveform.duration
            if room < 0:
                beyond.append(reference)
                break
            if part.waveform.duration >= _LEAST_SECONDS:
                parts.append(part)
    return parts, beyond


def _require_new(samples: np.ndarray, name: str, beginnings: dict[bytes, str]) -> None:
    """Held-out speech must not be learned from under another name."""
    digest = hashlib.sha256(samples.tobytes()).digest()
    if digest in beginnings:
        raise AudioError(f"{name} is the same recording as {beginnings[digest]}: give each only once.")
    beginnings[digest] = name


def _require_one_voice(base: Base, stretches: Sequence[Stretch], references: Sequence[Path]) -> None:
    vectors = np.stack([base.embed(stretch.audio).numpy() for stretch in stretches])
    cosine = cosine_of_groups(vectors, divide(vectors))
    if cosine < MOST_SPLIT:
        raise AudioError(
            f"{_named(references)}: two voices are heard, {cosine:.2f} alike where one person's speech has "
            f"{MOST_SPLIT:.2f} and more; give recordings of one person alone."
        )


def _too_little(references: Sequence[Path], seconds: float) -> AudioError:
    return AudioError(
        f"{_named(references)}: {seconds:.0f} s of clear speech found in recordings of {_LEAST_SECONDS} s "
        f"and more, where {LEAST_SPEECH:.0f} s are wanted and a few minutes are better: give more of the "
        "same person."
    )


def _named(references: Sequence[Path]) -> str:
    return listed([one.name for one in references], 1)
