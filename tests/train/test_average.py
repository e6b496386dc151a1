"""Averaged weights follow fast at first and slowly later."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from timbrel.train.average import follow


@pytest.mark.parametrize(("step", "kept"), [(0, 2 / 11), (7, 0.5), (10**6, 0.9)])
def test_an_average_keeps_its_share_and_takes_the_rest(step: int, kept: float) -> None:
    averaged, model = nn.LayerNorm(2), nn.LayerNorm(2)
    with torch.no_grad():
        averaged.weight.fill_(1.0)
        model.weight.fill_(3.0)
    follow(averaged, model, step, 0.9)
    torch.testing.assert_close(averaged.weight.detach(), torch.full((2,), kept * 1.0 + (1 - kept) * 3.0))
    assert model.weight.tolist() == [3.0, 3.0]
