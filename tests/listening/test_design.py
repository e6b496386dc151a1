"""Every listener hears what he should, in a random order that is balanced over listeners."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import gcd

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timbrel.listening.design import Trial, plan, williams
from timbrel.listening.study import Study, System

from .simulating import SYSTEMS, study

COUNTS = st.integers(1, 5)


def systems(count: int) -> list[System]:
    return [System(f"s{number}") for number in range(count)]


def square(found: Study, items: int, rows: int) -> int:
    """How many listeners it takes until every item has gone round once with every row."""
    each = min(found.items_per_listener or items, items)
    return rows * items // gcd(rows * items, each)


@given(count=st.integers(1, 9))
def test_a_williams_square_balances_places_and_neighbours(count: int) -> None:
    rows = williams(count)
    assert len(rows) == (count if count % 2 == 0 or count == 1 else 2 * count)
    for column in zip(*rows, strict=True):
        assert set(Counter(column).values()) == {len(rows) // count}
    followed = Counter(pair for row in rows for pair in pairwise(row))
    assert len(followed) == count * (count - 1)
    assert len(set(followed.values())) <= 1


@settings(deadline=None, max_examples=40)
@given(many=COUNTS, items=st.integers(1, 6), each=st.integers(0, 6), seed=st.integers(0, 99))
def test_over_a_square_every_sample_is_heard_equally_often_in_every_round(
    many: int, items: int, each: int, seed: int
) -> None:
    found = study(["mos"], systems(many), items, items_per_listener=each, checks=1, seed=seed)
    heard: Counter[tuple[int, str]] = Counter()
    for listener in range(square(found, items, len(williams(many)))):
        rounds: Counter[str] = Counter()
        own = [trial for trial in plan(found, listener) if trial.kind == "rating"]
        assert len({trial.samples for trial in own}) == len(own)
        for trial in own:
            item = found.sample(trial.samples[0]).item
            heard[rounds[item], trial.samples[0]] += 1
            rounds[item] += 1
        # Who hears an item hears all systems of it.
        assert set(rounds.values()) == {many}
    assert len(heard) == many * len(found.samples)
    assert len(set(heard.values())) == 1


@settings(deadline=None, max_examples=60)
@given(
    many=st.integers(1, 4),
    items=st.integers(1, 9),
    texts=st.integers(1, 9),
    listener=st.integers(0, 20),
    seed=st.integers(0, 99),
)
def test_no_text_follows_itself_where_that_can_be_avoided(
    many: int, items: int, texts: int, listener: int, seed: int
) -> None:
    found = study(["mos"], systems(many), items, texts, checks=0, conditions=["one"], seed=seed)
    order = [found.sample(trial.samples[0]).text for trial in plan(found, listener)]
    repeated = sum(one == two for one, two in pairwise(order))
    most = max(Counter(order).values())
    # n places keep at most n / 2, rounded up, of one text apart; each one more must follow another.
    least = max(0, 2 * most - len(order) - 1)
    if many == 1 or most <= len(order) // many // 2 * many:
        assert repeated == least
    assert repeated >= least


@settings(deadline=None, max_examples=40)
@given(items=st.integers(2, 12), checks=st.integers(1, 4), listener=st.integers(0, 20))
def test_checks_anchors_and_references_are_spread_evenly(items: int, checks: int, listener: int) -> None:
    found = study(["mos"], SYSTEMS, items, checks=checks)
    trials = plan(found, listener)
    rated = [trial for trial in trials if trial.kind != "attention"]
    for kind, share in (("anchor", 4), ("hidden-reference", 4), ("rating", 2)):
        for length in range(1, len(rated) + 1):
            count = sum(trial.kind == kind for trial in rated[:length])
            assert abs(count - length / share) <= 2
    places = [trial.index for trial in trials if trial.kind == "attention"]
    assert sorted({trials[place].samples[0] for place in places}) == sorted(
        check.id for check in found.attention
    )
    # One in each stretch of equal length, so the rest between two is never longer than two stretches.
    assert places[0] >= 1
    stretch = len(rated) / checks
    assert all(1 < two - one <= 2 * stretch + 2 for one, two in pairwise(places))


def test_a_plan_follows_from_study_and_number_alone() -> None:
    found = study(["mos", "ab", "mushra"])
    assert plan(found, 3) == plan(found, 3)
    assert plan(found, 3) != plan(found, 4)
    assert [trial.index for trial in plan(found, 3)] == list(range(len(plan(found, 3))))
    assert list(dict.fromkeys(trial.test for trial in plan(found, 3))) == ["mos", "ab", "mushra"]


def paired(found: Study, listener: int) -> list[Trial]:
    return [trial for trial in plan(found, listener) if trial.kind != "attention"]


@pytest.mark.parametrize(("test", "turns"), [("ab", 2), ("abx", 4)])
def test_sides_and_the_hidden_one_change_over_listeners(test: str, turns: int) -> None:
    found = study([test], systems(2), 3)
    seen = Counter(trial.samples for listener in range(turns) for trial in paired(found, listener))
    # Of each of six items: both sides; for ABX with each of them as X.
    assert len(seen) == 6 * turns
    assert set(seen.values()) == {1}
    for samples in seen:
        assert {found.sample(one).item for one in samples} == {found.sample(samples[0]).item}
        assert samples[-1] in samples[:2]


def test_references_and_anchors_compete_in_no_pair_unless_named() -> None:
    found = study(["ab"], items=4)
    heard = {found.sample(one).system for trial in paired(found, 0) for one in trial.samples}
    assert heard == {"baseline", "proposed"}


def test_a_page_of_mushra_has_all_systems_in_every_place_equally_often() -> None:
    found = study(["mushra"], items=2)
    places: Counter[tuple[int, str]] = Counter()
    for listener in range(4):
        for trial in paired(found, listener):
            assert len(trial.samples) == 4
            places.update((place, one) for place, one in enumerate(trial.samples))
    assert set(places.values()) == {1}
    assert len(places) == 4 * len(found.samples)


def test_a_system_that_lacks_an_item_is_left_out_of_it() -> None:
    whole = study(["mos", "ab"], systems(3), 2, checks=0)
    found = Study(whole.title, whole.tests, whole.systems, whole.samples[:-1])
    trials = plan(found, 0)
    assert sum(trial.test == "mos" for trial in trials) == 11
    # Three pairs of three items; the last has one pair left.
    assert sum(trial.test == "ab" for trial in trials) == 10
