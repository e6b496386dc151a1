"""A folder per speaker becomes utterances; another layout is explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from timbrel.corpora import folder, hold_out
from timbrel.errors import CorpusError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_a_speaker_is_a_folder_and_a_clip_a_file_in_it(tmp_path: Path) -> None:
    touch(tmp_path, "ada/b.wav", "ada/a.FLAC", "bob/chapter/c.opus", "bob/notes.md", "ada/._a.wav")
    found = folder.read(tmp_path)
    assert [(one.id, one.speaker) for one in found] == [
        ("ada/a", "ada"),
        ("ada/b", "ada"),
        ("bob/chapter-c", "bob"),
    ]
    assert found[2].path == tmp_path / "bob/chapter/c.opus"


def test_a_transcript_beside_the_clip_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, "ada/a.wav", "ada/b.wav")
    (tmp_path / "ada/a.txt").write_text("Good day.\n", encoding="utf-8")
    assert [one.text for one in folder.read(tmp_path)] == ["Good day.", ""]


def test_loose_recordings_are_named_as_what_is_wrong(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav", "._a.wav")
    with pytest.raises(
        CorpusError, match=r"expected one folder per speaker.*found 2 recordings directly in it"
    ):
        folder.read(tmp_path)


@pytest.mark.parametrize(("layout", "found"), [((), "no folder"), (("ada/a.doc",), "1 folder without")])
def test_a_corpus_without_recordings_is_refused(tmp_path: Path, layout: tuple[str, ...], found: str) -> None:
    touch(tmp_path, *layout)
    with pytest.raises(CorpusError, match=found):
        folder.read(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is not a folder"):
        folder.read(tmp_path / "nowhere")


def test_two_files_that_would_have_one_name_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "ada/a.wav", "ada/a.flac")
    with pytest.raises(CorpusError, match="both be called ada/a"):
        folder.read(tmp_path)


def test_every_twentieth_clip_of_a_speaker_is_held_out() -> None:
    clips = {"ada": [f"ada/{i:02}" for i in range(41)], "bob": ["bob/0"]}
    assert hold_out(clips) == {"ada/19", "ada/39"}


def test_a_small_corpus_holds_out_one_clip_of_its_largest_speaker() -> None:
    assert hold_out({"ada": ["ada/0"], "bob": ["bob/0", "bob/1"]}) == {"bob/1"}
    assert hold_out({"ada": ["ada/0"]}) == set()
