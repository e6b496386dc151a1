"""Which recordings a listener hears, and in which order.

Nothing but chance and balance may stand between a system and its rating, so the order of each listener is
random and, over the listeners, balanced:

- Items go round: a listener who hears k of N items takes the next k of an endless ring of them, so that all
  are heard equally often. How often an item went round before is its *turn*.
- What is asked of an item comes in rounds, once in each. Which system comes in which round is a row of a
  Williams square, the next one at each turn: every system stands in every round equally often, and follows
  every other equally often, since a second rendering is judged by the first (Williams 1949, "Experimental
  designs balanced for the estimation of residual effects of treatments"). The same square orders the
  recordings on a page of MUSHRA, and turns decide what stands left in AB and what X is in ABX.
- Within a round the order is random, except that no two samples of one text follow one another where that
  can be avoided, and that systems, anchors and hidden references among them, are spread evenly.
- Attention checks are spread evenly: one at random in each of as many stretches of equal length.

All of it follows from the study and the number of the listener.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np

from timbrel.listening.study import PAIRED, Sample, Study, Test

Kind = Literal["rating", "attention", "anchor", "hidden-reference"]

_KINDS: dict[str, Kind] = {"system": "rating", "anchor": "anchor", "reference": "hidden-reference"}


@dataclass(frozen=True, slots=True)
class Trial:
    """What a listener is asked at once.

    Fields:
        samples: ids of the recordings in the order in which they are heard or stand on the page; of ABX the
            third is one of the first two; of an attention check its own.
    """

    index: int
    test: Test
    samples: tuple[str, ...]
    kind: Kind


@dataclass(frozen=True, slots=True)
class _Asked:
    """A trial that has no place yet; `sort` is what is to be spread evenly, `text` what is not repeated."""

    samples: tuple[str, ...]
    kind: Kind
    sort: str
    text: str


def plan(study: Study, listener_number: int) -> list[Trial]:
    """All trials of a listener: the study's tests one after another.

    Args:
        listener_number: 0 for the first who joins, 1 for the next.
    """
    trials: list[Trial] = []
    for number, test in enumerate(study.tests):
        random = np.random.default_rng([study.seed, listener_number, number])
        asked = _with_checks(_arranged(_rounds(study, test, listener_number), random), study, test, random)
        trials += [Trial(len(trials) + place, test, one.samples, one.kind) for place, one in enumerate(asked)]
    return trials


@lru_cache
def williams(count: int) -> tuple[tuple[int, ...], ...]:
    """A square of `count` treatments; of an odd number two squares, the second one mirrored.

    Every treatment stands in every column equally often and follows every other equally often.
    """
    first = [(place + 1) // 2 if place % 2 else (-place // 2) % count for place in range(count)]
    square = [tuple((one + shift) % count for one in first) for shift in range(count)]
    mirrored = [row[::-1] for row in square] if count % 2 and count > 1 else []
    return tuple(square + mirrored)


def _rounds(study: Study, test: Test, listener: int) -> list[list[_Asked]]:
    """What is asked of each item in each round, without an order."""
    rounds: list[list[_Asked]] = []
    for condition in study.conditions:
        items = _ring(study, condition)
        many = min(study.items_per_listener or len(items), len(items))
        for place in range(listener * many, (listener + 1) * many):
            turn, which = divmod(place, len(items))
            for number, asked in enumerate(_of_item(study, test, items[which], turn, which)):
                while len(rounds) <= number:
                    rounds.append([])
                rounds[number].append(asked)
    return rounds


def _ring(study: Study, condition: str) -> list[str]:
    """The items of a condition in an order of the study's own."""
    items = list(dict.fromkeys(one.item for one in study.samples if one.condition == condition))
    np.random.default_rng([study.seed, study.conditions.index(condition)]).shuffle(items)
    return items


def _of_item(study: Study, test: Test, item: str, turn: int, which: int) -> list[_Asked]:
    """What is asked of an item, the first round first."""
    samples = study.of_item(item)
    present = [samples[system.name] for system in study.systems if system.name in samples]
    if test in PAIRED:
        pairs = [(samples[a], samples[b]) for a, b in study.pairs if a in samples and b in samples]
        return [
            _paired(test, *pairs[number], turn + which + number) for number in _row(len(pairs), turn, which)
        ]
    order = [present[number] for number in _row(len(present), turn, which)]
    if test == "mushra":
        return [_Asked(tuple(one.id for one in order), "rating", test, _text(order[0]))]
    return [_Asked((one.id,), _KINDS[study.system(one.system).role], one.system, _text(one)) for one in order]


def _row(count: int, turn: int, which: int) -> tuple[int, ...]:
    """The row of the square for this turn; neighbours on the ring have neighbouring rows."""
    if count == 0:
        return ()
    square = williams(count)
    return square[(turn + which) % len(square)]


def _paired(test: Test, first: Sample, second: Sample, turn: int) -> _Asked:
    """Two systems beside each other: left and right change at each turn, X at every other one."""
    sides = (first, second) if turn % 2 == 0 else (second, first)
    hidden = (sides[turn // 2 % 2],) if test == "abx" else ()
    samples = tuple(one.id for one in (*sides, *hidden))
    return _Asked(samples, "rating", f"{first.system}/{second.system}", _text(first))


def _text(sample: Sample) -> str:
    return sample.text or sample.item


def _arranged(rounds: Sequence[Sequence[_Asked]], random: np.random.Generator) -> list[_Asked]:
    """The rounds one after another, each in a random order that keeps texts apart and spreads systems."""
    totals = Counter(one.sort for asked in rounds for one in asked)
    heard: Counter[str] = Counter()
    done: list[_Asked] = []
    for asked in rounds:
        left = [asked[number] for number in random.permutation(len(asked))]
        while left:
            allowed = _allowed(left, done[-1].text if done else None)
            # The first of those that are furthest behind; the others wait where chance has put them.
            chosen = min(allowed, key=lambda one: (heard[one.sort] + 0.5) / totals[one.sort])
            left.remove(chosen)
            heard[chosen.sort] += 1
            done.append(chosen)
    return done


def _allowed(left: Sequence[_Asked], previous: str | None) -> list[_Asked]:
    """What may come next, so that no text needs to be repeated now or later; all of it if one must be.

    A text that has more than half of what is left must come at every other place from now on.
    """
    counts = Counter(one.text for one in left)
    others = [one for one in left if one.text != previous]
    text, most = counts.most_common(1)[0]
    if text != previous and most > len(left) // 2:
        return [one for one in others if one.text == text]
    return others or list(left)


def _with_checks(asked: list[_Asked], study: Study, test: Test, random: np.random.Generator) -> list[_Asked]:
    """With the attention checks of a test, never before the first trial."""
    checks = [one.id for one in study.attention if one.test == test]
    edges = np.linspace(1, len(asked), len(checks) + 1).astype(int)
    places = [int(random.integers(low, max(low + 1, high))) for low, high in pairwise(edges)]
    # From the last one on, so that the places before it stay what they are.
    for place, number in zip(reversed(places), random.permutation(len(checks)), strict=True):
        asked.insert(place, _Asked((checks[number],), "attention", "", ""))
    return asked
