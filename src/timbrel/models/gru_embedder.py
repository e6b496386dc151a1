"""A speaker encoder of GRUs on log-mels at 22.05 kHz, the published companion of simple-autovc.

As the d-vector of Wan et al. (2018) it reads the last frame and is trained with the GE2E loss. The mel
is that of Tacotron's vocoders; the module normalises it itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from timbrel.audio.mel import PRESETS
from timbrel.config import require_sizes
from timbrel.contract import EmbeddingSpec, FeatureSpec

#: Mean and deviation by which the published encoder normalises natural logarithms.
_MEAN, _DEVIATION = -5.76, 5.76


@dataclass(frozen=True, slots=True)
class GRUEmbedderConfig:
    """Sizes of a `GRUEmbedder`; the defaults have 9,242,368 parameters.

    Fields:
        spec_in: the mel it hears, natural logarithms.
        layers, width: of the GRU.
        embedding_dim: E.
        dropout: between the layers, in training.
    """

    spec_in: FeatureSpec = PRESETS["tacotron-22k"]
    layers: int = 3
    width: int = 768
    embedding_dim: int = 256
    dropout: float = 0.3

    def __post_init__(self) -> None:
        """Raises ConfigError if there cannot be such a size."""
        require_sizes(self, "layers", "width", "embedding_dim")


class GRUEmbedder(nn.Module):
    """Log-mel (B, T, D), not normalised -> unit vectors (B, E)."""

    family = "gru-embedder"
    Config = GRUEmbedderConfig

    def __init__(self, config: GRUEmbedderConfig) -> None:
        super().__init__()
        self.config = config
        self.spec_in = config.spec_in
        self.spec_out = EmbeddingSpec("", config.embedding_dim, l2_normalised=True, input=config.spec_in)
        self.rnn_stack = nn.GRU(
            config.spec_in.dim,
            config.width,
            config.layers,
            batch_first=True,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        self.projection = nn.Linear(config.width, config.embedding_dim)

    def forward(self, mel: Tensor) -> Tensor:
        frames, _ = self.rnn_stack((mel - _MEAN) / _DEVIATION)
        return functional.normalize(self.projection(frames[:, -1]).float(), dim=-1)
