"""Files appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from timbrel.errors import OutputError
from timbrel.files import check_output, content_hash, make_folder, write_text


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    for text in ("one\n", "zwei ä\n"):
        write_text(path, text)
        assert path.read_bytes() == text.encode()
    assert [file.name for file in tmp_path.iterdir()] == ["note.txt"]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "kept")
    with pytest.raises(OutputError, match=r"note\.txt cannot be written: .*surrogates"):
        write_text(path, "\udcff")
    assert path.read_text() == "kept"
    assert [file.name for file in tmp_path.iterdir()] == ["note.txt"]
    write_text(path, "\udcff", errors="backslashreplace")
    assert path.read_text() == "\\udcff"


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot be written: No such file or directory\."):
        write_text(tmp_path / "nowhere" / "note.txt", "")


def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("")
    for path in (tmp_path, tmp_path / "nowhere" / "new.json"):
        with pytest.raises(OutputError, match="give a file in a folder that exists"):
            check_output(path, force=True)
    with pytest.raises(OutputError, match=r"mine\.json exists already; use --force"):
        check_output(tmp_path / "mine.json", force=False)
    check_output(tmp_path / "mine.json", force=True)
    check_output(tmp_path / "new.json", force=False)


def test_a_folder_is_made_with_those_it_lies_in(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(OutputError, match=r"cannot be made a folder: .+\."):
            make_folder(path)


def test_the_hash_is_sha_256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert content_hash(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
