"""Converted speech is judged by its scores with its target and its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from timbrel.errors import CorpusError
from timbrel.verification.conversions import judge
from timbrel.verification.hearing import Hearing
from timbrel.verification.lists import Conversion


def conversions(people: Path) -> list[Conversion]:
    """Two that are the target's own recordings, and one that is the source's."""
    first, second = ([people / name / f"{n}.wav" for n in range(3)] for name in ("first", "second"))
    return [
        Conversion(first[0], second[0], second[1]),
        Conversion(second[0], first[0], first[1]),
        Conversion(first[0], second[0], first[2]),
    ]


def test_the_share_accepted_is_counted(people: Path, small_encoder: Path, noise: Path) -> None:
    hearing = Hearing(small_encoder)
    first, second = ([people / name / f"{n}.wav" for n in range(3)] for name in ("first", "second"))
    rows = [*conversions(people), Conversion(first[0], second[0], noise)]
    values = dict(zip([*first, *second], hearing.hear([*first, *second]).values, strict=True))
    to_target = [float(values[row.converted] @ values[row.target]) for row in rows[:3]]
    to_source = [float(values[row.converted] @ values[row.source]) for row in rows[:3]]
    threshold = sorted(to_target)[1]
    found = judge(rows, hearing, threshold - 1e-6)
    assert [row.to_target for row in found.rows] == pytest.approx(to_target, abs=1e-6)
    assert [row.to_source for row in found.rows] == pytest.approx(to_source, abs=1e-6)
    assert found.spoofing.value == pytest.approx(2 / 3)
    assert found.kept.value == pytest.approx(sum(s >= found.threshold for s in to_source) / 3)
    assert found.nearer == pytest.approx(sum(t > s for t, s in zip(to_target, to_source, strict=True)) / 3)
    between = float(values[first[0]] @ values[second[0]])
    assert found.unconverted.value == (1.0 if between >= threshold else 0.0)
    assert len(found.excluded) == 1
    assert "noise.wav" in found.excluded[0]


def test_a_score_at_the_threshold_is_accepted(people: Path, small_encoder: Path) -> None:
    hearing = Hearing(small_encoder)
    rows = conversions(people)
    scores = judge(rows, hearing, 0.0).rows
    # Of three scores two lie at or above the one in the middle.
    middle = sorted(row.to_target for row in scores)[1]
    assert judge(rows, hearing, middle).spoofing.value == pytest.approx(2 / 3)
    middle = sorted(row.to_source for row in scores)[1]
    assert judge(rows, hearing, middle).kept.value == pytest.approx(2 / 3)
    least = min(row.between for row in scores)
    assert judge(rows, hearing, least).unconverted.value == 1.0


def test_nothing_to_judge_is_refused(people: Path, small_encoder: Path, noise: Path) -> None:
    own = people / "first" / "0.wav"
    with pytest.raises(CorpusError, match="noise"):
        judge([Conversion(own, own, noise)], Hearing(small_encoder), 0.5)
    with pytest.raises(CorpusError, match="There is no conversion"):
        judge([], Hearing(small_encoder), 0.5)
