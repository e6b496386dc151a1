"""The LSTM d-vector (Wan et al. 2018, "Generalized End-to-End Loss for Speaker Verification").

Frames run through a stack of LSTMs; the last frame, projected and brought to unit length, is the
voice. The default sizes and the mel are those of the encoder published with AutoVC (Qian et al. 2019),
which hears crops of 128 frames, 2 s, and averages them without further scaling. Resemblyzer, the encoder
of SV2TTS (Jia et al. 2018), is another: it hears linear power, keeps what is positive and scales means.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from timbrel.audio.mel import PRESETS
from timbrel.config import require_sizes
from timbrel.contract import EmbeddingSpec, FeatureSpec


@dataclass(frozen=True, slots=True)
class DVectorConfig:
    """Sizes of a `DVector`; the defaults have 12,257,536 parameters.

    Fields:
        spec_in: the mel it hears.
        layers, width: of the LSTM.
        embedding_dim: E.
        window: frames of a crop in training, and of the windows that a longer utterance is heard in.
        rectified: whether what is negative in a projected frame counts as zero.
        l2_normalised: whether the mean over windows is brought to unit length, too.
        least_dbfs: recordings whose RMS is below are raised to it first; None leaves the level alone.
    """

    spec_in: FeatureSpec = PRESETS["autovc-16k"]
    layers: int = 3
    width: int = 768
    embedding_dim: int = 256
    window: int = 128
    rectified: bool = False
    l2_normalised: bool = False
    least_dbfs: float | None = None

    def __post_init__(self) -> None:
        """Raises ConfigError if there cannot be such a size."""
        require_sizes(self, "layers", "width", "embedding_dim", "window")


class DVector(nn.Module):
    """Mel (B, T, D) -> unit vectors (B, E)."""

    family = "d-vector"
    Config = DVectorConfig

    def __init__(self, config: DVectorConfig) -> None:
        super().__init__()
        self.config = config
        self.spec_in, self.window, self.least_dbfs = config.spec_in, config.window, config.least_dbfs
        # A mean over windows is shorter than 1, and AutoVC takes it as it is.
        self.spec_out = EmbeddingSpec("", config.embedding_dim, config.l2_normalised, config.spec_in)
        self.lstm = nn.LSTM(config.spec_in.dim, config.width, config.layers, batch_first=True)
        self.embedding = nn.Linear(config.width, config.embedding_dim)

    def forward(self, mel: Tensor) -> Tensor:
        frames, _ = self.lstm(mel)
        voice = self.embedding(frames[:, -1]).float()
        return functional.normalize(voice.relu() if self.config.rectified else voice, dim=-1)
