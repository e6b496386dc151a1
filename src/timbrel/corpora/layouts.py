"""The layouts that are known: how each is told apart and read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from timbrel.corpora import (
    Utterance,
    common_voice,
    describe,
    folder,
    librispeech,
    libritts,
    manifest,
    prepared,
    vctk,
)
from timbrel.errors import CorpusError

AUTO, PREPARED = "auto", "prepared"


@dataclass(frozen=True, slots=True)
class Layout:
    """A way in which a corpus lies on the disk.

    Fields:
        sign: what `matches` looks for, for an error to say.
        trims: whether `timbrel prepare` cuts the silence at the ends unless told otherwise.
        unseen_share: share of the speakers that it keeps unseen unless told otherwise.
    """

    matches: Callable[[Path], bool]
    read: Callable[[Path], list[Utterance]]
    sign: str
    trims: bool = True
    unseen_share: float = 0.0


#: In the order in which they are tried: the loosest last.
LAYOUTS = {
    PREPARED: Layout(prepared.matches, prepared.read, prepared.INDEX, trims=False),
    "manifest": Layout(manifest.matches, manifest.read, "manifest.csv", trims=False),
    "vctk": Layout(vctk.matches, vctk.read, "wav48 or wav48_silence_trimmed", unseen_share=0.1),
    "librispeech": Layout(librispeech.matches, librispeech.read, "*.trans.txt by speaker and chapter"),
    "libritts": Layout(libritts.matches, libritts.read, "*.normalized.txt by speaker and chapter"),
    "common-voice": Layout(common_voice.matches, common_voice.read, "clips beside validated.tsv"),
    "folder": Layout(folder.matches, folder.read, "a folder of recordings per speaker", trims=False),
}


def detect(root: Path) -> str:
    """The name of the layout that a folder has.

    Raises:
        CorpusError: it has none of them.
    """
    for name, layout in LAYOUTS.items():
        if layout.matches(root):
            return name
    signs = ", ".join(f"{layout.sign} ({name})" for name, layout in LAYOUTS.items())
    raise CorpusError(f"{root} is no corpus that is known: expected {signs}; found {describe(root)}.")


def named(name: str, root: Path) -> str:
    """The layout of that name; of "auto", the one that the folder has.

    Raises:
        CorpusError: it has none of them.
    """
    return detect(root) if name == AUTO else name


def read(name: str, root: Path, microphone: int | None = None) -> list[Utterance]:
    """The rows of a corpus of that layout.

    Args:
        microphone: of VCTK, 1 or 2.

    Raises:
        CorpusError: the folder has another layout, or a microphone is named where there is no choice.
    """
    if microphone is not None and name != "vctk":
        raise CorpusError(f"Only VCTK has two microphones to choose from, not the layout {name}.")
    reader = LAYOUTS[name].read if microphone is None else partial(vctk.read, microphone=microphone)
    return reader(root)
