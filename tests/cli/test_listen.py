"""`timbrel listen new`, `serve` and `results`, as far as they go without listeners."""

from __future__ import annotations

import socket
import sys
from functools import partial
from pathlib import Path

import pytest
from tests.cli.conftest import Command, is_one_sentence
from tests.listening.making import material

from timbrel.listening.building import build
from timbrel.listening.design import plan
from timbrel.listening.store import Answer, Store


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


@pytest.fixture
def rated(tmp_path: Path) -> Path:
    """A study that one listener has rated to its end."""
    folder = tmp_path / "rated"
    made = build(material(tmp_path / "study", ("mos",), items=1), folder)
    with Store(folder / "ratings.sqlite") as store:
        listener = str(store.join("link", partial(plan, made), most=1))
        for trial in plan(made, 0):
            store.rate(listener, trial, [Answer(trial.samples[0], "0000", "baseline", "seen", 3.0)], 9.0)
    return folder


def test_results_are_printed_and_written(timbrel: Command, rated: Path) -> None:
    ended = timbrel("listen", "results", rated, "-o", "report")
    assert ended.code == 0, ended.err
    assert "1 listener joined, 1 finished" in ended.out and "Written to report." in ended.out
    assert Path("report/report.html").is_file()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("report", "use --force"),
        ("mine", "is no report"),
        ("file", "is no report"),
        ("no/where", "no folder"),
        pytest.param(
            "/proc/self/report",
            "closed",
            marks=pytest.mark.skipif(
                not Path("/proc/self").exists(), reason="needs a folder nobody can write to"
            ),
        ),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_anything_is_said(
    timbrel: Command, rated: Path, output: str, words: str
) -> None:
    Path("report").mkdir()
    Path("report/report.json").write_text("{}")
    Path("mine").mkdir()
    Path("file").write_text("precious")
    ended = timbrel("listen", "results", rated, "-o", output)
    assert ended.code == 2 and is_one_sentence(ended.err) and words in ended.err
    assert ended.out == ""
    assert Path("report/report.json").read_text() == "{}" and Path("file").read_text() == "precious"


@pytest.mark.parametrize("command", ["serve", "results"])
def test_what_is_no_study_is_refused(timbrel: Command, tmp_path: Path, command: str) -> None:
    (tmp_path / "STUDY.toml").touch()
    for wrong in (tmp_path, tmp_path / "STUDY.toml", tmp_path / "nothing"):
        ended = timbrel("listen", command, wrong)
        assert ended.code == 2 and is_one_sentence(ended.err) and "is not a study" in ended.err


def test_a_port_that_is_taken_is_said(timbrel: Command, tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    file = material(tmp_path / "study", ("mos",), items=1)
    assert timbrel("listen", "new", file, "-o", "made").code == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = timbrel("listen", "serve", "made", "--port", str(port))
    assert ended.code == 2 and is_one_sentence(ended.err) and f"127.0.0.1:{port}" in ended.err
    assert "/l/" in ended.out and "/join/" in ended.out


@pytest.mark.parametrize("host", ["", "no..such", "h\u00e9..llo"])
def test_what_is_no_address_is_refused(timbrel: Command, rated: Path, host: str) -> None:
    pytest.importorskip("fastapi")
    ended = timbrel("listen", "serve", rated, "--host", host)
    assert ended.code == 2 and is_one_sentence(ended.err) and "listen" in ended.err


def test_links_that_lead_nowhere_are_refused(timbrel: Command, rated: Path) -> None:
    ended = timbrel("listen", "serve", rated, "--url", "example.org")
    assert ended.code == 2 and is_one_sentence(ended.err) and "https://" in ended.err
    assert ended.out == ""


def test_links_to_an_address_of_version_6_have_it_in_brackets(timbrel: Command, rated: Path) -> None:
    """2001:db8::/32 is for documents, and of no machine (RFC 3849)."""
    pytest.importorskip("fastapi")
    ended = timbrel("listen", "serve", rated, "--host", "2001:db8::1")
    assert ended.code == 2 and is_one_sentence(ended.err)
    assert "http://[2001:db8::1]:8760/join/" in ended.out


def test_a_study_without_its_tones_is_not_served(timbrel: Command, tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    folder = tmp_path / "made"
    build(material(tmp_path / "study", ("mos",), items=1, headphones="check"), folder)
    next((folder / "tones").iterdir()).unlink()
    ended = timbrel("listen", "serve", folder)
    assert ended.code == 2 and is_one_sentence(ended.err) and "is gone" in ended.err


def test_a_missing_extra_is_named(timbrel: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    ended = timbrel("listen", "serve", tmp_path)
    assert ended.code == 2 and "pip install 'timbrel[listen]'" in ended.err
