"""A folder per speaker: CORPUS/SPEAKER/.../clip.wav, with clip.txt beside it where there is a transcript."""

from __future__ import annotations

from pathlib import Path

from timbrel.corpora import (
    AUDIO_SUFFIXES,
    Utterance,
    check_ids,
    describe,
    read_text,
    recordings_below,
    with_held_out,
)
from timbrel.errors import CorpusError
from timbrel.wording import counted


def matches(root: Path) -> bool:
    """Whether there are folders in it with recordings somewhere below."""
    return root.is_dir() and any(recordings_below(path) for path in _speakers(root))


def read(root: Path) -> list[Utterance]:
    """All recordings under `root`, sorted by id; every 20th of a speaker is split "dev".

    Raises:
        CorpusError: the folder is missing, or does not hold one folder of recordings per speaker.
    """
    if not root.is_dir():
        raise CorpusError(f"{root} is not a folder: expected one folder per speaker in it.")
    speakers = _speakers(root)
    utterances = [utterance for folder in speakers for utterance in _speaker(folder)]
    if not utterances:
        raise CorpusError(
            f"{root}: expected one folder per speaker with recordings ({', '.join(sorted(AUDIO_SUFFIXES))}) "
            f"in it, found {_describe(root, speakers)}."
        )
    check_ids(utterances)
    return with_held_out(utterances)


def _speakers(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _speaker(folder: Path) -> list[Utterance]:
    name = folder.name
    return [
        Utterance(f"{name}/{_name(path, folder)}", name, path, text=read_text(path.with_suffix(".txt")))
        for path in recordings_below(folder)
    ]


def _name(path: Path, folder: Path) -> str:
    """chapter/clip.wav -> chapter-clip."""
    return "-".join(path.relative_to(folder).with_suffix("").parts)


def _describe(root: Path, speakers: list[Path]) -> str:
    names = (path for path in root.iterdir() if not path.name.startswith("."))
    loose = sum(path.suffix.lower() in AUDIO_SUFFIXES for path in names)
    if loose:
        return f"{counted(loose, 'recording')} directly in it: move each speaker's into a folder of their own"
    if speakers:
        return f"{counted(len(speakers), 'folder')} without recordings"
    return f"no folder: it holds {describe(root)}" if any(root.iterdir()) else "no folder: it is empty"
