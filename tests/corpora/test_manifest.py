"""A manifest's rows become utterances; a wrong one is explained with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from timbrel.corpora import manifest
from timbrel.errors import CorpusError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_known_columns_are_used_and_others_kept(tmp_path: Path) -> None:
    file = write(
        tmp_path / "manifest.csv",
        'path,speaker,sex,language,split,text,licence\na/x.wav,ada,F,en,dev,"Well, yes.",CC0\n',
    )
    (found,) = manifest.read(file)
    assert (found.id, found.speaker, found.path) == ("ada/x", "ada", tmp_path / "a/x.wav")
    assert (found.sex, found.language, found.split, found.text) == ("F", "en", "dev", "Well, yes.")
    assert found.extra == {"licence": "CC0"}


def test_a_folder_stands_for_the_manifest_in_it(tmp_path: Path) -> None:
    write(tmp_path / "manifest.csv", "path,speaker\nx.wav,ada\n")
    assert [one.id for one in manifest.read(tmp_path)] == ["ada/x"]


def test_spaces_after_commas_are_none_of_a_cell(tmp_path: Path) -> None:
    write(tmp_path / "manifest.csv", 'path, speaker, text\nx.wav, ada, "Well, yes."\n')
    (found,) = manifest.read(tmp_path)
    assert (found.id, found.text) == ("ada/x", "Well, yes.")


def test_a_list_from_windows_is_read(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes(b"\xef\xbb\xbfpath,speaker\r\nclips\\ada\\x.wav,ada\r\n")
    (found,) = manifest.read(tmp_path)
    assert (found.id, found.path) == ("ada/x", tmp_path / "clips" / "ada" / "x.wav")


def test_an_unknown_sex_is_none(tmp_path: Path) -> None:
    write(tmp_path / "manifest.csv", "path,speaker,sex\nx.wav,ada,?\n")
    assert manifest.read(tmp_path)[0].sex == ""


def test_without_splits_some_clips_are_held_out(tmp_path: Path) -> None:
    rows = "".join(f"{i:02}.wav,ada\n" for i in range(20))
    write(tmp_path / "manifest.csv", "path,speaker\n" + rows)
    held = [one.id for one in manifest.read(tmp_path) if one.split == "dev"]
    assert held == ["ada/19"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,speaker\nx.wav,ada\n", "expected the columns path and speaker, found file, speaker"),
        ("", "found none"),
        ("path,speaker\n", "no rows"),
        ("path,speaker\nx.wav,ada\n,ada\n", "line 3: path is empty"),
        ("path,speaker\nx.wav\n", "line 2: the row does not have as many cells"),
        ("path,speaker\nx.wav,ada,more\n", "line 2: the row does not have as many cells"),
        ('path,speaker\n"x.wav,ada\n', "not a CSV in UTF-8: unexpected end of data"),
        ("path,speaker\nx.wav,../ada\n", "cannot be a file name"),
        ("path,speaker\na/x.wav,ada\nb/x.wav,ada\n", "both be called ada/x"),
    ],
)
def test_a_wrong_manifest_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        manifest.read(write(tmp_path / "manifest.csv", text))


def test_a_manifest_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes(b"\xff\xfe\x00\x01" * 10)
    with pytest.raises(CorpusError, match="not a CSV in UTF-8"):
        manifest.read(tmp_path)


def test_a_missing_manifest_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="expected a CSV with columns path, speaker"):
        manifest.read(tmp_path)


def test_the_real_corpus_is_read(corpus: Path) -> None:
    found = manifest.read(corpus)
    # What the corpus's README states.
    assert len(found) == 7848
    assert {split: len({u.speaker for u in found if u.split == split}) for split in ("dev", "vctk")} == {
        "dev": 24,
        "vctk": 4,
    }
    assert all(utterance.path.is_file() for utterance in found[:50])
