"""Who says it: the bundled speaker encoder.

Convolutions over a log-mel, attentive statistics pooling (Okabe et al. 2018), one unit vector. It is
taught by Resemblyzer's vectors (Resemble AI, Apache 2.0; GE2E, Wan et al. 2018) and by telling the
speakers of the corpus apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.audio.mel import PRESETS
from timbrel.config import require_sizes
from timbrel.contract import EmbeddingSpec, FeatureSpec
from timbrel.models.convnext import ConvNeXtBlock


@dataclass(frozen=True, slots=True)
class SpeakerConfig:
    """Sizes of a `ConvSpeakerEncoder`; `stride` is the number of mel frames in one frame of the trunk."""

    mel: FeatureSpec = PRESETS["timbrel-16k"]
    width: int = 160
    blocks: int = 5
    kernel: int = 7
    stride: int = 4
    embedding_dim: int = 256

    def __post_init__(self) -> None:
        """Raises ConfigError if there cannot be such a size."""
        require_sizes(self, "width", "blocks", "kernel", "stride", "embedding_dim")


class ConvSpeakerEncoder(nn.Module):
    """Log-mel (B, T, 80) -> unit vectors (B, 256)."""

    family = "speaker"
    Config = SpeakerConfig

    def __init__(self, config: SpeakerConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Conv1d(
            config.mel.dim, config.width, 2 * config.stride + 1, config.stride, config.stride
        )
        self.stem_norm = nn.LayerNorm(config.width)
        self.blocks = nn.ModuleList(ConvNeXtBlock(config.width, config.kernel) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)
        self.widen = nn.Linear(config.width, 3 * config.width)
        self.score = nn.Linear(3 * config.width, 3 * config.width)
        self.head = nn.Linear(6 * config.width, config.embedding_dim)
        self.spec_in = config.mel
        self.spec_out = EmbeddingSpec(
            encoder="", dim=config.embedding_dim, l2_normalised=True, input=config.mel
        )

    def forward(self, mel: Tensor) -> Tensor:
        return self.pool(self.trunk(mel)[-1])

    def trunk(self, mel: Tensor) -> list[Tensor]:
        """Log-mel (B, T, 80) -> the frames after each block, (B, T / stride, W)."""
        frames = self.stem_norm(self.stem(((mel + 5.0) / 2.0).transpose(1, 2)).transpose(1, 2))
        depths = []
        for block in self.blocks:
            frames = block(frames)
            depths.append(frames)
        return depths

    def pool(self, frames: Tensor) -> Tensor:
        """The frames after the last block -> unit vectors (B, 256)."""
        hidden = functional.gelu(self.widen(self.norm(frames)))
        weights = torch.softmax(self.score(hidden), dim=1)
        mean = (weights * hidden).sum(dim=1)
        variance = (weights * hidden.square()).sum(dim=1) - mean.square()
        pooled = torch.cat([mean, variance.clamp_min(1e-5).sqrt()], dim=-1)
        return functional.normalize(self.head(pooled).float(), dim=-1)
