"""Who answers without listening is left out, with the reason; who only has another taste is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from timbrel.listening.design import plan
from timbrel.listening.rejection import Rejected, correlations, reject
from timbrel.listening.store import Listener, Rating
from timbrel.listening.study import Study, System

from .simulating import SYSTEMS, attentive, listen, rated, study

CROWD = [attentive(number) for number in range(6)]


def rejected(found: Study, odd: Listener, ratings: list[Rating]) -> list[Rejected]:
    """Beside a crowd of attentive listeners."""
    others = [rating for one in CROWD for rating in listen(found, one)]
    return reject(found, others + ratings, [*CROWD, odd])


def reasons(found: Study, odd: Listener, ratings: list[Rating]) -> tuple[str, ...]:
    (one,) = rejected(found, odd, ratings)
    assert one.listener == odd.id
    assert one.ratings == len(ratings)
    return one.reasons


def test_attentive_listeners_are_all_kept() -> None:
    found = study()
    odd = attentive(6)
    assert rejected(found, odd, listen(found, odd)) == []


@pytest.mark.parametrize(("passed", "kept"), [(6, True), (5, False)])
def test_three_in_four_attention_checks_must_be_right(passed: int, kept: bool) -> None:
    found, odd = study(), attentive(6, passed=passed)
    words = () if kept else ("answered 5 of 8 attention checks rightly",)
    assert tuple(one.reasons for one in rejected(found, odd, listen(found, odd))) == (
        (words,) if words else ()
    )


def test_who_is_faster_than_the_recordings_is_left_out() -> None:
    found, odd = study(), attentive(6)
    ratings = listen(found, odd)
    hasty = [replace(one, heard_seconds=1.5) if number < 13 else one for number, one in enumerate(ratings)]
    assert len(ratings) == 128
    assert reasons(found, odd, hasty) == ("gave 13 of 128 ratings sooner than their recordings last",)
    assert rejected(found, odd, hasty[1:13] + ratings[13:] + ratings[:1]) == []


def test_of_similarity_both_recordings_must_be_heard() -> None:
    found, odd = study(["smos"]), attentive(6)
    # Two seconds of the sample, none of the three of the voice.
    ratings = [replace(one, heard_seconds=2.0) for one in listen(found, odd)]
    assert reasons(found, odd, ratings)[0].startswith("gave 64 of 64 ratings sooner")


def test_one_answer_to_everything_is_no_answer() -> None:
    found, odd = study(["mos"]), attentive(6)
    ratings = [replace(one, score=3.0) for one in listen(found, odd)]
    assert "answered 3 to all 64 questions of MOS" in reasons(found, odd, ratings)


@pytest.mark.parametrize("test", ["ab", "abx"])
def test_one_side_for_everything_is_no_answer(test: str) -> None:
    found = study([test], SYSTEMS[:2], checks=0)

    def answered(listener: Listener, left: bool) -> list[Rating]:
        """By side, or for the proposed system and rightly."""
        ratings = []
        for trial in plan(found, listener.number):
            of_item = found.of_item(found.sample(trial.samples[0]).item)
            right = trial.samples[2] if test == "abx" else of_item["baseline"].id
            chosen = trial.samples[0] if left else (right if test == "abx" else of_item["proposed"].id)
            one = rated(listener, of_item["baseline"], test, float(chosen == right))
            ratings.append(replace(one, system="baseline/proposed"))
        return ratings

    crowd = [attentive(number) for number in range(4)]
    ratings = [one for listener in crowd[1:] for one in answered(listener, left=False)]
    (out,) = reject(found, answered(crowd[0], left=True) + ratings, crowd)
    assert out == Rejected("L00", 16, (f"answered the left to all 16 questions of {test.upper()}",))


@pytest.mark.parametrize(("low", "kept"), [(2, True), (3, False)])
def test_hidden_references_must_be_found_in_mushra(low: int, kept: bool) -> None:
    # 16 items: 15 % are 2.4 of them.
    found, crowd = study(["mushra"]), [attentive(number) for number in range(3)]

    def page(listener: Listener, low: int) -> list[Rating]:
        random = np.random.default_rng(listener.number)
        levels = {"baseline": 40, "proposed": 60, "natural": 100, "coarse": 15}
        ratings = [
            rated(listener, one, "mushra", levels[one.system] + random.integers(-5, 1))
            for one in found.samples
        ]
        natural = [one for one in ratings if one.system == "natural"]
        missed = {one.sample for one in natural[:low]}
        return [replace(one, score=70.0) if one.sample in missed else one for one in ratings]

    out = reject(found, page(crowd[0], low) + page(crowd[1], 0) + page(crowd[2], 0), crowd)
    words = [(f"rated {low} of 16 hidden references below 90",)]
    assert [one.reasons for one in out] == ([] if kept else words)


def test_references_below_anchors_are_a_scale_upside_down() -> None:
    found, odd = study(["mos"]), attentive(6)
    ratings = [replace(one, score=6 - one.score) for one in listen(found, odd)]
    assert "rated references no higher than anchors in MOS" in reasons(found, odd, ratings)


def test_answers_by_chance_do_not_correlate_with_the_others() -> None:
    systems = [one for one in SYSTEMS if one.role == "system"] + [System("third"), System("fourth")]
    found, odd = study(["mos"], systems), attentive(6)
    truth = {"baseline": (2.0, 2.0), "proposed": (4.5, 4.5), "third": (3.0, 3.0), "fourth": (1.5, 1.5)}
    random = np.random.default_rng(0)
    ratings = [replace(one, score=float(random.integers(1, 6))) for one in listen(found, odd, truth)]
    others = [rating for one in CROWD for rating in listen(found, one, truth)]
    (out,) = reject(found, others + ratings, [*CROWD, odd])
    assert out.listener == odd.id
    assert "correlates with the others by" in out.reasons[0]


def test_of_systems_that_sound_alike_nobody_is_to_blame() -> None:
    found = study(["mos"], SYSTEMS[:2])
    truth = {"baseline": (3.0, 3.0), "proposed": (3.0, 3.0)}
    ratings = [rating for one in CROWD for rating in listen(found, one, truth, noise=1.0)]
    values = correlations(
        {one.id: {r.sample: r.score for r in ratings if r.listener == one.id} for one in CROWD}
    )
    assert min(values.values()) < 0.25
    assert reject(found, ratings, CROWD) == []


def test_correlation_is_pearsons_with_the_mean_of_the_others() -> None:
    random = np.random.default_rng(1)
    table = random.integers(1, 6, (4, 12)).astype(float)
    scores = {f"L{row}": {f"s{column}": table[row, column] for column in range(12)} for row in range(4)}
    expected = np.corrcoef(table[1], table[[0, 2, 3]].mean(axis=0))[0, 1]
    assert correlations(scores)["L1"] == pytest.approx(expected)


def test_headphones_count_only_where_they_are_required() -> None:
    found, odd = study(), replace(attentive(6), headphones_passed=False)
    assert rejected(found, odd, listen(found, odd)) == []
    assert reasons(replace(found, headphones="required"), odd, listen(found, odd)) == (
        "did not pass the headphone check",
    )


def test_who_rated_nothing_is_not_rejected() -> None:
    assert rejected(study(), replace(attentive(6, checks=0), finished=False), []) == []
