"""LibriSpeech and LibriTTS become utterances with their own splits."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from timbrel.corpora import librispeech, libritts
from timbrel.errors import CorpusError

from . import trees


def test_librispeech_is_read_with_its_splits(tmp_path: Path) -> None:
    found = librispeech.read(trees.librispeech(tmp_path))
    assert [(one.id, one.split, one.sex, one.text) for one in found] == [
        ("19/19-198-0000", "train", "F", "NORTHANGER ABBEY"),
        ("19/19-198-0001", "train", "F", "THIS LITTLE WORK"),
        ("26/26-495-0000", "train", "M", "ONE"),
        ("84/84-121123-0000", "dev", "F", "GO DO YOU HEAR"),
    ]
    assert found[0].path == tmp_path / "train-clean-100/19/198/19-198-0000.flac"
    assert found[0].extra == {"subset": "train-clean-100", "chapter": "198", "licence": "CC-BY-4.0"}


def test_one_subset_will_do_and_holds_some_clips_out(tmp_path: Path) -> None:
    found = librispeech.read(trees.librispeech(tmp_path) / "train-clean-100")
    assert [one.id for one in found if one.split == "dev"] == ["19/19-198-0001"]
    assert [one.sex for one in found] == ["F", "F", "M"]
    assert found[0].extra["subset"] == "train-clean-100"


def test_a_line_without_a_recording_is_a_row_that_says_so(tmp_path: Path) -> None:
    root = trees.librispeech(tmp_path)
    (root / "train-clean-100/26/495/26-495-0000.flac").unlink()
    missing = [one for one in librispeech.read(root) if one.problem]
    assert [one.id for one in missing] == ["26/26-495-0000"]
    assert "it is not there" in missing[0].problem


def test_a_recording_without_a_line_has_no_text(tmp_path: Path) -> None:
    root = trees.librispeech(tmp_path)
    (root / "train-clean-100/26/495/26-495.trans.txt").unlink()
    assert [one.text for one in librispeech.read(root) if one.speaker == "26"] == [""]


@pytest.mark.parametrize("make", [trees.vctk_old, trees.libritts])
def test_another_layout_says_what_was_expected_and_found(tmp_path: Path, make: object) -> None:
    root = make(tmp_path)  # type: ignore[operator]
    with pytest.raises(
        CorpusError, match=r"expected LibriSpeech.*19-198-0000\.flac.*; found .*(wav48|speakers)"
    ):
        librispeech.read(root)


@pytest.mark.parametrize(("reader", "suffix"), [(librispeech, "flac"), (libritts, "wav")])
def test_recordings_as_deep_but_without_transcripts_are_another_corpus(
    tmp_path: Path, reader: ModuleType, suffix: str
) -> None:
    trees.write(tmp_path, {f"recordings/vctk/p225/p225_001.{suffix}": ""})
    with pytest.raises(CorpusError, match=r"expected Libri.*; found .*recordings"):
        reader.read(tmp_path)


def test_an_empty_folder_and_a_file_are_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="found an empty folder"):
        librispeech.read(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="found a file"):
        librispeech.read(tmp_path / "file")
    with pytest.raises(CorpusError, match="found no such folder"):
        libritts.read(tmp_path / "nowhere")


def test_libritts_is_read_with_normalised_text_else_the_original(tmp_path: Path) -> None:
    found = libritts.read(trees.libritts(tmp_path))
    assert [(one.id, one.split, one.sex, one.text) for one in found] == [
        ("19/19_198_000000_000000", "train", "F", "Mister Collins had two."),
        ("84/84_121123_000007_000001", "dev", "M", "Maximilian."),
    ]
    assert found[1].extra == {"subset": "dev-clean", "chapter": "121123", "licence": "CC-BY-4.0"}


def test_libritts_may_have_the_table_of_librispeech(tmp_path: Path) -> None:
    root = trees.libritts(tmp_path)
    (root / "speakers.tsv").unlink()
    (root / "SPEAKERS.txt").write_text(";ID  |SEX| SUBSET\n19   | M | train-clean-100\n")
    assert [one.sex for one in libritts.read(root)] == ["M", ""]


def test_librispeech_is_no_libritts(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"expected LibriTTS.*found README\.TXT, SPEAKERS\.TXT, dev-clean/"):
        libritts.read(trees.librispeech(tmp_path))


@pytest.mark.parametrize("reader", [librispeech, libritts])
def test_files_that_macos_lays_beside_others_are_none(tmp_path: Path, reader: ModuleType) -> None:
    root = getattr(trees, reader.__name__.rpartition(".")[2])(tmp_path)
    before = reader.read(root)
    for path in [path for path in root.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"Mac OS X")
    assert reader.read(root) == before
