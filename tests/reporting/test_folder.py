"""A report is written whole or not at all, and never over what is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from timbrel.errors import OutputError
from timbrel.reporting import folder


def test_a_report_takes_the_place_of_a_report_only_if_told_so(tmp_path: Path) -> None:
    output = tmp_path / "report"
    folder.write(output, {"a": float("nan")}, "<p>", False)
    assert json.loads((output / folder.JSON).read_text()) == {"a": None}
    with pytest.raises(OutputError, match="--force"):
        folder.write(output, {}, "", False)
    folder.write(output, {"a": 2}, "<q>", True)
    assert (output / folder.HTML).read_text() == "<q>"
    assert [path.name for path in tmp_path.iterdir() if "report" in path.name] == ["report"]


def test_what_is_no_report_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    (tmp_path / "file").write_text("precious")
    folder.write(tmp_path / "report", {}, "<p>", False, {"rows.csv": "a,b\n"})
    (tmp_path / "report" / "notes.txt").write_text("precious")
    for name, words in (
        ("report", "holds more than a report, such as notes.txt"),
        ("mine", "is no report"),
        ("file", "is no report"),
        ("report.html", "must be a folder"),
        ("no/where", "no folder"),
    ):
        with pytest.raises(OutputError, match=words):
            folder.check_output(tmp_path / name, True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"
    assert (tmp_path / "report" / "notes.txt").read_text() == "precious"


def test_a_stop_between_the_renames_leaves_the_older_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "report"
    folder.write(output, {"a": 1}, "<p>", False)
    rename, calls = Path.rename, []

    def stopped(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == 2:
            raise SystemExit(143)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", stopped)
    with pytest.raises(SystemExit):
        folder.write(output, {"a": 2}, "<q>", True)
    assert json.loads((output / folder.JSON).read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_report_is_found_under_any_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(tmp_path / "report", {"a": 1}, "<p>", False)
    (tmp_path / "link").symlink_to("report")
    folder.write(tmp_path / "link", {"a": 2}, "<p>", True)
    assert json.loads((tmp_path / "report" / folder.JSON).read_text()) == {"a": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "report"]
    monkeypatch.chdir(tmp_path / "report")
    folder.write(Path(), {"a": 3}, "<p>", True)
    assert json.loads((tmp_path / "report" / folder.JSON).read_text()) == {"a": 3}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write to")
def test_a_folder_that_takes_no_files_is_refused_beforehand() -> None:
    with pytest.raises(OutputError, match="is closed to you"):
        folder.check_output(Path("/proc/self/report"), False)


def test_other_files_lie_beside_it(tmp_path: Path) -> None:
    folder.write(tmp_path / "report", {}, "<p>", False, {"rows.csv": "a,b\n"})
    assert (tmp_path / "report" / "rows.csv").read_text() == "a,b\n"


def test_figures_have_so_many_digits_and_what_is_no_number_is_null() -> None:
    found = {"all": (0.123456789, float("nan"), 7), "of one": {"peak": float("-inf")}}
    assert folder.rounded(found) == {"all": [0.123457, None, 7], "of one": {"peak": None}}
    assert folder.rounded(found, digits=4) == {"all": [0.1235, None, 7], "of one": {"peak": None}}
