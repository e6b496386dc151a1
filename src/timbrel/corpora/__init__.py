"""Corpora: each reader yields `Utterance` rows and nothing more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from timbrel.errors import CorpusError

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"})


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording of one speaker.

    Fields:
        id: "speaker/name", unique in the corpus and fit for a file name.
        language, sex, text: "" where nothing is known; `sex` is F or M.
        split: "train", "dev" or what the corpus calls it.
        extra: whatever else the corpus says, such as licence, tier or accent.
    """

    id: str
    speaker: str
    path: Path
    language: str = ""
    sex: str = ""
    text: str = ""
    split: str = "train"
    extra: dict[str, str] = field(default_factory=dict)


def check_ids(utterances: Iterable[Utterance]) -> None:
    """Makes sure that ids are unique and can be file names.

    Raises:
        CorpusError: naming the first id that is not.
    """
    paths: dict[str, Path] = {}
    for utterance in utterances:
        parts = utterance.id.split("/")
        if len(parts) != 2 or any(not part or part.startswith(".") or "\\" in part for part in parts):
            raise CorpusError(
                f"{utterance.path}: speaker and name make the id {utterance.id!r}, which cannot be a file "
                "name: rename the speaker or the file."
            )
        if utterance.id in paths:
            raise CorpusError(
                f"{paths[utterance.id]} and {utterance.path} would both be called {utterance.id}: "
                "rename or remove one."
            )
        paths[utterance.id] = utterance.path


def hold_out(ids_by_speaker: dict[str, list[str]], every: int = 20) -> set[str]:
    """Ids to keep for validation where a corpus names no split: every 20th clip of each speaker.

    If nobody has so many, the last clip of the speaker who has most, unless it is the only one.
    """
    held = {clip for clips in ids_by_speaker.values() for clip in sorted(clips)[every - 1 :: every]}
    if held:
        return held
    counts = Counter({speaker: len(clips) for speaker, clips in sorted(ids_by_speaker.items())})
    return {max(ids_by_speaker[speaker]) for speaker, count in counts.most_common(1) if count > 1}
