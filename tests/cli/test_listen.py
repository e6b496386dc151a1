"""`timbrel listen new`, `serve` and `results`, as far as they go without listeners."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Command, is_one_sentence
from tests.listening.making import material


def test_a_study_is_made_beside_its_description(timbrel: Command, tmp_path: Path) -> None:
    file = material(tmp_path / "study", ("mos",), items=1)
    ended = timbrel("listen", "new", file)
    assert ended.code == 0, ended.err
    assert "3 samples" in ended.out
    assert (tmp_path / "study" / "STUDY" / "study.json").is_file()
    ended = timbrel("listen", "new", file)
    assert ended.code == 2 and is_one_sentence(ended.err) and "exists already" in ended.err


def test_results_of_nothing_are_refused(timbrel: Command, tmp_path: Path) -> None:
    file = material(tmp_path / "study", ("mos",), items=1)
    assert timbrel("listen", "new", file, "-o", "made").code == 0
    ended = timbrel("listen", "results", "made")
    assert ended.code == 2 and is_one_sentence(ended.err)


@pytest.mark.parametrize("command", ["serve", "results"])
def test_what_is_no_study_is_refused(timbrel: Command, tmp_path: Path, command: str) -> None:
    ended = timbrel("listen", command, tmp_path)
    assert ended.code == 2 and is_one_sentence(ended.err) and "study.json" in ended.err


def test_a_port_that_is_taken_is_said(timbrel: Command, tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    file = material(tmp_path / "study", ("mos",), items=1)
    assert timbrel("listen", "new", file, "-o", "made").code == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = timbrel("listen", "serve", "made", "--port", str(port))
    assert ended.code == 2 and is_one_sentence(ended.err) and f"127.0.0.1:{port}" in ended.err
    assert "/l/" in ended.out and "/join/" in ended.out


def test_a_missing_extra_is_named(timbrel: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    ended = timbrel("listen", "serve", tmp_path)
    assert ended.code == 2 and "pip install 'timbrel[listen]'" in ended.err
