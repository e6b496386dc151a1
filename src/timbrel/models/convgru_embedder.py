"""A speaker encoder that hears the waveform: strided convolutions, then GRUs in both directions.

The convolutions are those of wav2vec 2.0 (Baevski et al. 2020), a frame every 20 ms. The vector is what
each direction has come to at its end: the forward one at the last frame, the backward one at the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.config import require_sizes
from timbrel.contract import EmbeddingSpec, FeatureSpec

WAVEFORM_16K = FeatureSpec(kind="waveform", sample_rate=16000, hop=1, dim=1)
#: Kernel and stride of each convolution: 400 samples in view, 320 between frames.
CONVOLUTIONS = ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2))
#: Fewer samples give no frame.
SHORTEST = 400


@dataclass(frozen=True, slots=True)
class ConvGRUEmbedderConfig:
    """Sizes of a `ConvGRUEmbedder`; the defaults have 31,753,472 parameters.

    Fields:
        spec_in: the waveform it hears.
        channels: of the convolutions.
        layers, width: of the GRU, in each direction.
        embedding_dim: E.
        pooling: "ends", as published, or "mean" over frames, which learns from little speech where the
            other does not leave chance.
    """

    spec_in: FeatureSpec = WAVEFORM_16K
    channels: int = 512
    layers: int = 3
    width: int = 768
    embedding_dim: int = 256
    pooling: Literal["ends", "mean"] = "ends"

    def __post_init__(self) -> None:
        """Raises ConfigError if there cannot be such a size."""
        require_sizes(self, "channels", "layers", "width", "embedding_dim")


class ConvGRUEmbedder(nn.Module):
    """Waveform (B, L, 1) -> unit vectors (B, E).

    Every channel is normalised over time, so silence added to an utterance changes its vector: utterances
    of different length are embedded one by one.
    """

    family = "convgru-embedder"
    Config = ConvGRUEmbedderConfig

    def __init__(self, config: ConvGRUEmbedderConfig) -> None:
        super().__init__()
        self.config = config
        self.spec_in = config.spec_in
        self.spec_out = EmbeddingSpec("", config.embedding_dim, l2_normalised=True, input=config.spec_in)
        self.conv_encoder = ConvEncoder(config.channels)
        self.rnn = nn.GRU(config.channels, config.width, config.layers, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * config.width, config.embedding_dim)

    def forward(self, waveform: Tensor) -> Tensor:
        """(B, L, 1) -> (B, E).

        Raises:
            ValueError: the waveform is shorter than `SHORTEST` samples.
        """
        if waveform.shape[1] < SHORTEST:
            raise ValueError(f"Expected at least {SHORTEST} samples, got {waveform.shape[1]}.")
        frames, _ = self.rnn(self.conv_encoder(waveform.clamp(-1.0, 1.0)))
        return functional.normalize(self.head(self._pool(frames)).float(), dim=-1)

    def _pool(self, frames: Tensor) -> Tensor:
        """(B, T, 2 W) -> (B, 2 W)."""
        if self.config.pooling == "mean":
            return frames.mean(dim=1)
        forwards, backwards = frames.chunk(2, dim=-1)
        return torch.cat([forwards[:, -1], backwards[:, 0]], dim=-1)


class ConvEncoder(nn.Module):
    """(B, L, 1) -> (B, 1 + (L - 400) // 320, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_layers = nn.ModuleList(
            _convolution(channels, index, *sizes) for index, sizes in enumerate(CONVOLUTIONS)
        )

    def forward(self, waveform: Tensor) -> Tensor:
        hidden = waveform.transpose(1, 2)
        for layer in self.conv_layers:
            hidden = layer(hidden)
        return hidden.transpose(1, 2)


def _convolution(channels: int, index: int, kernel: int, stride: int) -> nn.Sequential:
    """One layer; in the published file the normalisation of the first is number 2, after a dropout."""
    convolution = nn.Conv1d(channels if index else 1, channels, kernel, stride, bias=False)
    # Six layers without normalisation: PyTorch's own start would leave them nothing but silence to hear.
    nn.init.kaiming_normal_(convolution.weight)
    if index:
        return nn.Sequential(convolution, nn.GELU())
    return nn.Sequential(convolution, nn.Identity(), nn.GroupNorm(channels, channels), nn.GELU())
