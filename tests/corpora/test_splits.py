"""Splits are what the plan says, the same everywhere, and hardly move when the corpus grows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from timbrel.corpora import Utterance, with_held_out
from timbrel.corpora.splits import Plan, divide
from timbrel.errors import CorpusError


def corpus(speakers: dict[str, str], clips: int = 20) -> list[Utterance]:
    """So many clips of each speaker, given with their sex."""
    return [
        Utterance(f"{name}/{clip:03}", name, Path(f"{name}/{clip}.wav"), sex=sex, split="whatever")
        for name, sex in speakers.items()
        for clip in range(clips)
    ]


TWENTY = {f"p{number}": "F" if number % 4 == 0 else "M" for number in range(20)}


def speakers_of(rows: list[Utterance], split: str) -> set[str]:
    return {one.speaker for one in rows if one.split == split}


def test_speakers_are_unseen_whole_and_the_others_hold_some_clips_out() -> None:
    rows = divide(corpus(TWENTY), Plan(unseen=4, held_out=0.1))
    assert {one.split for one in rows} == {"train", "dev", "unseen"}
    unseen = speakers_of(rows, "unseen")
    assert len(unseen) == 4
    assert speakers_of(rows, "train") == speakers_of(rows, "dev") == TWENTY.keys() - unseen
    assert Counter(one.speaker for one in rows if one.split == "dev") == dict.fromkeys(
        TWENTY.keys() - unseen, 2
    )
    assert [one.id for one in rows] == [one.id for one in corpus(TWENTY)]


@pytest.mark.parametrize("count", [2, 4, 6])
def test_unseen_speakers_are_as_many_women_as_men(count: int) -> None:
    unseen = speakers_of(divide(corpus(TWENTY), Plan(unseen=count)), "unseen")
    assert Counter(TWENTY[name] for name in unseen) == {"F": count // 2, "M": count // 2}


def test_speakers_of_unknown_sex_are_chosen_where_no_other_is_left() -> None:
    rows = divide(corpus({"a": "", "b": "", "c": "F", "d": "M", "e": ""}), Plan(unseen=3))
    assert {"c", "d"} < speakers_of(rows, "unseen")


def test_what_is_kept_for_validation_is_no_clip_to_test_on() -> None:
    rows = [
        replace(one, split="test" if one.speaker == "t" else "train")
        for one in corpus({"a": "", "t": ""}, 40)
    ]
    held = Counter((one.speaker, one.split) for one in with_held_out(rows))
    assert held == {("a", "train"): 38, ("a", "dev"): 2, ("t", "test"): 40}


def test_the_order_of_the_rows_does_not_matter() -> None:
    plan = Plan(unseen=3, held_out=0.2, seed=7)
    one = {row.id: row.split for row in divide(corpus(TWENTY), plan)}
    other = {row.id: row.split for row in divide(reversed(corpus(TWENTY)), plan)}
    assert one == other


def test_seeds_choose_differently() -> None:
    chosen = {
        frozenset(speakers_of(divide(corpus(TWENTY), Plan(unseen=4, seed=seed)), "unseen"))
        for seed in range(5)
    }
    assert len(chosen) > 1


def test_a_speaker_who_joins_takes_at_most_one_place() -> None:
    before = speakers_of(divide(corpus(TWENTY), Plan(unseen=6)), "unseen")
    for number in range(10):
        after = divide(corpus({**TWENTY, f"new{number}": "F"}), Plan(unseen=6))
        assert len(before - speakers_of(after, "unseen")) <= 1


def test_speakers_can_be_named() -> None:
    rows = divide(corpus(TWENTY), Plan(unseen=("p3", "p5")))
    assert speakers_of(rows, "unseen") == {"p3", "p5"}


def test_nothing_need_be_held_out_and_never_is_everything() -> None:
    assert {one.split for one in divide(corpus({"a": "F"}), Plan(held_out=0.0))} == {"train"}
    assert Counter(one.split for one in divide(corpus({"a": "F"}, 2), Plan(held_out=0.5))) == {
        "train": 1,
        "dev": 1,
    }
    assert [one.split for one in divide(corpus({"a": "F"}, 1), Plan(held_out=0.5))] == ["train"]


@pytest.mark.parametrize(
    ("unseen", "message"),
    [
        (20, "20 unseen speakers of 20 leave nobody"),
        (25, "25 unseen speakers of 20 leave nobody"),
        (tuple(TWENTY), "leave nobody"),
        (("p1", "p999"), "no speaker p999 to keep unseen: it has p0, p1"),
    ],
)
def test_an_impossible_plan_is_refused(unseen: int | tuple[str, ...], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        divide(corpus(TWENTY), Plan(unseen=unseen))
