"""The equal error rate, by hand and against an interpolated ROC; which pairs are trials."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import interp1d
from scipy.optimize import brentq

from timbrel.train.trials import equal_error_rate, pair_cosines


@pytest.mark.parametrize(
    ("same", "different", "rate"),
    [
        # At 0.6 one of four pairs of one speaker is refused and one of four pairs of two accepted.
        ([0.9, 0.8, 0.6, 0.2], [0.7, 0.5, 0.3, 0.1], 0.25),
        ([0.9, 0.8], [0.1, 0.2], 0.0),
        ([0.1, 0.2], [0.9, 0.8], 1.0),
        # At 0.5 none of the first is refused and the other accepted; above, the reverse: half-way between.
        ([0.5], [0.5], 0.5),
        # At 0.4 a third is refused and half accepted, at 0.6 a third and none: where they meet, a third.
        ([0.3, 0.7, 0.8], [0.2, 0.5], 1 / 3),
        # From (refused 0, accepted 1/2) at 0.5 to (1/2, 0) at 0.6, so that they meet at a quarter.
        ([0.5, 0.9], [0.5, 0.1], 0.25),
    ],
)
def test_rates_worked_out_by_hand(same: list[float], different: list[float], rate: float) -> None:
    assert equal_error_rate(torch.tensor(same), torch.tensor(different)) == pytest.approx(rate)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("digits", [1, 6])
def test_it_is_where_the_drawn_roc_crosses_the_diagonal(seed: int, digits: int) -> None:
    random = np.random.default_rng(seed)
    same = random.normal(0.5, 0.3, 37).round(digits)
    different = random.normal(0.1, 0.4, 211).round(digits)
    thresholds = [np.inf, *np.sort(np.union1d(same, different))[::-1]]
    accepted = [float((different >= threshold).mean()) for threshold in thresholds]
    hits = [float((same >= threshold).mean()) for threshold in thresholds]
    # Along the curve, since ties and steps leave several hits at one place.
    length = np.cumsum([0, *np.hypot(np.diff(accepted), np.diff(hits))])
    x, y = interp1d(length, accepted), interp1d(length, hits)
    expected = float(x(brentq(lambda place: 1 - x(place) - y(place), 0, length[-1])))
    rate = equal_error_rate(torch.from_numpy(same), torch.from_numpy(different))
    assert rate == pytest.approx(expected, abs=1e-9)


def test_chance_is_one_half_and_no_pairs_are_no_number() -> None:
    scores = torch.rand(2, 4000, generator=torch.Generator().manual_seed(0))
    assert equal_error_rate(scores[0], scores[1]) == pytest.approx(0.5, abs=0.03)
    assert np.isnan(equal_error_rate(scores[0], scores[1, :0]))
    assert np.isnan(equal_error_rate(scores[0, :0], scores[1]))


def test_two_crops_of_one_recording_are_no_trial() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [3.0, 4.0]])
    same, different = pair_cosines(embeddings, torch.tensor([7, 7, 7, 2]), ["a", "a", "b", "c"])
    # Of speaker 7, a and b twice; a and c twice and b and c once of two speakers.
    torch.testing.assert_close(same, torch.zeros(2))
    torch.testing.assert_close(different.sort().values, torch.tensor([0.6, 0.6, 0.8]))
