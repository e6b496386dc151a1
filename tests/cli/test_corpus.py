"""`timbrel corpus check` prints a table and warnings, and writes all of it as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.corpora import trees

from .conftest import Command, is_one_sentence


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return trees.vctk_new(tmp_path / "VCTK")


def test_the_answer_is_a_table_and_a_report(timbrel: Command, root: Path) -> None:
    ended = timbrel("corpus", "check", root, "--clips", "1", "-o", "report.json")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [["p225", "F", "2"], ["p280", "F", "1"]]
    assert any(line.startswith("7 speakers") for line in lines)
    assert "7 speakers with less than 1 min" in ended.err
    report = json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert report["layout"] == "vctk"
    assert report["speakers"]["p225"]["clips"] == 2
    assert report["total"]["minutes"] == pytest.approx(8 * 0.4 / 60, abs=1e-4)
    assert len(report["warnings"]) == ended.err.count("timbrel: warning:")


def test_a_report_is_not_replaced_unasked(timbrel: Command, root: Path) -> None:
    Path("report.json").write_text("mine")
    ended = timbrel("corpus", "check", root, "-o", "report.json")
    assert ended.code == 2
    assert is_one_sentence(ended.err)
    assert "--force" in ended.err
    assert Path("report.json").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "no such folder"),
        (("file.txt",), "found a file"),
        (("empty",), "found an empty folder"),
        (("empty", "--format", "vctk"), "expected VCTK"),
        (("empty", "--format", "folder"), "found no folder"),
        (("empty", "-o", "nowhere/report.json"), "cannot be written"),
    ],
)
def test_bad_input_ends_with_one_sentence(timbrel: Command, arguments: tuple[str, ...], words: str) -> None:
    Path("empty").mkdir()
    Path("file.txt").write_text("")
    ended = timbrel("corpus", "check", *arguments)
    assert ended.code == 2
    assert is_one_sentence(ended.err)
    assert words in ended.err
    assert ended.out == ""
