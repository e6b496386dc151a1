"""VQVC: one-shot voice conversion by vector quantisation (Wu & Lee, ICASSP 2020).

The encoder turns an utterance into z, (B, T', C). Instance normalisation removes what stays
constant over time, and the nearest codes q are the content. The speaker is the mean over time of
what quantisation removed, s = mean_t(z - q). The decoder rebuilds the mel from q + s; conversion
gives it the source's q and the reference's s.

    L = |mel - decoded| + weight * (codebook + commitment)

There is no speaker label and no speaker network. The encoder takes mel or learned frames of any
rate, resampled to the frame rate of the mel that comes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.config import require_sizes
from timbrel.contract import FeatureSpec
from timbrel.models.layers import Standardise, instance_normalise, resample_frames
from timbrel.models.losses import l1
from timbrel.models.quantizer import VectorQuantizer, unit_length

#: Mel frames per content step.
STRIDE = 2


@dataclass(frozen=True, slots=True)
class VQVCConfig:
    """Sizes of a VQVC.

    Fields:
        spec_in: what the encoder reads.
        spec_out: the mel that the decoder writes.
        codes, code_dim: size of the codebook and C.
        stem, hidden, width: channels of the encoder's first, second and further layers; the
            decoder has `width` before and `hidden` after upsampling.
        encoder_dilations, decoder_dilations: one residual convolution each.
        decay, patience: of the codebook, see `VectorQuantizer`.
        unit_length: bring codes (for the search), content and speaker to unit length.
        encoder: "convolutional", or "linear": one matrix from the mean of a step's frames to C values, for
            learned frames, whose network has done the rest; the encoder's channels then mean nothing.
    """

    spec_in: FeatureSpec
    spec_out: FeatureSpec
    codes: int = 256
    code_dim: int = 64
    stem: int = 256
    hidden: int = 512
    width: int = 256
    encoder_dilations: tuple[int, ...] = (1, 2, 4, 1, 2, 4)
    decoder_dilations: tuple[int, ...] = (1, 2, 4, 1, 2, 4)
    decay: float = 0.99
    patience: int = 100
    unit_length: bool = False
    encoder: Literal["convolutional", "linear"] = "convolutional"

    def __post_init__(self) -> None:
        """Raises ConfigError if there cannot be such a size."""
        require_sizes(self, "codes", "code_dim", "stem", "hidden", "width")
        require_sizes(self, "encoder_dilations", "decoder_dilations", "patience")

    @classmethod
    def published(cls, spec: FeatureSpec) -> VQVCConfig:
        """The sizes of the widely used public implementation, 468,240 parameters for 80 bands."""
        return cls(
            spec_in=spec,
            spec_out=spec,
            codes=256,
            code_dim=32,
            stem=64,
            hidden=256,
            width=128,
            encoder_dilations=(1, 1),
            decoder_dilations=(1, 1),
            unit_length=True,
        )


@dataclass(frozen=True, slots=True)
class VQVCCode:
    """An utterance taken apart.

    Fields:
        content: (B, T', C) codes, T' = ceil(frames / 2).
        speaker: (B, C).
        indices: (B, T') of the codes.
        frames: number of mel frames that `content` stands for.
        codebook_loss, commitment_loss, perplexity: (), see `Quantized`.
    """

    content: Tensor
    speaker: Tensor
    indices: Tensor
    frames: int
    codebook_loss: Tensor
    commitment_loss: Tensor
    perplexity: Tensor


@dataclass(frozen=True, slots=True)
class VQVCOutput:
    """Reconstruction: the decoded mel (B, T, D) and the code it came from."""

    mel: Tensor
    code: VQVCCode


@dataclass(frozen=True, slots=True)
class VQVCLosses:
    """The terms of the paper's loss, () each; `total` is what training minimises."""

    total: Tensor
    reconstruction: Tensor
    codebook: Tensor
    commitment: Tensor


class VQVC(nn.Module):
    """Encoder, codebook and decoder; see the top of the file."""

    family = "vqvc"
    Config = VQVCConfig

    def __init__(self, config: VQVCConfig) -> None:
        super().__init__()
        self.config = config
        self.spec_in, self.spec_out = config.spec_in, config.spec_out
        self.input_scale = Standardise(config.spec_in.dim)
        self.output_scale = Standardise(config.spec_out.dim)
        self.encoder = LinearEncoder(config) if config.encoder == "linear" else Encoder(config)
        self.quantizer = VectorQuantizer(
            config.codes,
            config.code_dim,
            decay=config.decay,
            patience=config.patience,
            unit_search=config.unit_length,
        )
        self.decoder = Decoder(config)

    def fit_statistics(self, features: Tensor, mel: Tensor) -> None:
        """Takes the scale of input (..., D_in) and output (..., D) from frames of the corpus, once."""
        self.input_scale.fit(features)
        self.output_scale.fit(mel)

    def encode(self, features: Tensor, frames: int | None = None) -> VQVCCode:
        """Takes `features` (B, T, D_in) apart; any T from 1 up.

        `frames` is the number of mel frames wanted; by default what lasts as long as the input.
        """
        features = self.input_scale(features)
        features = resample_frames(features, self.spec_in.frame_rate, self.spec_out.frame_rate, frames)
        frames = features.shape[1]
        latent = self.encoder(_whole_steps(features))
        quantized = self.quantizer(instance_normalise(latent))
        return VQVCCode(
            content=quantized.vectors,
            speaker=(latent - quantized.vectors).mean(1),
            indices=quantized.indices,
            frames=frames,
            codebook_loss=quantized.codebook_loss,
            commitment_loss=quantized.commitment_loss,
            perplexity=quantized.perplexity,
        )

    def decode(self, content: Tensor, speaker: Tensor, frames: int | None = None) -> Tensor:
        """Content (B, T', C) in the voice `speaker` (B, C) -> mel (B, frames, D), frames <= 2 T'."""
        if self.config.unit_length:
            content, speaker = unit_length(content), unit_length(speaker)
        mel: Tensor = self.decoder(content + speaker[:, None])
        return self.output_scale.inverse(mel)[:, :frames]

    def convert(self, source: Tensor, reference: Tensor) -> Tensor:
        """What `source` (B, T, D_in) says in the voice of `reference` (B, R, D_in) -> mel (B, T_mel, D)."""
        said, voice = self.encode(source), self.encode(reference)
        return self.decode(said.content, voice.speaker, said.frames)

    def forward(self, features: Tensor, frames: int | None = None) -> VQVCOutput:
        """Takes `features` (B, T, D_in) apart and puts them together again."""
        code = self.encode(features, frames)
        return VQVCOutput(self.decode(code.content, code.speaker, code.frames), code)


class Encoder(nn.Module):
    """Standardised frames (B, T, D_in), T even -> z (B, T / 2, C)."""

    def __init__(self, config: VQVCConfig) -> None:
        super().__init__()
        kernel = 2 * STRIDE
        self.downsample = nn.Conv1d(config.spec_in.dim, config.stem, kernel, STRIDE, padding=kernel // 2)
        self.expand = nn.Conv1d(config.stem, config.hidden, 3, padding=1)
        self.contract = nn.Conv1d(config.hidden, config.width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(config.width, d) for d in config.encoder_dilations))
        self.project = nn.Conv1d(config.width, config.code_dim, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        steps = features.shape[1] // STRIDE
        hidden = functional.relu(self.downsample(features.transpose(1, 2))[..., :steps])
        hidden = self.blocks(self.contract(self.expand(hidden)))
        latent: Tensor = self.project(hidden)
        return latent.transpose(1, 2)


class LinearEncoder(nn.Module):
    """Standardised frames (B, T, D_in), T even -> z (B, T / 2, C)."""

    def __init__(self, config: VQVCConfig) -> None:
        super().__init__()
        self.project = nn.Linear(config.spec_in.dim, config.code_dim, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        latent: Tensor = self.project(features.unflatten(1, (-1, STRIDE)).mean(2))
        return latent


class Decoder(nn.Module):
    """Content plus speaker (B, T', C) -> standardised mel (B, 2 T', D)."""

    def __init__(self, config: VQVCConfig) -> None:
        super().__init__()
        self.widen = nn.Conv1d(config.code_dim, config.width, 3, padding=1, bias=False)
        self.blocks = nn.Sequential(*(ResidualBlock(config.width, d) for d in config.decoder_dilations))
        self.smooth = nn.Conv1d(config.width, config.hidden, STRIDE, padding=STRIDE // 2)
        self.project = nn.Linear(config.hidden, config.spec_out.dim)

    def forward(self, mixed: Tensor) -> Tensor:
        hidden = self.blocks(self.widen(mixed.transpose(1, 2)))
        hidden = hidden.repeat_interleave(STRIDE, dim=2)
        # An even kernel gives one step too many.
        hidden = functional.relu(self.smooth(hidden)[..., : hidden.shape[2]])
        mel: Tensor = self.project(hidden.transpose(1, 2))
        return mel


class ResidualBlock(nn.Module):
    """x + relu(convolution(x)), (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + functional.relu(self.convolution(hidden))


def losses(output: VQVCOutput, target: Tensor, latent_weight: float = 0.01) -> VQVCLosses:
    """The paper's loss of a reconstruction against the true mel `target` (B, T, D).

    Raises:
        ValueError: if the shapes differ.
    """
    reconstruction = l1(output.mel, target)
    codebook, commitment = output.code.codebook_loss, output.code.commitment_loss
    total = reconstruction + latent_weight * (codebook + commitment)
    return VQVCLosses(total, reconstruction, codebook, commitment)


def _whole_steps(features: Tensor) -> Tensor:
    """Repeats the last frame until T is a multiple of `STRIDE`."""
    missing = -features.shape[1] % STRIDE
    return torch.cat([features, features[:, -1:].expand(-1, missing, -1)], 1) if missing else features
