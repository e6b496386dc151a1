"""Averaged weights, which are exported: they hear less of the last batches than those that are trained."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def follow(averaged: nn.Module, model: nn.Module, step: int, largest: float) -> None:
    """Moves the averaged weights towards the model's after the 0-based `step`.

    They keep (2 + step) / (11 + step) of what they were, but at most `largest`: at first they follow fast,
    when the weights are still far from any good.
    """
    keep = min(largest, (2 + step) / (11 + step))
    now = model.state_dict()
    for name, tensor in averaged.state_dict().items():
        tensor.lerp_(now[name], 1 - keep)
