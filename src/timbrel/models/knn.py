"""kNN-VC (Baas, van Niekerk & Kamper, Interspeech 2023): each frame becomes the mean of its nearest ones.

Frames of the source are replaced by the mean of the `neighbours` frames of the target speaker, the matching
set, that are nearest by cosine. Nothing is learned: where frames of like sounds lie together whoever speaks,
as in the middle layers of WavLM, that changes the voice and keeps the words. A vocoder of such frames makes
them sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.config import require_sizes

#: Frames compared at once: they bound the memory to some 100 MB whatever the matching set's length.
QUERIES, REFERENCES = 2048, 8192


@dataclass(frozen=True, slots=True)
class KNNConfig:
    """Fields:

    neighbours: k, how many frames are averaged.
    """

    neighbours: int = 4

    def __post_init__(self) -> None:
        require_sizes(self, "neighbours")


class KNN(nn.Module):
    """Frames (T, D) and a matching set (R, D) -> the frames in the matching set's voice (T, D), float32.

    The frames may be any content encoder's.
    """

    family = "knn"
    Config = KNNConfig

    def __init__(self, config: KNNConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, frames: Tensor, matching: Tensor) -> Tensor:
        return matched(frames, matching, self.config.neighbours)


def matched(frames: Tensor, matching: Tensor, neighbours: int) -> Tensor:
    """The mean of the `neighbours` frames of `matching` (R, D) nearest to each of `frames`, (T, D)."""
    means = (
        matching[nearest(piece, matching, neighbours)].float().mean(dim=1) for piece in frames.split(QUERIES)
    )
    return torch.cat(list(means))


def nearest(frames: Tensor, matching: Tensor, neighbours: int) -> Tensor:
    """Indices (T, k) of the frames of `matching` (R, D) nearest by cosine to `frames` (T, D), nearest first.

    k is `neighbours`, or R where there are fewer. Both may be in half precision; blocks of them are compared
    in single precision. Only blocks of R are ever held beside the arguments.

    Raises:
        ValueError: the matching set is empty.
    """
    if len(matching) == 0:
        raise ValueError("The matching set is empty.")
    return torch.cat([_nearest(piece.float(), matching, neighbours) for piece in frames.split(QUERIES)])


def _nearest(frames: Tensor, matching: Tensor, neighbours: int) -> Tensor:
    # The length of a frame itself scales all its similarities alike.
    likeness = frames.new_empty(len(frames), 0)
    places = torch.empty(len(frames), 0, dtype=torch.long, device=frames.device)
    for start, block in _blocks(matching):
        found = (frames @ functional.normalize(block.float(), dim=1).T).topk(min(neighbours, len(block)))
        likeness = torch.cat([likeness, found.values], dim=1)
        places = torch.cat([places, found.indices + start], dim=1)
        likeness, best = likeness.topk(min(neighbours, likeness.shape[1]))
        places = places.gather(1, best)
    return places


def _blocks(matching: Tensor) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(matching), REFERENCES):
        yield start, matching[start : start + REFERENCES]
