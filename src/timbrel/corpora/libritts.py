"""LibriTTS and LibriTTS-R: the books of LibriSpeech cut into sentences, at 24 kHz.

speakers.tsv or SPEAKERS.txt
train-clean-100/19/198/19_198_000000_000000.wav
train-clean-100/19/198/19_198_000000_000000.normalized.txt and .original.txt
"""

from __future__ import annotations

from pathlib import Path

from timbrel.corpora import Utterance, check_ids, read_text, with_held_out, wrong_layout
from timbrel.corpora.librispeech import LICENCE, find_subsets, read_speakers, split_of

EXPECTED = (
    "LibriTTS, that is folders such as train-clean-100/19/198 with 19_198_000000_000000.wav and its "
    ".normalized.txt in them, beside speakers.tsv or SPEAKERS.txt"
)


def matches(root: Path) -> bool:
    """Whether the folder looks like LibriTTS or one subset of it."""
    return any(next(root.glob(f"{depth}.normalized.txt"), None) for depth in ("*/*/*/*", "*/*/*"))


def read(root: Path) -> list[Utterance]:
    """All recordings, sorted by id, with their normalised text, else the original one.

    Without a dev subset, every 20th clip of a speaker is split "dev".

    Raises:
        CorpusError: the folder is not laid out as LibriTTS is.
    """
    subsets = find_subsets(root, ".wav")
    if not subsets or not matches(root):
        raise wrong_layout(root, EXPECTED)
    people = read_speakers(root, subsets)
    paths = [(subset, path) for subset in subsets for path in subset.glob("*/*/[!.]*.wav")]
    utterances = sorted((_utterance(subset, path, people) for subset, path in paths), key=lambda one: one.id)
    check_ids(utterances)
    return utterances if any(one.split == "dev" for one in utterances) else with_held_out(utterances)


def _utterance(subset: Path, path: Path, people: dict[str, str]) -> Utterance:
    chapter, speaker = path.parent.name, path.parent.parent.name
    return Utterance(
        id=f"{speaker}/{path.stem}",
        speaker=speaker,
        path=path,
        language="en",
        sex=people.get(speaker, ""),
        text=read_text(path.with_suffix(".normalized.txt")) or read_text(path.with_suffix(".original.txt")),
        split=split_of(subset.name),
        extra={"subset": subset.name, "chapter": chapter, "licence": LICENCE},
    )
