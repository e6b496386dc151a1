"""The generalised end-to-end loss (Wan et al. 2018, "Generalized End-to-End Loss for Speaker Verification").

A batch holds M utterances of each of N speakers. Utterance i of speaker j is compared with the centroid
of every speaker k,

    S[j, i, k] = w * cos(e[j, i], c[k]) + b,   w > 0,

where the centroid of its own speaker is taken without the utterance itself (equation 8), which else
would help to recognise itself. Each utterance should be near its own centroid and far from the others:

    softmax    L = -S[j, i, j] + log sum_k exp S[j, i, k]                       (equation 6)
    contrast   L = 1 - sigmoid(S[j, i, j]) + max_{k != j} sigmoid(S[j, i, k])    (equation 7)
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

Form = Literal["softmax", "contrast"]

#: What w > 0 means for a computer.
_LEAST_SCALE = 1e-6


class GE2ELoss(nn.Module):
    """Embeddings (N, M, E) of N >= 2 speakers with M >= 2 utterances each -> (), mean over utterances.

    The paper sums over utterances; a mean makes learning rate and clipping independent of the batch.

    Args:
        form: see the top of the file.
        scale, offset: w and b at the start; both are learned.
        gradient_share: factor on the gradient of w and b, 0.01 in the paper.
    """

    def __init__(
        self,
        form: Form = "softmax",
        scale: float = 10.0,
        offset: float = -5.0,
        gradient_share: float = 0.01,
    ) -> None:
        super().__init__()
        self.form, self.gradient_share = form, gradient_share
        self.scale = nn.Parameter(torch.tensor(scale))
        self.offset = nn.Parameter(torch.tensor(offset))

    def forward(self, embeddings: Tensor) -> Tensor:
        similarities = self.similarities(embeddings)
        losses = softmax_losses if self.form == "softmax" else contrast_losses
        return losses(similarities).mean()

    def similarities(self, embeddings: Tensor) -> Tensor:
        """S of the paper: (N, M, E) -> (N, M, N)."""
        scale = scale_gradient(self.scale, self.gradient_share)
        offset = scale_gradient(self.offset, self.gradient_share)
        return scale * centroid_cosines(embeddings) + offset

    @torch.no_grad()
    def keep_positive(self) -> None:
        """Puts w back where the paper wants it, above 0, after a step that left."""
        self.scale.clamp_(min=_LEAST_SCALE)


def centroid_cosines(embeddings: Tensor) -> Tensor:
    """Cosine of each utterance to each speaker's centroid, its own without itself: (N, M, E) -> (N, M, N).

    Raises:
        ValueError: there are fewer than two speakers or utterances.
    """
    speakers, utterances, _ = embeddings.shape
    if speakers < 2 or utterances < 2:
        raise ValueError(f"Expected at least 2 speakers and 2 utterances, got {speakers} and {utterances}.")
    total = embeddings.sum(dim=1, keepdim=True)
    # Sums point where means do.
    others = functional.cosine_similarity(embeddings[:, :, None], total.transpose(0, 1)[None], dim=-1)
    own = functional.cosine_similarity(embeddings, total - embeddings, dim=-1)
    same = torch.eye(speakers, dtype=torch.bool, device=embeddings.device)[:, None]
    return torch.where(same, own[..., None], others)


def softmax_losses(similarities: Tensor) -> Tensor:
    """Equation 6 for each utterance: (N, M, N) -> (N, M)."""
    return similarities.logsumexp(dim=-1) - _own(similarities)


def contrast_losses(similarities: Tensor) -> Tensor:
    """Equation 7 for each utterance: (N, M, N) -> (N, M)."""
    near = similarities.sigmoid()
    same = torch.eye(len(near), dtype=torch.bool, device=near.device)[:, None]
    return 1 - _own(near) + near.masked_fill(same, 0.0).amax(dim=-1)


def scale_gradient(tensor: Tensor, factor: float) -> Tensor:
    """`tensor` itself, with its gradient times `factor`."""
    fixed = tensor.detach()
    return fixed + factor * (tensor - fixed)


def gather(embeddings: Tensor) -> Tensor:
    """Embeddings (B, E) of all processes in the order of their ranks, (P * B, E).

    The loop averages gradients over processes. Each sends gradients through its own embeddings alone, so
    those count P times, and the average is the gradient of the joint batch.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return embeddings
    parts = [torch.empty_like(embeddings) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, embeddings.detach().contiguous())
    parts[distributed.get_rank()] = scale_gradient(embeddings, len(parts))
    return torch.cat(parts)


def _own(values: Tensor) -> Tensor:
    """The entries of each utterance's own speaker: (N, M, N) -> (N, M)."""
    return values.diagonal(dim1=0, dim2=2).T
