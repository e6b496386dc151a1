"""Vector quantisation with a codebook that follows its data (van den Oord et al. 2017, appendix A.1).

Each code is the running mean of the vectors that chose it, so no gradient and no optimizer touches
the codebook. It starts from k-means of the first batch, and a code that nothing has chosen for
`patience` batches moves to a vector of the current one: both keep the codebook from collapsing.

All state lies in buffers and every choice is a function of them, so a resumed run repeats the
uninterrupted one. Under `torch.distributed` the processes learn from their joint batch and keep
equal codebooks; each must bring equally many vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

_KMEANS_ROUNDS = 10
_SMOOTHING = 1e-5
_UNIT_FLOOR = 1e-4


@dataclass(frozen=True, slots=True)
class Quantized:
    """What `VectorQuantizer` found for vectors (B, T, D).

    Fields:
        vectors: (B, T, D) chosen codes; their gradient passes straight through to the input.
        indices: (B, T) which codes.
        codebook_loss: () mean squared distance that the moving average minimises; no gradient.
        commitment_loss: () the same distance, whose gradient pulls the input towards its codes.
        perplexity: () of the codes in this batch, between 1 and the number of codes.
    """

    vectors: Tensor
    indices: Tensor
    codebook_loss: Tensor
    commitment_loss: Tensor
    perplexity: Tensor


class VectorQuantizer(nn.Module):
    """Replaces vectors (B, T, D) by the nearest of `codes` learned ones.

    Args:
        codes: size of the codebook.
        dim: D.
        decay: of the running means; they forget within about 1 / (1 - decay) batches.
        patience: batches without a choice after which a code counts as unused and is moved.
        unit_search: compare with codes scaled to unit length (the published VQVC does).
    """

    codebook: Tensor
    ema_count: Tensor
    ema_sum: Tensor
    idle: Tensor
    updates: Tensor

    def __init__(
        self, codes: int, dim: int, *, decay: float = 0.99, patience: int = 100, unit_search: bool = False
    ) -> None:
        super().__init__()
        self.codes, self.dim = codes, dim
        self.decay, self.patience, self.unit_search = decay, patience, unit_search
        self.register_buffer("codebook", torch.zeros(codes, dim))
        self.register_buffer("ema_count", torch.zeros(codes))
        self.register_buffer("ema_sum", torch.zeros(codes, dim))
        self.register_buffer("idle", torch.zeros(codes, dtype=torch.long))
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    def forward(self, vectors: Tensor) -> Quantized:
        """Quantises `vectors` (B, T, D); in training mode the codebook then learns from them."""
        # Squared distances overflow in float16 and tie in bfloat16.
        with torch.autocast(vectors.device.type, enabled=False):
            return self._quantize(vectors)

    def search(self, vectors: Tensor) -> Tensor:
        """Indices (N,) of the codes nearest to `vectors` (N, D)."""
        rows = self.codebook.float()
        if self.unit_search:
            rows = unit_length(rows)
        return _squared_distances(vectors.float(), rows).argmin(1)

    def lookup(self, indices: Tensor) -> Tensor:
        """Codes (..., D) at `indices` (...)."""
        return functional.embedding(indices, self.codebook)

    def window_perplexity(self) -> float:
        """Perplexity of the choices of the last batches, weighted by `decay`."""
        return float(perplexity(self.ema_count))

    def used_share(self) -> float:
        """Share of the codes that were chosen within the last `patience` batches."""
        window = min(self.patience, int(self.updates))
        return float((self.idle < window).float().mean())

    def _quantize(self, vectors: Tensor) -> Quantized:
        flat = vectors.reshape(-1, self.dim).float()
        if self.training and self.updates == 0:
            self._start(flat.detach())
        indices = self.search(flat)
        chosen = self.lookup(indices).float()
        chosen_counts = torch.bincount(indices, minlength=self.codes)
        if self.training:
            self._learn(flat.detach(), indices)
        # The bracket is zero in value and one in slope.
        through = chosen + (flat - flat.detach())
        return Quantized(
            vectors=through.view(vectors.shape).to(vectors.dtype),
            indices=indices.view(vectors.shape[:-1]),
            codebook_loss=functional.mse_loss(chosen, flat.detach()),
            commitment_loss=functional.mse_loss(flat, chosen),
            perplexity=perplexity(chosen_counts),
        )

    @torch.no_grad()
    def _start(self, vectors: Tensor) -> None:
        joint = _gather(vectors)
        centres, counts = kmeans(joint, self.codes)
        self.codebook.copy_(centres)
        self.ema_count.copy_(counts)
        self.ema_sum.copy_(centres * counts[:, None])

    @torch.no_grad()
    def _learn(self, vectors: Tensor, indices: Tensor) -> None:
        choice = functional.one_hot(indices, self.codes).to(vectors.dtype)
        counts, sums = _sum_over_processes(choice.sum(0)), _sum_over_processes(choice.T @ vectors)
        self.ema_count.lerp_(counts.to(self.ema_count.dtype), 1 - self.decay)
        self.ema_sum.lerp_(sums.to(self.ema_sum.dtype), 1 - self.decay)
        total = self.ema_count.sum()
        smoothed = (self.ema_count + _SMOOTHING) / (total + self.codes * _SMOOTHING) * total
        self.codebook.copy_(self.ema_sum / smoothed[:, None])
        self.updates += 1
        self.idle.add_(1).masked_fill_(counts > 0, 0)
        self._revive(vectors)

    def _revive(self, vectors: Tensor) -> None:
        """Moves codes that have been idle for a multiple of `patience` to vectors of this batch."""
        dead = ((self.idle > 0) & (self.idle % self.patience == 0)).nonzero()[:, 0]
        if len(dead) == 0:
            return
        joint = _gather(vectors)
        generator = torch.Generator().manual_seed(int(self.updates))
        picks = torch.randperm(len(joint), generator=generator)[: len(dead)].to(joint.device)
        dead = dead[: len(picks)]
        self.codebook[dead] = joint[picks].to(self.codebook.dtype)
        self.ema_count[dead] = 1.0
        self.ema_sum[dead] = self.codebook[dead]


def perplexity(counts: Tensor) -> Tensor:
    """exp of the entropy of a histogram (N,): 1 if one code takes all, N if all share equally."""
    share = counts.float() / counts.sum().float().clamp(min=1e-12)
    entropy: Tensor = torch.special.entr(share).sum()
    return entropy.exp()


def unit_length(vectors: Tensor) -> Tensor:
    """`vectors` (..., D) scaled to length 1; those near zero stay near zero."""
    length: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / (length + _UNIT_FLOOR)


def kmeans(vectors: Tensor, clusters: int) -> tuple[Tensor, Tensor]:
    """Centres (clusters, D) of `vectors` (N, D) and how many vectors each holds.

    Lloyd's algorithm from evenly spaced vectors; a centre left empty moves to the vector that is
    served worst. Deterministic.
    """
    spaced = torch.linspace(0, len(vectors) - 1, clusters, device=vectors.device).round().long()
    centres = vectors[spaced]
    for _ in range(_KMEANS_ROUNDS):
        distance, nearest = _squared_distances(vectors, centres).min(1)
        choice = functional.one_hot(nearest, clusters).to(vectors.dtype)
        counts = choice.sum(0)
        means = choice.T @ vectors / counts.clamp(min=1)[:, None]
        centres = torch.where(counts[:, None] > 0, means, centres)
        empty = (counts == 0).nonzero()[:, 0]
        worst = distance.argsort(descending=True, stable=True)[: len(empty)]
        centres[empty[: len(worst)]] = vectors[worst]
    nearest = _squared_distances(vectors, centres).argmin(1)
    return centres, torch.bincount(nearest, minlength=clusters).to(vectors.dtype)


def _squared_distances(vectors: Tensor, rows: Tensor) -> Tensor:
    """(N, D), (K, D) -> (N, K)."""
    return vectors.square().sum(1, keepdim=True) - 2 * vectors @ rows.T + rows.square().sum(1)


def _distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _sum_over_processes(tensor: Tensor) -> Tensor:
    if _distributed():
        distributed.all_reduce(tensor)
    return tensor


def _gather(vectors: Tensor) -> Tensor:
    """The vectors (N, D) of all processes, in order of rank."""
    if not _distributed():
        return vectors
    parts = [torch.empty_like(vectors) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, vectors.contiguous())
    return torch.cat(parts)
