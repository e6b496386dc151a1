"""What is said, in every voice alike: the bundled content encoder.

The encoder of the speech recogniser Moonshine tiny-en (Jeffries et al. 2024, arXiv:2410.15608; Useful
Sensors, MIT), from whose weights it starts, made fit for conversion in three ways. Its frames come at
62.5 Hz instead of 41.7: the same convolutions, asked more often. Nothing in it looks at the whole
recording: a scale for loudness replaces the normalisation over time, and a frame attends to those
within `reach`, so that a window gives what the whole gives. And it was trained on to say of perturbed
speech what the recogniser says of the clean recording.

A recogniser forgets on its way up what it does not need to tell words apart, and with it how a consonant
was said. `detail` reads that below its last layer, in directions which a disguise of the speaker leaves
alone (`timbrel.train.detail` finds them).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.config import require_sizes
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError

WAVEFORM = FeatureSpec(kind="waveform", sample_rate=16000, hop=1, dim=1)
#: Samples between two content frames.
HOP = 256
#: Samples on either side of a frame's centre that its convolutions see.
STEM_REACH = 447
#: Samples between two of the recogniser's own frames: positions count these.
_PUBLISHED_HOP = 384
#: Frames whose attention is computed together.
_BLOCK = 64


@dataclass(frozen=True, slots=True)
class PhoneticConfig:
    """Sizes of a `PhoneticEncoder`; the defaults are Moonshine tiny's, but for `reach`.

    Fields:
        width: of the network, and of what its last layer says of a frame.
        rotary: leading values of each head that positions turn, an even number.
        reach: content frames on either side that a frame attends to in each layer.
        detail: further values of a content frame, read behind layer `detail_after`, the first being 1.
    """

    spec_in: FeatureSpec = WAVEFORM
    width: int = 288
    layers: int = 6
    heads: int = 8
    rotary: int = 32
    reach: int = 24
    detail: int = 0
    detail_after: int = 3

    def __post_init__(self) -> None:
        require_sizes(self, "width", "layers", "heads", "rotary", "detail_after")
        require_sizes(self, "reach", "detail", least=0)
        if self.width % self.heads or self.rotary % 2 or self.rotary > self.width // self.heads:
            raise ConfigError(
                f"width must divide by heads, and rotary be even and no more than a head has: they are "
                f"{self.width}, {self.heads} and {self.rotary}."
            )
        if not 0 <= self.detail <= self.width or (self.detail and not 1 <= self.detail_after <= self.layers):
            raise ConfigError(
                f"detail must be 0 to the width, {self.width}, and detail_after 1 to the number of layers, "
                f"{self.layers}: they are {self.detail} and {self.detail_after}."
            )


class PhoneticEncoder(nn.Module):
    """Waveform at the standard level (B, L, 1) -> content (B, ceil(L / 256), width + detail).

    Content frame k is centred on sample 256 k. Every value has about zero mean and unit deviation over
    speech, since the teacher's were standardised.
    """

    family = "phonetic"
    Config = PhoneticConfig
    #: It hears all recordings at the standard level.
    levelled = True

    mean: Tensor
    deviation: Tensor
    detail_mean: Tensor
    detail_map: Tensor

    def __init__(self, config: PhoneticConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = Stem(config.width)
        self.layers = nn.ModuleList(
            Layer(config.width, config.heads, config.reach) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width, bias=False)
        self.register_buffer("mean", torch.zeros(config.width))
        self.register_buffer("deviation", torch.ones(config.width))
        if config.detail:
            self.register_buffer("detail_mean", torch.zeros(config.width))
            self.register_buffer("detail_map", torch.zeros(config.width, config.detail))
        self.spec_in = config.spec_in
        self.spec_out = FeatureSpec(
            kind="learned",
            sample_rate=config.spec_in.sample_rate,
            hop=HOP,
            dim=config.width + config.detail,
        )

    def forward(self, waveform: Tensor) -> Tensor:
        *_, last = behind = list(self.behind_layers(waveform))
        said = (self.norm(last) - self.mean) / self.deviation
        if not self.config.detail:
            return torch.as_tensor(said)
        detail = (behind[self.config.detail_after] - self.detail_mean) @ self.detail_map
        return torch.cat([said, detail.to(said.dtype)], dim=-1)

    def behind_layers(self, waveform: Tensor) -> Iterator[Tensor]:
        """Frames (B, T, width) of a waveform (B, L, 1), behind the stem and then behind each layer."""
        frames = self.stem(waveform)
        yield frames
        turns = rotations(frames.shape[1], self.config.rotary).to(frames.device)
        for layer in self.layers:
            frames = layer(frames, turns)
            yield frames

    def beginnings(self, waveform: Tensor) -> Tensor:
        """What the stem and the first layer make of a waveform (B, L, 1), side by side, (B, T, 2 width).

        There, how it sounds is still heard; the later layers keep what is said.
        """
        return torch.cat(list(islice(self.behind_layers(waveform), 2)), dim=-1)

    @property
    def context(self) -> int:
        """Content frames on either side that can change a frame."""
        return self.config.layers * self.config.reach + -(-STEM_REACH // HOP)


class Stem(nn.Module):
    """Three convolutions: waveform (B, L, 1) -> (B, ceil(L / 256), W).

    Their strides in the recogniser are 64, 3 and 2. With 1 and 4 for the last two, and the taps of the
    third spread to lie where they lay, they give the same frames at steps of 256 samples.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(1, width, 127, stride=64, bias=False)
        self.scale = nn.Parameter(torch.ones(width, 1))
        self.shift = nn.Parameter(torch.zeros(width, 1))
        self.conv2 = nn.Conv1d(width, 2 * width, 7)
        self.conv3 = nn.Conv1d(2 * width, width, 3, stride=4, dilation=3)

    def forward(self, waveform: Tensor) -> Tensor:
        padded = functional.pad(waveform.transpose(1, 2), (STEM_REACH, STEM_REACH))
        hidden = torch.tanh(self.conv1(padded)) * self.scale + self.shift
        hidden = functional.gelu(self.conv3(functional.gelu(self.conv2(hidden))))
        return torch.as_tensor(hidden.transpose(1, 2))


class Layer(nn.Module):
    """Attention and a feed-forward network, each after a norm and around a shortcut, (B, T, W) -> same."""

    def __init__(self, width: int, heads: int, reach: int) -> None:
        super().__init__()
        self.heads, self.reach = heads, reach
        self.attention_norm = nn.LayerNorm(width, bias=False)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.feed_norm = nn.LayerNorm(width, bias=False)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, frames: Tensor, turns: Tensor) -> Tensor:
        """Positions turn queries and keys by `turns`, see `rotations`."""
        heard = self.attention_norm(frames)
        query, key, value = (self._split(part(heard)) for part in (self.query, self.key, self.value))
        found = attend_near(rotate(query, turns), rotate(key, turns), value, self.reach)
        frames = frames + self.out(found.transpose(1, 2).flatten(2))
        return frames + torch.as_tensor(self.narrow(functional.gelu(self.widen(self.feed_norm(frames)))))

    def _split(self, frames: Tensor) -> Tensor:
        split: Tensor = frames.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return split


def rotations(frames: int, rotary: int) -> Tensor:
    """Cosines and sines of the positions, counted in the recogniser's frames, (2, T, rotary / 2).

    Computed in double precision on the CPU: the angles of a long recording are large, and frames far from
    its start should be turned as exactly as the first.
    """
    position = torch.arange(frames, dtype=torch.float64) * (HOP / _PUBLISHED_HOP)
    exponent = torch.arange(0, rotary, 2, dtype=torch.float64) / rotary
    angles = position[:, None] * 10000.0**-exponent
    return torch.stack([angles.cos(), angles.sin()]).float()


def rotate(heads: Tensor, turns: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021) on neighbouring pairs of the first values of (B, H, T, D)."""
    cosine, sine = turns
    rotary = 2 * cosine.shape[-1]
    one, two = heads[..., 0:rotary:2], heads[..., 1:rotary:2]
    turned = torch.stack([one * cosine - two * sine, two * cosine + one * sine], dim=-1).flatten(-2)
    return torch.cat([turned.to(heads.dtype), heads[..., rotary:]], dim=-1)


def attend_near(query: Tensor, key: Tensor, value: Tensor, reach: int) -> Tensor:
    """Scaled dot-product attention of each frame to those within `reach`, (B, H, T, D) each -> same.

    Time and memory grow with T and not with its square: a block of queries meets only the keys around it.
    """
    batch, heads, frames, dim = query.shape
    blocks = -(-frames // _BLOCK)
    rest = blocks * _BLOCK - frames
    query = functional.pad(query, (0, 0, 0, rest)).unflatten(2, (blocks, _BLOCK))
    around = (0, 0, reach, rest + reach)
    pieces = (functional.pad(part, around).unfold(2, _BLOCK + 2 * reach, _BLOCK) for part in (key, value))
    key, value = (part.transpose(-1, -2) for part in pieces)
    place = torch.arange(blocks * _BLOCK, device=query.device).view(blocks, _BLOCK, 1)
    other = place[:, :1] + torch.arange(-reach, _BLOCK + reach, device=query.device)
    near = ((place - other).abs() <= reach) & (other >= 0) & (other < frames)
    near |= place >= frames  # what fills up the last block must attend to something, and is dropped
    query, key, value = (part.transpose(1, 2).flatten(0, 1) for part in (query, key, value))
    mask = near.repeat(batch, 1, 1)[:, None]
    found = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    joined: Tensor = found.unflatten(0, (batch, blocks)).transpose(1, 2).reshape(batch, heads, -1, dim)
    return joined[:, :, :frames]
