"""LinearVC (Kamper, van Niekerk, Zaïdi & Carbonneau, Interspeech 2025): one matrix changes the voice.

Each frame x of the source speaker is paired with the nearest frame y of the target speaker, and the matrix W
that takes the ones to the others by least squares,

    W = argmin |Y - X W|^2,

converts all that the source says. With a `rank`, what both say is factorised instead: the singular value
decomposition of the frames side by side gives [X Y] = C [A_x A_y] with `rank` values of content in C, and

    W = pinv(A_x) A_y

goes from a speaker to the content and on to the other. A hundred values are nearly as good as all, says the
paper, and where there is little speech fewer values learn less of what is chance in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from timbrel.config import require_sizes
from timbrel.errors import ConfigError
from timbrel.models.knn import QUERIES, matched

#: Directions in which the frames vary by less than a millionth of the most are taken for noise.
_LEAST_SHARE = 1e-12


@dataclass(frozen=True, slots=True)
class LinearConfig:
    """Fields:

    rank: values of content between the speakers; 0, or as many as a frame has, is no such bottleneck.
    neighbours: of the target's nearest frames, averaged, in a pair; the paper has 1.
    frames: of the source, from its start, that the map is learned from; published, and of WavLM 164 s.
    """

    rank: int = 0
    neighbours: int = 1
    frames: int = 8192

    def __post_init__(self) -> None:
        require_sizes(self, "rank", least=0)
        require_sizes(self, "neighbours")
        if self.frames < 1:
            raise ConfigError(f"frames must be at least 1, not {self.frames}.")


class Linear(nn.Module):
    """Frames (T, D), of any content encoder, through a map (D, D) that `learn` found -> (T, D)."""

    family = "linear"
    Config = LinearConfig

    def __init__(self, config: LinearConfig) -> None:
        super().__init__()
        self.config = config

    def learn(self, source: Tensor, matching: Tensor) -> Tensor:
        """The map (D, D), float32, from frames of the source (N, D) to the voice of `matching` (R, D)."""
        source = source[: self.config.frames]
        return fit(source, matched(source, matching, self.config.neighbours), self.config.rank)

    def forward(self, frames: Tensor, mapping: Tensor) -> Tensor:
        return frames.float() @ mapping


def fit(source: Tensor, target: Tensor, rank: int = 0) -> Tensor:
    """The map (D, D) that takes frames `source` (N, D) to `target` (N, D), pair by pair; see the file's top.

    Where the frames do not determine it, as fewer than D of them cannot, it is the smallest such map.
    """
    dim = source.shape[1]
    products = torch.zeros(2 * dim, 2 * dim, dtype=torch.float64, device=source.device)
    for x, y in zip(source.split(QUERIES), target.split(QUERIES), strict=True):
        both = torch.cat([x, y], dim=1).double()
        products += both.T @ both
    if rank == 0 or rank >= dim:
        inverse: Tensor = torch.linalg.pinv(products[:dim, :dim], rtol=_LEAST_SHARE, hermitian=True)
        return (inverse @ products[:dim, dim:]).float()
    # The right singular vectors of the frames are the eigenvectors of their products, the largest last.
    vectors: Tensor = torch.linalg.eigh(products).eigenvectors[:, -rank:].T
    to_content: Tensor = torch.linalg.pinv(vectors[:, :dim])
    return (to_content @ vectors[:, dim:]).float()
