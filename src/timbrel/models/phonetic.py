"""What is said, in every voice alike: the bundled content encoder.

A small convolutional network taught to predict the last hidden state of a speech recogniser's
encoder (Moonshine tiny-en, Useful Sensors 2024, MIT) from a log-mel whose formants, pitch, spectrum,
level and noise were perturbed while the teacher heard the clean recording. It stands in the slot
that WavLM takes in larger systems, at a fiftieth of the size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from timbrel.audio.mel import PRESETS
from timbrel.contract import FeatureSpec
from timbrel.models.convnext import ConvNeXtBlock


@dataclass(frozen=True, slots=True)
class PhoneticConfig:
    """Sizes of a `PhoneticEncoder`; `stride` is the number of mel frames in one content frame."""

    mel: FeatureSpec = PRESETS["timbrel-16k"]
    width: int = 288
    blocks: int = 10
    kernel: int = 7
    stride: int = 2
    content_dim: int = 288


class PhoneticEncoder(nn.Module):
    """Log-mel (B, T, 80) -> content (B, 1 + (T - 1) // stride, content_dim).

    Content frame k is centred where mel frame `stride * k` is. Every dimension has about zero mean and
    unit deviation over speech, since the teacher's were standardised.
    """

    family = "phonetic"
    Config = PhoneticConfig

    def __init__(self, config: PhoneticConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Conv1d(
            config.mel.dim, config.width, 2 * config.stride + 1, config.stride, config.stride
        )
        self.stem_norm = nn.LayerNorm(config.width)
        self.blocks = nn.ModuleList(ConvNeXtBlock(config.width, config.kernel) for _ in range(config.blocks))
        self.head_norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.content_dim)
        self.spec_in = config.mel
        self.spec_out = FeatureSpec(
            kind="learned",
            sample_rate=config.mel.sample_rate,
            hop=config.mel.hop * config.stride,
            dim=config.content_dim,
        )

    def forward(self, mel: Tensor) -> Tensor:
        # Speech in ln(1e-5..6) has a mean near -5 and a deviation near 2; the weights start from there.
        frames = self.stem(((mel + 5.0) / 2.0).transpose(1, 2)).transpose(1, 2)
        frames = self.stem_norm(frames)
        for block in self.blocks:
            frames = block(frames)
        return torch.as_tensor(self.head(self.head_norm(frames)))

    @property
    def context(self) -> int:
        """Content frames on either side that can change a frame; one more for the strided stem."""
        return 1 + self.config.blocks * (self.config.kernel // 2)
