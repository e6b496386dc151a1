"""Studies without recordings, and listeners whose taste is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from timbrel.listening.design import plan
from timbrel.listening.hearing import recordings
from timbrel.listening.store import Listener, Rating
from timbrel.listening.study import PAIRED, Attention, Recording, Sample, Study, System, Test

CONDITIONS = ("seen-to-seen", "unseen-to-unseen")
SYSTEMS = (
    System("baseline", "VQVC"),
    System("proposed", "VQVC over learned features"),
    System("natural", role="reference"),
    System("coarse", role="anchor"),
)
#: Scores in both conditions.
TRUTH = {"baseline": (2.6, 2.3), "proposed": (3.5, 3.1), "natural": (4.4, 4.4), "coarse": (1.6, 1.6)}


def study(
    tests: Sequence[Test] = ("mos", "smos"),
    systems: Sequence[System] = SYSTEMS,
    items: int = 8,
    texts: int = 100,
    items_per_listener: int = 0,
    checks: int = 4,
    conditions: Sequence[str] = CONDITIONS,
    seed: int = 5,
) -> Study:
    """Of `items` conversions in each condition; item i says text i modulo `texts`."""
    samples = [
        Sample(
            f"{system.name}{condition.count('un')}{item:02}".replace("-", ""),
            f"{condition} {item}",
            system.name,
            condition,
            2.0,
            voice=f"voice{item % 3}",
            text=f"text {item % texts}",
        )
        for condition, item, system in product(conditions, range(items), systems)
    ]
    return Study(
        title="Does it <help>?",
        tests=tuple(tests),
        systems=tuple(systems),
        samples=tuple(samples),
        voices=tuple(Recording(f"voice{number}", 3.0) for number in range(3)),
        attention=tuple(Attention(f"check{test}{n}", test, 3, 4.0) for test in tests for n in range(checks)),
        seed=seed,
        items_per_listener=items_per_listener,
    )


def attentive(number: int, checks: int = 8, passed: int | None = None) -> Listener:
    right = checks if passed is None else passed
    return Listener(f"L{number:02}", number, True, True, right, checks)


def listen(
    found: Study, listener: Listener, truth: Mapping[str, tuple[float, float]] = TRUTH, *, noise: float = 0.6
) -> list[Rating]:
    """A listener's ratings of all scale tests: the truth, his own bent, the item's, chance; whole numbers."""
    random = np.random.default_rng([7, listener.number])
    bent = random.normal(0, 0.4)
    ratings = []
    for trial in plan(found, listener.number):
        if trial.kind == "attention" or trial.test in PAIRED:
            continue
        for sample in map(found.sample, trial.samples):
            place = found.conditions.index(sample.condition)
            # The same for every listener.
            of_item = np.random.default_rng(found.items.index(sample.item)).normal(0, 0.25)
            score = truth[sample.system][place] + bent + of_item + random.normal(0, noise)
            answer = float(np.clip(np.round(score), 1, 5))
            heard = sum(found.seconds()[one] for one in recordings(found, trial))
            ratings.append(rated(listener, sample, trial.test, answer, heard))
    return ratings


def rated(listener: Listener, sample: Sample, test: str, score: float, heard: float = 60.0) -> Rating:
    return Rating(
        listener=listener.id,
        sample=sample.id,
        item=sample.item,
        system=sample.system,
        condition=sample.condition,
        test=test,
        score=score,
        heard_seconds=heard,
        at="2026-01-01T00:00:10+00:00",
    )
