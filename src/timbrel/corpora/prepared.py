"""A corpus that `timbrel prepare` has made: its index, and its clips as utterances."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from timbrel.config import decode_config
from timbrel.corpora import Utterance, check_ids, wrong_layout
from timbrel.errors import ConfigError, CorpusError

INDEX = "index.jsonl"


@dataclass(frozen=True, slots=True)
class Clip:
    """A line of index.jsonl: an utterance as prepared; `file` is relative to the index."""

    id: str
    speaker: str
    file: str
    seconds: float
    language: str = ""
    sex: str = ""
    text: str = ""
    split: str = "train"
    extra: dict[str, str] = field(default_factory=dict)

    def matches(self, only: dict[str, str]) -> bool:
        """Whether every named column, such as language or tier, has the given value."""
        return all(self.column(key) == value for key, value in only.items())

    def column(self, name: str) -> str | None:
        """What the corpus says of the clip under that name, if anything."""
        return getattr(self, name) if name in self.__slots__ else self.extra.get(name)


def matches(root: Path) -> bool:
    """Whether the folder is a prepared corpus."""
    return (root / INDEX).is_file()


def read(root: Path) -> list[Utterance]:
    """All clips, in the order of the index; `path` is a safetensors file with int16 `audio`.

    Raises:
        CorpusError: the folder is no prepared corpus, or its index is damaged.
    """
    if not matches(root):
        raise wrong_layout(root, f"{INDEX} and the folder clips, as `timbrel prepare` makes them")
    utterances = [_utterance(root, clip) for clip in read_index(root)]
    check_ids(utterances)
    return utterances


def read_index(root: Path) -> list[Clip]:
    """The clips of a prepared corpus.

    Raises:
        CorpusError: it is none, or its index is damaged.
    """
    path = root / INDEX
    if not matches(root):
        raise CorpusError(
            f"{root} is no prepared corpus: it has no {INDEX}; make one with `timbrel prepare`."
        )
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        clips = [decode_config(json.loads(line), Clip, name=str(path)) for line in lines if line]
    except (ValueError, AttributeError, ConfigError) as error:  # AttributeError: a line is JSON, but no table
        raise CorpusError(f"{path} is damaged ({error}); prepare the corpus again.") from error
    if not clips:
        raise CorpusError(f"{path} is empty; prepare the corpus again.")
    return clips


def _utterance(root: Path, clip: Clip) -> Utterance:
    return Utterance(
        id=clip.id,
        speaker=clip.speaker,
        path=root / clip.file,
        language=clip.language,
        sex=clip.sex,
        text=clip.text,
        split=clip.split,
    )
