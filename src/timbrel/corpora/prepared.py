"""A corpus that `timbrel prepare` has made, read back as utterances: for checking what came out."""

from __future__ import annotations

import json
from pathlib import Path

from timbrel.corpora import Utterance, check_ids, wrong_layout
from timbrel.errors import CorpusError

INDEX = "index.jsonl"


def matches(root: Path) -> bool:
    """Whether the folder is a prepared corpus."""
    return (root / INDEX).is_file()


def read(root: Path) -> list[Utterance]:
    """All clips, in the order of the index; `path` is a safetensors file with int16 `audio`.

    Raises:
        CorpusError: the folder is no prepared corpus, or its index is damaged.
    """
    index = root / INDEX
    if not index.is_file():
        raise wrong_layout(root, f"{INDEX} and the folder clips, as `timbrel prepare` makes them")
    try:
        lines = index.read_text(encoding="utf-8").split("\n")
        utterances = [_utterance(root, json.loads(line)) for line in lines if line]
    except (ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{index} is damaged ({error}); prepare the corpus again.") from error
    if not utterances:
        raise CorpusError(f"{index} is empty; prepare the corpus again.")
    check_ids(utterances)
    return utterances


def _utterance(root: Path, clip: dict[str, str]) -> Utterance:
    return Utterance(
        id=clip["id"],
        speaker=clip["speaker"],
        path=root / clip["file"],
        language=clip.get("language", ""),
        sex=clip.get("sex", ""),
        text=clip.get("text", ""),
        split=clip.get("split", "train"),
    )
