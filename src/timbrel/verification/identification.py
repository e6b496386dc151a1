"""Whose voice is it, among those that are known? Or nobody's of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timbrel.corpora import AUDIO_SUFFIXES, recordings_below
from timbrel.errors import AudioError, ContractError, CorpusError
from timbrel.likeness import unit
from timbrel.verification.hearing import Hearing, Progress
from timbrel.verification.scoring import Cohort, Scorer
from timbrel.voice import SUFFIX, Voice


@dataclass(frozen=True, slots=True)
class Candidate:
    """A voice that it may be, the mean score with its recordings, and how many these are."""

    name: str
    score: float
    recordings: int


@dataclass(frozen=True, slots=True)
class Identified:
    """All candidates, the most alike first, and what could not be compared."""

    candidates: tuple[Candidate, ...]
    excluded: tuple[str, ...]


def identify(
    file: Path, among: Path, hearing: Hearing, cohort: Cohort | None = None, progress: Progress | None = None
) -> Identified:
    """Ranks the voices of a folder by their likeness to a recording.

    Voices are folders of recordings, `.voice` files and single recordings, each named by its file or
    folder. A copy of the recording itself does not count.

    Raises:
        AudioError: the recording cannot be used.
        CorpusError: the folder holds no voice that can be compared.
        ContractError: a `.voice` file was made by another speaker encoder.
    """
    voices = dict(_voices(among))
    if not voices:
        raise CorpusError(
            f"{among} holds no voices: expected folders of recordings, {SUFFIX} files or recordings in it."
        )
    enrolled = {name: path for name, (path, *_) in voices.items() if path.suffix == SUFFIX}
    recorded = {name: paths for name, paths in voices.items() if name not in enrolled}
    paths = [file, *(path for own in recorded.values() for path in own)]
    vectors = hearing.hear(paths, progress)
    if 0 in vectors.problems:
        raise AudioError(vectors.problems[0])
    rows = [vectors.values, *(_enrolled(path, hearing)[None] for path in enrolled.values())]
    owners = np.repeat(np.arange(len(recorded)), [len(own) for own in recorded.values()])
    owners = np.concatenate([owners, len(recorded) + np.arange(len(enrolled))]).astype(int)
    copies = np.array([content == vectors.contents[0] for content in vectors.contents])
    usable = np.concatenate([(vectors.usable & ~copies)[1:], np.ones(len(enrolled), bool)])
    values = np.concatenate(rows)
    scores = Scorer(values, cohort)(np.zeros(len(usable), int), 1 + np.arange(len(usable)))
    excluded = [*vectors.problems.values()]
    excluded += [f"{paths[i]} is a copy of {file}." for i in np.flatnonzero(copies) if i > 0]
    return Identified(_ranked([*recorded, *enrolled], scores[usable], owners[usable]), tuple(excluded))


def chance_of_any(false_accepts: float, voices: int) -> float:
    """How often a stranger is taken for at least one of so many voices, 0..1, if they are independent."""
    return float(-np.expm1(voices * np.log1p(-min(false_accepts, 1 - 1e-12))))


def _ranked(names: list[str], scores: np.ndarray, owners: np.ndarray) -> tuple[Candidate, ...]:
    if len(scores) == 0:
        raise CorpusError("None of the voices can be compared: all their recordings were excluded.")
    counts = np.bincount(owners, minlength=len(names))
    means = np.bincount(owners, scores, len(names)) / np.maximum(counts, 1)
    order = sorted(np.flatnonzero(counts), key=lambda number: -means[number])
    return tuple(Candidate(names[number], float(means[number]), int(counts[number])) for number in order)


def _voices(among: Path) -> Iterator[tuple[str, list[Path]]]:
    """Names and what there is of each."""
    if not among.is_dir():
        raise CorpusError(f"{among} is not a folder: give one with the known voices in it.")
    named: dict[str, Path] = {}
    for path in sorted(among.iterdir()):
        if path.name.startswith("."):
            continue
        recordings = _recordings(path)
        if not recordings:
            continue
        name = path.name if path.is_dir() else path.stem
        if name in named:
            raise CorpusError(f"{named[name]} and {path} would both be called {name}: rename one.")
        named[name] = path
        yield name, recordings


def _recordings(path: Path) -> list[Path]:
    if path.is_dir():
        return recordings_below(path)
    return [path] if path.suffix.lower() in AUDIO_SUFFIXES | {SUFFIX} else []


def _enrolled(path: Path, hearing: Hearing) -> np.ndarray:
    """The unit vector of a voice file."""
    voice = Voice.load(path)
    if hearing.fingerprint not in voice.embeddings:
        raise ContractError(
            f"{path} was enrolled with the model {voice.model} and has no vector by the speaker encoder "
            f"{hearing.name} ({hearing.fingerprint}): enrol it again, or name that model with --model."
        )
    vector = voice.embeddings[hearing.fingerprint].float().numpy()
    return unit(vector)
