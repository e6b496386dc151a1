"""Listeners whose ratings are left out, each with the reasons: rules that are fixed before a rating is seen.

- Attention: fewer than three in four of the checks answered rightly (the trapping questions of ITU-T P.808).
- Haste: for more than one rating in ten, less was played than the recordings last. The server takes no such
  ratings; the rule is for those that another way brought into the store.
- One answer: the same rating for everything in a test of ten or more; in AB and ABX the same side.
- Hidden reference: in MUSHRA, below 90 in more than 15 % of the items (ITU-R BS.1534-3, 4.1.2). In the other
  tests that have both, references rated no higher than anchors on average.
- Correlation with what the others gave the same samples below 0.25 (Ribeiro et al. 2011, "crowdMOS"). It
  counts only where listeners agree, their median at 0.5 or above: of systems that sound alike, ratings are
  chance, and nobody is to blame.
- Headphones: the check was not passed, where the study requires it.

The correlation is with those whom no other rule rejects.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from timbrel.listening.design import plan
from timbrel.listening.store import Listener, Rating
from timbrel.listening.study import PAIRED, SIMILARITY, Study

LEAST_ATTENTION = 0.75
MOST_HASTE = 0.1
#: Players stop a moment early, and the server lets them.
_HEARD_SHARE = 0.9
LEAST_ANSWERS = 10
LEAST_PAIRS = 3
LEAST_REFERENCE, MOST_LOW_REFERENCES = 90.0, 0.15
LEAST_CORRELATION, AGREEMENT = 0.25, 0.5


@dataclass(frozen=True, slots=True)
class Rejected:
    """A listener who is left out, and why: sentences without an end."""

    listener: str
    ratings: int
    reasons: tuple[str, ...]


def reject(study: Study, ratings: Sequence[Rating], listeners: Sequence[Listener]) -> list[Rejected]:
    """Those whom a rule rejects, in the order of joining."""
    own = _by_listener(ratings)
    reasons = {one.id: list(_faults(study, one, own[one.id])) for one in listeners}
    sound = {identity: own[identity] for identity, found in reasons.items() if not found}
    for identity, reason in _strangers(sound):
        reasons[identity].append(reason)
    return [
        Rejected(one.id, len(own[one.id]), tuple(reasons[one.id])) for one in listeners if reasons[one.id]
    ]


def _by_listener(ratings: Sequence[Rating]) -> dict[str, list[Rating]]:
    own: dict[str, list[Rating]] = defaultdict(list)
    for rating in ratings:
        own[rating.listener].append(rating)
    return own


def _faults(study: Study, listener: Listener, ratings: Sequence[Rating]) -> Iterator[str]:
    """What a listener's own answers show."""
    passed, asked = listener.attention_passed, listener.attention_asked
    if passed < LEAST_ATTENTION * asked:
        yield f"answered {passed} of {asked} attention checks rightly"
    if study.headphones == "required" and listener.headphones_passed is False:
        yield "did not pass the headphone check"
    hasty = _hasty(study, ratings)
    if hasty > MOST_HASTE * len(ratings):
        yield f"gave {hasty} of {len(ratings)} ratings sooner than their recordings last"
    for test in dict.fromkeys(rating.test for rating in ratings):
        answers = [rating for rating in ratings if rating.test == test]
        yield from _one_answer(study, listener, answers)
        yield from _references(study, answers)


def _hasty(study: Study, ratings: Sequence[Rating]) -> int:
    """How many ratings were given before all that is to be heard was played."""
    seconds = study.seconds()
    least = [sum(seconds[one] for one in _heard(study, rating)) for rating in ratings]
    return sum(rating.heard_seconds < _HEARD_SHARE * one for rating, one in zip(ratings, least, strict=True))


def _heard(study: Study, rating: Rating) -> Iterator[str]:
    """The recordings that a rating is of; the X of ABX, which is one of them once more, is let pass."""
    of_item = study.of_item(rating.item)
    if rating.test in PAIRED:
        yield from (of_item[name].id for name in _pair(study, rating))
    elif rating.test == "mushra":
        yield from (study.open_reference(rating.item).id, *(sample.id for sample in of_item.values()))
    else:
        yield rating.sample
        if rating.test in SIMILARITY and of_item[rating.system].voice:
            yield of_item[rating.system].voice


def _pair(study: Study, rating: Rating) -> tuple[str, str]:
    return next(pair for pair in study.pairs if "/".join(pair) == rating.system)


def _one_answer(study: Study, listener: Listener, ratings: Sequence[Rating]) -> Iterator[str]:
    """Of the ratings of one test."""
    test = ratings[0].test
    answers = _sides(study, listener, ratings) if test in PAIRED else [one.score for one in ratings]
    if len(answers) >= LEAST_ANSWERS and len(set(answers)) == 1:
        answer = ("the left", "the right")[int(answers[0])] if test in PAIRED else f"{answers[0]:g}"
        yield f"answered {answer} to all {len(answers)} questions of {test.upper()}"


def _sides(study: Study, listener: Listener, ratings: Sequence[Rating]) -> list[float]:
    """0 where what stood left was chosen, 1 for right, as the plan of the listener tells."""
    trials = plan(study, listener.number)
    shown = {frozenset(one.samples): one.samples for one in trials if one.test == ratings[0].test}
    return [
        float(_chosen(study, rating, samples) != samples[0])
        for rating in ratings
        if (samples := shown.get(frozenset(_heard(study, rating))))
    ]


def _chosen(study: Study, rating: Rating, samples: tuple[str, ...]) -> str:
    """The sample that was preferred, or taken for X."""
    first, second = _heard(study, rating)
    right = samples[2] if rating.test == "abx" else first
    return right if rating.score else second if right == first else first


def _references(study: Study, ratings: Sequence[Rating]) -> Iterator[str]:
    """Of the ratings of one test."""
    of_role: dict[str, list[float]] = defaultdict(list)
    if ratings[0].test not in PAIRED:
        for rating in ratings:
            of_role[study.system(rating.system).role].append(rating.score)
    references, anchors = of_role["reference"], of_role["anchor"]
    if ratings[0].test == "mushra":
        low = sum(score < LEAST_REFERENCE for score in references)
        if low > MOST_LOW_REFERENCES * len(references):
            yield f"rated {low} of {len(references)} hidden references below {LEAST_REFERENCE:g}"
    elif min(len(references), len(anchors)) >= LEAST_PAIRS and np.mean(references) <= np.mean(anchors):
        yield f"rated references no higher than anchors in {ratings[0].test.upper()}"


def _strangers(own: Mapping[str, Sequence[Rating]]) -> Iterator[tuple[str, str]]:
    """Listeners who do not agree with the others where these agree, and the reason."""
    tests = dict.fromkeys(rating.test for ratings in own.values() for rating in ratings)
    for test in (test for test in tests if test not in PAIRED):
        scores = {
            listener: {one.sample: one.score for one in ratings if one.test == test}
            for listener, ratings in own.items()
        }
        found = correlations(scores)
        median = float(np.median(list(found.values()))) if found else 0.0
        for listener, value in found.items():
            if median >= AGREEMENT and value < LEAST_CORRELATION:
                others = f"the median listener by {median:.2f}"
                yield listener, f"correlates with the others by {value:.2f} in {test.upper()}, {others}"


def correlations(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Pearson's, of what each listener gave and the mean of the others, over samples that both have.

    Args:
        scores: of each listener, by sample. Who has fewer than ten, or gave one answer only, is left out.
    """
    names, samples = list(scores), sorted({sample for own in scores.values() for sample in own})
    table = np.array([[scores[name].get(sample, math.nan) for sample in samples] for name in names])
    given = np.isfinite(table)
    filled = np.where(given, table, 0.0)
    found = {}
    for number, name in enumerate(names):
        others = given.sum(axis=0) - given[number]
        shared = given[number] & (others > 0)
        mine = table[number, shared]
        theirs = (filled.sum(axis=0) - filled[number])[shared] / others[shared]
        if len(mine) >= LEAST_ANSWERS and np.ptp(mine) > 0 and np.ptp(theirs) > 0:
            found[name] = float(np.corrcoef(mine, theirs)[0, 1])
    return found
