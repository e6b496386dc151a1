"""Corpora: each reader yields `Utterance` rows and nothing more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

from timbrel.errors import CorpusError
from timbrel.wording import listed

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"})
#: Names that an error lists of what stands in a folder.
_LISTED = 6


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording of one speaker.

    Fields:
        id: "speaker/name", unique in the corpus and fit for a file name.
        language, sex, text: "" where nothing is known; `sex` is F or M.
        split: "train", "dev" or what the corpus calls it.
        extra: whatever else the corpus says, such as age, accent, subset or licence.
        problem: why it cannot be used, where the reader knows already; one sentence.
    """

    id: str
    speaker: str
    path: Path
    language: str = ""
    sex: str = ""
    text: str = ""
    split: str = "train"
    extra: dict[str, str] = field(default_factory=dict)
    problem: str = ""


class Spoken(Protocol):
    """What one speaker said."""

    @property
    def speaker(self) -> str:
        """Who said it."""
        ...


Row = TypeVar("Row", bound=Spoken)


def recordings_below(folder: Path) -> list[Path]:
    """All recordings that lie in a folder or below it, sorted."""
    # On some file systems macOS keeps what it knows of one.wav beside it, as ._one.wav.
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def check_ids(utterances: Iterable[Utterance]) -> None:
    """Makes sure that ids are unique and can be file names.

    Raises:
        CorpusError: naming the first id that is not.
    """
    paths: dict[str, Path] = {}
    for utterance in utterances:
        parts = utterance.id.split("/")
        if len(parts) != 2 or any(not is_file_name(part) for part in parts):
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


def is_file_name(part: str) -> bool:
    """Whether this can be the name of a file or folder on any system."""
    # Control characters and bytes that are no text would break the index or another system's paths.
    bad = any(letter in "/\\" or ord(letter) < 32 or "\ud800" <= letter <= "\udfff" for letter in part)
    return bool(part) and not part.startswith(".") and not bad


def hold_out(ids_by_speaker: dict[str, list[str]]) -> set[str]:
    """Ids to keep for validation where a corpus names no split: every 20th clip of each speaker.

    If nobody has so many, the last clip of the speaker who has most, unless it is the only one.
    """
    held = {clip for clips in ids_by_speaker.values() for clip in sorted(clips)[19::20]}
    if held:
        return held
    counts = Counter({speaker: len(clips) for speaker, clips in sorted(ids_by_speaker.items())})
    return {max(ids_by_speaker[speaker]) for speaker, count in counts.most_common(1) if count > 1}


def by_speaker(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each speaker, speakers and rows in the order in which they come."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.speaker, []).append(row)
    return found


def with_held_out(utterances: list[Utterance]) -> list[Utterance]:
    """The same rows, of those to train on those of `hold_out` with split "dev"."""
    mine = by_speaker(one for one in utterances if one.split == "train")
    held = hold_out({name: [one.id for one in own] for name, own in mine.items()})
    return [replace(one, split="dev") if one.id in held else one for one in utterances]


def read_text(path: Path) -> str:
    """A transcript on one line; "" if there is no such file."""
    return one_line(path.read_text(encoding="utf-8-sig", errors="replace")) if path.is_file() else ""


def one_line(text: str) -> str:
    """The words of `text`, whatever space or line break lay between them."""
    return " ".join(text.split())


def wrong_layout(root: Path, expected: str) -> CorpusError:
    """The error that says what a corpus should look like, and what is there instead."""
    return CorpusError(f"{root}: expected {expected}; found {describe(root)}.")


def describe(root: Path) -> str:
    """What lies at a path, in a few words: "a file", "an empty folder", or names in it."""
    if not root.exists():
        return "no such folder"
    if not root.is_dir():
        return "a file"
    names = sorted(
        path.name + "/" * path.is_dir() for path in root.iterdir() if not path.name.startswith(".")
    )
    if not names:
        return "an empty folder"
    return listed(names, _LISTED)
