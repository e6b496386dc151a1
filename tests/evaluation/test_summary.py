"""Figures of systems by hand: means, pooled rates, groups, and Holm over the comparisons."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from timbrel.evaluation.metrics import Column
from timbrel.evaluation.pairs import Pair
from timbrel.evaluation.summary import ALL, Scores, better_of, figure, groups, summarise
from timbrel.evaluation.systems import System

MEAN = Column("mos", "", "higher", "", "MOS")
RATE = Column("wer", "%", "lower", "", "WER", ("wer_errors", "wer_length"))


def pair(place: int, condition: str = "", sexes: str = "FM") -> Pair:
    return Pair(
        place=place,
        id=f"{place:04d}",
        source=Path(f"s{place}.wav"),
        target=Path(f"t{place}.wav"),
        text=None,
        parallel=None,
        references=(),
        source_speaker=f"s{place % 8}",
        target_speaker=f"t{place % 7}",
        source_sex=sexes[0],
        target_sex=sexes[1],
        language=None,
        condition=condition,
    )


def scores(pairs: list[Pair], **systems: dict[str, list[float]]) -> Scores:
    values = {name: {key: np.array(own) for key, own in rows.items()} for name, rows in systems.items()}
    columns = [column for column in (MEAN, RATE) if column.name in next(iter(values.values()))]
    return Scores(pairs, columns, values)


def made(*names: str) -> list[System]:
    return [System(name, "control" if name == "source" else "model", {}) for name in names]


def test_a_rate_is_all_errors_over_all_words_and_a_mean_leaves_out_what_is_undefined() -> None:
    rows = [pair(place) for place in range(4)]
    own = {"wer": [50, 0, 25, 0.0], "wer_errors": [1, 0, 2, 0.0], "wer_length": [2, 0, 8, 10.0]}
    found = scores(rows, one={"mos": [3, math.nan, 5, math.nan], **own})
    every = np.ones(4, bool)
    # Two words, none, eight and ten: a row without words does not count.
    rate = figure(found, "one", RATE, every)
    assert (rate.value, rate.pairs) == (pytest.approx(15.0), 3)
    mean = figure(found, "one", MEAN, every)
    assert (mean.value, mean.pairs) == (4.0, 2)
    assert math.isnan(figure(found, "one", MEAN, np.array([False, True, False, True])).value)


def test_rates_have_no_limits_below_none() -> None:
    rows = [pair(place) for place in range(56)]
    errors = [5.0 if place == 0 else 0.0 for place in range(56)]
    own = {"wer": errors, "wer_errors": errors, "wer_length": [10.0] * 56}
    found = figure(scores(rows, one=own), "one", RATE, np.ones(56, bool))
    assert found.low == 0.0


def test_groups_are_conditions_and_directions_where_there_are_several() -> None:
    one = [pair(place) for place in range(3)]
    assert list(groups(one)) == [ALL]
    mixed = [pair(0, "seen-to-seen"), pair(1, "unseen-to-unseen"), pair(2, "seen-to-seen", "MM")]
    found = groups(mixed)
    assert list(found) == [ALL, "seen-to-seen", "unseen-to-unseen", "F to M", "M to M"]
    assert found["seen-to-seen"].tolist() == [True, False, True]


def test_systems_are_compared_on_shared_pairs_and_controls_are_not() -> None:
    rows = [pair(place) for place in range(56)]
    random = np.random.default_rng(0)
    base = random.normal(3, 0.2, 56)
    better = base + 0.5 + random.normal(0, 0.02, 56)
    same = base + np.where(np.arange(56) % 2, 0.01, -0.01)
    better[3] = np.nan
    found = summarise(
        scores(rows, source={"mos": base}, a={"mos": base}, b={"mos": better}, c={"mos": same}),
        made("source", "a", "b", "c"),
    )
    assert list(found.figures[ALL]) == ["source", "a", "b", "c"]
    by_pair = {(one.first, one.second): one for one in found.comparisons}
    assert list(by_pair) == [("a", "b"), ("a", "c"), ("b", "c")]
    gain = by_pair["a", "b"]
    assert gain.difference.value == pytest.approx(-0.5, abs=0.02)
    assert (gain.difference.pairs, better_of(gain, MEAN)) == (55, "b")
    # Eight source and seven target speakers all gain: 2/2**7 on the side of fewer.
    assert gain.p == pytest.approx(2 / 2**7)
    # Three comparisons: the two smallest p are multiplied by 3 and by 2, which must not be less.
    assert gain.p_figure == pytest.approx(6 / 2**7)
    assert by_pair["b", "c"].p_figure == pytest.approx(6 / 2**7)
    nothing = by_pair["a", "c"]
    assert nothing.p is not None and nothing.p > 0.05
    assert gain.difference.high is not None and gain.difference.high < 0


def test_a_system_that_shares_no_pair_is_not_compared() -> None:
    rows = [pair(place) for place in range(4)]
    nan = math.nan
    found = summarise(scores(rows, a={"mos": [1, 2, nan, nan]}, b={"mos": [nan, nan, 3, 4]}), made("a", "b"))
    assert found.comparisons == ()
