"""The ConvNeXt block for sequences, channels last, and its receptive field.

Liu et al. 2022, "A ConvNet for the 2020s"; one-dimensional as in Vocos (Siuzdak 2023).
Nothing in it looks at the whole sequence, so a window with enough context gives the frames that the
whole recording would give.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

#: By how much the layer between the two linear ones is wider than a frame.
_WIDER = 3


class ConvNeXtBlock(nn.Module):
    """(B, T, D) -> (B, T, D): depthwise convolution, LayerNorm, two linear layers, residual.

    `condition`, (B, `condition_dim`), scales and shifts the normalised frames (FiLM, Perez et al. 2018); a
    block built with `condition_dim` 0 takes none.
    """

    def __init__(self, dim: int, kernel: int = 7, condition_dim: int = 0) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, _WIDER * dim)
        self.project = nn.Linear(_WIDER * dim, dim)
        self.film = nn.Linear(condition_dim, 2 * dim) if condition_dim else None
        # Each block starts near the identity, which lets a deep stack learn from the first step.
        self.gain = nn.Parameter(torch.full((dim,), 0.1))

    def forward(self, frames: Tensor, condition: Tensor | None = None) -> Tensor:
        hidden = self.norm(self.depthwise(frames.transpose(1, 2)).transpose(1, 2))
        if self.film is not None and condition is not None:
            scale, shift = self.film(condition).unsqueeze(1).chunk(2, dim=-1)
            hidden = hidden * (1 + scale) + shift
        hidden = self.project(functional.gelu(self.expand(hidden), approximate="tanh"))
        changed: Tensor = frames + self.gain * hidden
        return changed
