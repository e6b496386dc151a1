"""What a middle layer says of how something was said, whoever said it.

The directions wanted are those in which frames vary most for how much a disguise of the speaker moves them
and for how far pieces by different people lie apart: the first eigenvectors of the frames' covariance against
that of these two nuisances, which is linear discriminant analysis (Fisher 1936) with each frame a class that
its disguises belong to.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn

#: Batches that the running covariances go back.
_MEMORY = 100
#: Added to each nuisance, as a share of the frames' own variance: what no disguise moves is not certain.
_FLOOR = 1e-4


class SteadyDirections(nn.Module):
    """Running covariances of frames of `width` values, and the directions that follow from them.

    Its buffers are saved with the training, so that a run goes on where it stopped.
    """

    batches: Tensor
    mean: Tensor
    frames: Tensor
    nuisance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("frames", torch.zeros(width, width, dtype=torch.float64))
        self.register_buffer("nuisance", torch.zeros(width, width, dtype=torch.float64))

    @torch.no_grad()
    def observe(self, clean: Tensor, disguised: Tensor, mask: Tensor) -> None:
        """Takes in pieces by different people, (B, T, W), as recorded and in disguise; `mask` (B, T) is true
        where frames count."""
        weights = mask.unsqueeze(-1).double()
        clean, disguised = clean.double(), disguised.double()
        apiece = weights.sum(dim=1).clamp(min=1)
        pieces = (clean * weights).sum(dim=1) / apiece
        counted = clean[mask]
        moved = counted - disguised[mask]
        # Half, since both sides of the difference were moved away from what they share.
        nuisance = moved.T @ moved / (2 * len(moved)) + torch.cov(pieces.T, correction=0)
        self.batches += 1
        share = 1 / min(int(self.batches), _MEMORY)
        self.mean.lerp_(counted.mean(dim=0), share)
        self.frames.lerp_(torch.cov(counted.T, correction=0), share)
        self.nuisance.lerp_(nuisance, share)

    def find(self, count: int) -> tuple[Tensor, Tensor]:
        """Mean (W,) and map (W, count) to values with mean 0 and deviation 1, the steadiest first."""
        frames = self.frames.cpu().numpy()
        floor = _FLOOR * max(float(np.trace(frames)) / len(frames), 1e-12)
        _, directions = scipy.linalg.eigh(frames, self.nuisance.cpu().numpy() + floor * np.eye(len(frames)))
        steadiest = directions[:, ::-1][:, :count]
        deviation = np.sqrt(np.maximum(np.einsum("wc,wv,vc->c", steadiest, frames, steadiest), 1e-12))
        return self.mean.float().cpu(), torch.from_numpy(steadiest / deviation).float()
