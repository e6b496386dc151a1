"""Scores are computed once for the same content, and a metric that fails does not stop the others."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from timbrel.engines.local import Processes
from timbrel.errors import AudioError, EvaluationError
from timbrel.evaluation import metrics
from timbrel.evaluation.case import Case
from timbrel.evaluation.hashes import Hashes
from timbrel.evaluation.pairs import find_converted, read_pairs
from timbrel.evaluation.scoring import choose, score, voices

from .fakes import Length, Named, Parallel


@pytest.fixture
def cases(pairs: Path, converted: Path) -> list[Case]:
    rows = read_pairs(pairs)
    files = find_converted(converted, rows)
    return [row.case(files[row.id]) for row in rows]


def measured(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_each_case_is_measured_once_whatever_its_file_is_called(cases: list[Case], tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = score(cases, {"length": Length(log=log)}, Hashes())
    assert measured(log) == 8
    assert first[0].values["length"]["excess_length"] == 16000
    moved = tmp_path / "elsewhere.wav"
    shutil.copy(cases[3].converted, moved)
    again = score([replace(cases[3], converted=moved)], {"length": Length(log=log)}, Hashes())
    assert (measured(log), again[0].values) == (8, first[3].values)
    # Other weights, another text: measured anew.
    score(cases[:2], {"length": Length(fingerprint="length-2", log=log)}, Hashes())
    score([replace(cases[0], text="other words")], {"length": Length(log=log)}, Hashes())
    assert measured(log) == 11


def test_a_changed_file_is_measured_again(cases: list[Case], tmp_path: Path) -> None:
    log = tmp_path / "log"
    score(cases, {"length": Length(log=log)}, Hashes())
    shutil.copy(cases[0].source, cases[5].converted)
    again = score(cases, {"length": Length(log=log)}, Hashes())
    assert measured(log) == 9
    assert again[5].values["length"]["excess"] == 0.0


def test_what_was_interrupted_goes_on_where_it_stopped(cases: list[Case], tmp_path: Path) -> None:
    log = tmp_path / "log"

    def stop(done: float, _total: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(cases, {"length": Length(log=log)}, Hashes(), progress=stop)
    score(cases, {"length": Length(log=log)}, Hashes())
    assert measured(log) == 8


def test_a_metric_that_fails_at_a_case_says_why_and_the_rest_goes_on(cases: list[Case]) -> None:
    found = score(cases, {"length": Length(), "parallel": Parallel()}, Hashes())
    assert [bool(one.problems) for one in found] == [False, False, True] + [False] * 5
    assert (
        "0002.wav: the metric parallel failed (ZeroDivisionError: by zero)" in found[2].problems["parallel"]
    )
    assert "length" in found[2].values
    assert math.isnan(found[0].values["parallel"]["near"])


def test_recordings_whose_voice_cannot_be_heard_say_why(recordings: Path) -> None:
    class Deaf(Named):
        def embed(self, path: Path) -> tuple[float, ...]:
            if path.parent.name == "ann":
                raise AudioError(f"{path} holds nothing.")
            if path.parent.name == "bob":
                raise ZeroDivisionError("by zero")
            return super().embed(path)

    ann, bob, cid = (recordings / name / "a.wav" for name in ("ann", "bob", "cid"))
    found = voices(Deaf(), [ann, bob, cid], Hashes())
    assert list(found.vectors) == [cid]
    assert found.problems == {
        ann: f"{ann} holds nothing.",
        bob: f"{bob}: the metric named failed (ZeroDivisionError: by zero).",
    }
    # A failure is not kept: with another recording in its place it is heard.
    assert list(voices(Named(), [ann, bob, cid], Hashes()).vectors) == [ann, bob, cid]


def test_workers_give_the_same_scores(cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # workers know the real metrics alone
    chosen, missing = choose(["soundness"])
    assert missing == {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIMBREL_HOME", str(cases[0].converted.parent / "home"))
        spread = score(cases[:3], chosen, Hashes(), Processes(2))
        patch.setenv("TIMBREL_HOME", str(cases[0].converted.parent / "other"))
        assert score(cases[:3], chosen, Hashes()) == spread


def test_metrics_that_cannot_be_had_are_named_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EvaluationError, match="There is no metric bleu"):
        choose(["bleu"])
    with pytest.raises(EvaluationError, match="needs a wheel"):
        choose(["length", "none"])
    with pytest.raises(EvaluationError, match="The metric length has one model"):
        choose(["length:large"])
    monkeypatch.setattr(metrics, "_OPEN", ("length",))
    with pytest.raises(EvaluationError, match="asked for twice"):
        choose(["length", "length:large"])
    chosen, missing = choose([])
    assert (list(chosen), list(missing)) == (["length", "parallel", "named"], ["none"])
