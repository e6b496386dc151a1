"""Each layout is told from the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from timbrel.corpora import layouts
from timbrel.errors import CorpusError

from . import trees


def folder(root: Path) -> Path:
    return trees.write(root, {"ada/day one/a.wav": None})


def manifest(root: Path) -> Path:
    return trees.write(root, {"manifest.csv": "path,speaker\na.wav,ada\n", "ada/a.wav": None})


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (trees.vctk_old, "vctk"),
        (trees.vctk_new, "vctk"),
        (trees.librispeech, "librispeech"),
        (lambda root: trees.librispeech(root) / "dev-clean", "librispeech"),
        (trees.libritts, "libritts"),
        (trees.common_voice, "common-voice"),
        (folder, "folder"),
        (manifest, "manifest"),
        (lambda root: manifest(root) / "manifest.csv", "manifest"),
    ],
)
def test_a_layout_is_recognised_and_read(tmp_path: Path, make: Callable[[Path], Path], name: str) -> None:
    root = make(tmp_path)
    assert layouts.detect(root) == name
    assert layouts.read(name, root)


@pytest.mark.parametrize(
    ("files", "found"),
    [((), "an empty folder"), (("notes.md",), "notes.md"), (("a.txt", "b/c.txt"), "a.txt, b/")],
)
def test_what_is_no_corpus_says_what_was_expected_and_found(
    tmp_path: Path, files: tuple[str, ...], found: str
) -> None:
    with pytest.raises(CorpusError, match=rf"expected .*\(vctk\), .*\(folder\); found {found}\.$"):
        layouts.detect(trees.write(tmp_path, dict.fromkeys(files, "")))


def test_only_vctk_has_microphones(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="Only VCTK has two microphones"):
        layouts.read("folder", folder(tmp_path), microphone=1)
