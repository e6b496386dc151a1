"""A folder per speaker: CORPUS/SPEAKER/.../clip.wav, with clip.txt beside it where there is a transcript."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from timbrel.corpora import AUDIO_SUFFIXES, Utterance, check_ids, hold_out
from timbrel.errors import CorpusError


def read(root: Path) -> list[Utterance]:
    """All recordings under `root`, sorted by id; every 20th of a speaker is split "dev".

    Raises:
        CorpusError: the folder is missing, or does not hold one folder of recordings per speaker.
    """
    if not root.is_dir():
        raise CorpusError(f"{root} is not a folder: expected one folder per speaker in it.")
    speakers = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    utterances = [utterance for folder in speakers for utterance in _speaker(folder)]
    if not utterances:
        raise CorpusError(
            f"{root}: expected one folder per speaker with recordings ({', '.join(sorted(AUDIO_SUFFIXES))}) "
            f"in it, found {_describe(root, speakers)}."
        )
    check_ids(utterances)
    by_speaker: dict[str, list[str]] = {}
    for utterance in utterances:
        by_speaker.setdefault(utterance.speaker, []).append(utterance.id)
    held = hold_out(by_speaker)
    return [replace(one, split="dev") if one.id in held else one for one in utterances]


def _speaker(folder: Path) -> list[Utterance]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    return [
        Utterance(f"{folder.name}/{_name(path, folder)}", folder.name, path, text=_transcript(path))
        for path in paths
        if path.is_file() and not path.name.startswith(".")
    ]


def _name(path: Path, folder: Path) -> str:
    """chapter/clip.wav -> chapter-clip."""
    return "-".join(path.relative_to(folder).with_suffix("").parts)


def _transcript(path: Path) -> str:
    text = path.with_suffix(".txt")
    return text.read_text(encoding="utf-8", errors="replace").strip() if text.is_file() else ""


def _describe(root: Path, speakers: list[Path]) -> str:
    loose = sum(path.suffix.lower() in AUDIO_SUFFIXES for path in root.iterdir())
    if loose:
        return f"{loose} recordings directly in it: move each speaker's into a folder of their own"
    return f"{len(speakers)} folders without recordings" if speakers else "no folder"
