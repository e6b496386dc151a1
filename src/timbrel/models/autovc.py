"""AutoVC: zero-shot voice conversion with only autoencoder loss (Qian et al., ICML 2019).

The encoder reads an utterance together with its speaker's vector, and its recurrent states are kept
at only every `freq`-th frame and in `dim_neck` values per direction. The decoder rebuilds the
utterance from these codes and a speaker's vector. Where the bottleneck is just wide enough, the
codes have room for the words and none for the speaker, whom the decoder knows anyway; conversion
gives it another speaker's vector. Too wide a bottleneck leaks the source's voice, too narrow a one
loses words.

    L = |after - mel|^2 + mu |before - mel|^2 + lambda |codes(after) - codes(mel)|

`before` and `after` are the decoder's mel before and after the postnet's residual.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.audio.mel import PRESETS, compress
from timbrel.config import require_sizes
from timbrel.contract import EmbeddingSpec, FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models.losses import l1, mean_square

#: Of every convolution.
KERNEL = 5

_Activation = Literal["relu", "tanh", "linear"]

#: (dim_neck, freq): "paper" is the released model, "code" the defaults of the released training script.
SIZES = {"paper": (32, 32), "code": (16, 16)}


@dataclass(frozen=True, slots=True)
class AutoVCConfig:
    """Sizes of an AutoVC and the contracts of what it reads.

    Fields:
        embedding: the speaker's vector, (B, `dim_emb`).
        spec: the mel that goes in and comes out.
        dim_neck: values of a code per direction.
        freq: mel frames in a code.
        dim_pre: units and channels of the decoder's first layers.
        channels: of the encoder's and the postnet's convolutions.
        dim_recurrent: units of the decoder's last layers.
        window: frames of a training crop, and so of a window of a conversion: the recurrent layers
            have never seen more.

    Raises:
        ConfigError: if a size is impossible.
    """

    embedding: EmbeddingSpec
    spec: FeatureSpec = PRESETS["autovc-16k"]
    dim_neck: int = 32
    freq: int = 32
    dim_pre: int = 512
    channels: int = 512
    dim_recurrent: int = 1024
    window: int = 128

    def __post_init__(self) -> None:
        require_sizes(self, "dim_neck", "freq", "dim_pre", "channels", "dim_recurrent", "window")
        if self.spec.kind != "mel":
            raise ConfigError("AutoVC reads and writes a mel; VQVC takes learned features.")
        if self.window % self.freq or self.window < 2:
            raise ConfigError(
                f"window is {self.window} frames; it must be at least 2 and a multiple of freq, {self.freq}, "
                "so that it holds whole codes."
            )

    @classmethod
    def of(
        cls,
        size: Literal["paper", "code"],
        embedding: EmbeddingSpec,
        spec: FeatureSpec = PRESETS["autovc-16k"],
    ) -> AutoVCConfig:
        """A published size; with 80 bands and 256 values "paper" has 28,422,464 parameters.

        Raises:
            ConfigError: there is no such size.
        """
        if size not in SIZES:
            raise ConfigError(f'AutoVC has no size "{size}": those that exist are {", ".join(SIZES)}.')
        dim_neck, freq = SIZES[size]
        return cls(embedding, spec, dim_neck, freq)

    @property
    def dim_emb(self) -> int:
        """Values of a speaker's vector."""
        return self.embedding.dim


@dataclass(frozen=True, slots=True)
class AutoVCOutput:
    """A mel rebuilt: `before` and `after` the postnet (B, T, D), from `codes` (B, T / freq, 2 dim_neck)."""

    before: Tensor
    after: Tensor
    codes: Tensor


@dataclass(frozen=True, slots=True)
class AutoVCLosses:
    """The terms of the paper's loss, () each; `total` is what training minimises."""

    total: Tensor
    reconstruction: Tensor
    before_postnet: Tensor
    content: Tensor


class AutoVC(nn.Module):
    """Mel (B, T, D), its speaker's vector and another's (B, E) -> the mel in the other's voice.

    T is any length: it is filled up to whole codes with the mel's floor, and cut again. No activation
    bounds the output, so values may leave the range that the mel is clipped to.
    """

    family = "autovc"
    Config = AutoVCConfig

    def __init__(self, config: AutoVCConfig) -> None:
        super().__init__()
        self.config = config
        self.spec_in = self.spec_out = config.spec
        self.floor = float(compress(torch.zeros((), device="cpu"), config.spec))
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.postnet = Postnet(config.spec.dim, config.channels)

    def forward(self, mel: Tensor, source: Tensor, target: Tensor) -> AutoVCOutput:
        """(B, T, D) said by `source` (B, E) as `target` (B, E) would say it.

        The published network is given T in whole codes and adds an axis to its mels, (B, 1, T, D),
        which its training loss then broadcasts; here shapes stay.
        """
        frames = mel.shape[1]
        codes = self.encode(mel, source)
        before, after = self.decode(codes, target)
        return AutoVCOutput(before[:, :frames], after[:, :frames], codes)

    def encode(self, mel: Tensor, source: Tensor) -> Tensor:
        """The codes of a mel (B, T, D), (B, ceil(T / freq), 2 dim_neck): forward states, then backward."""
        codes: Tensor = self.encoder(self._whole_codes(mel), source)
        return codes

    def decode(self, codes: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mels before and after the postnet, (B, freq * codes, D) each."""
        before: Tensor = self.decoder(codes, target)
        return before, before + self.postnet(before)

    def convert(self, mel: Tensor, source: Tensor, target: Tensor, first: int = 0) -> Tensor:
        """A mel of any length in windows of the training length, (B, T, D) -> (B, T, D).

        Windows overlap by a half and fade into each other. They begin at every half window of the
        recording, of which `mel` starts at frame `first`; so pieces of a recording are converted as the
        whole is, but for a window at either end of a piece.
        """
        window, step = self.config.window, self.config.window // 2
        skipped, frames = -first % step, mel.shape[1]
        count = max(1, 1 + math.ceil((frames - skipped - window) / step))
        stop = skipped + (count - 1) * step + window
        padded = functional.pad(mel, (0, 0, 0, stop - frames), value=self.floor)
        pieces = padded[:, skipped:].unfold(1, window, step).mT
        who = [vector.repeat_interleave(count, dim=0) for vector in (source, target)]
        made = self(pieces.flatten(0, 1), *who).after.unflatten(0, (len(mel), count))
        return self._faded(made, skipped, stop)[:, :frames]

    def _faded(self, made: Tensor, skipped: int, stop: int) -> Tensor:
        """Windows (B, N, W, D), the first at frame `skipped`, joined to (B, `stop`, D)."""
        window, step = self.config.window, self.config.window // 2
        fade = torch.sin(math.pi * (torch.arange(window, device=made.device) + 0.5) / window).square()
        joined = made.new_zeros(len(made), stop, made.shape[3])
        weight = made.new_zeros(stop, 1)
        for index in range(made.shape[1]):
            place = slice(skipped + index * step, skipped + index * step + window)
            joined[:, place] += fade[:, None] * made[:, index]
            weight[place] += fade[:, None]
        return torch.where(weight > 0, joined / weight, self.floor)

    def _whole_codes(self, mel: Tensor) -> Tensor:
        missing = -mel.shape[1] % self.config.freq
        return functional.pad(mel, (0, 0, 0, missing), value=self.floor) if missing else mel


class Encoder(nn.Module):
    """Mel (B, T, D) and speaker (B, E) -> codes (B, T / freq, 2 dim_neck)."""

    def __init__(self, config: AutoVCConfig) -> None:
        super().__init__()
        self.freq, self.dim_neck = config.freq, config.dim_neck
        widths = [config.spec.dim + config.dim_emb, *[config.channels] * 3]
        self.convolutions = _convolutions(widths, "relu")
        self.lstm = nn.LSTM(config.channels, config.dim_neck, 2, batch_first=True, bidirectional=True)

    def forward(self, mel: Tensor, source: Tensor) -> Tensor:
        hidden = torch.cat([mel, _over_time(source, mel.shape[1])], dim=2).transpose(1, 2)
        for convolution in self.convolutions:
            hidden = functional.relu(convolution(hidden))
        states = _recur(self.lstm, hidden.transpose(1, 2))
        # Each direction has read its block of frames when it leaves it: at the block's other end.
        forward = states[:, self.freq - 1 :: self.freq, : self.dim_neck]
        backward = states[:, :: self.freq, self.dim_neck :]
        return torch.cat([forward, backward], dim=2)


class Decoder(nn.Module):
    """Codes (B, N, 2 dim_neck) and speaker (B, E) -> mel (B, freq * N, D)."""

    def __init__(self, config: AutoVCConfig) -> None:
        super().__init__()
        self.freq = config.freq
        width = config.dim_pre
        self.lstm1 = nn.LSTM(2 * config.dim_neck + config.dim_emb, width, batch_first=True)
        self.convolutions = _convolutions([width] * 4, "relu")
        self.lstm2 = nn.LSTM(width, config.dim_recurrent, 2, batch_first=True)
        self.linear_projection = nn.Linear(config.dim_recurrent, config.spec.dim)
        nn.init.xavier_uniform_(self.linear_projection.weight)

    def forward(self, codes: Tensor, target: Tensor) -> Tensor:
        frames = codes.repeat_interleave(self.freq, dim=1)
        frames = torch.cat([frames, _over_time(target, frames.shape[1])], dim=2)
        hidden = _recur(self.lstm1, frames).transpose(1, 2)
        for convolution in self.convolutions:
            hidden = functional.relu(convolution(hidden))
        mel: Tensor = self.linear_projection(_recur(self.lstm2, hidden.transpose(1, 2)))
        return mel


class Postnet(nn.Module):
    """What the decoder's mel still lacks, (B, T, D) -> (B, T, D), as in Tacotron 2 (Shen et al. 2018)."""

    def __init__(self, bands: int, channels: int) -> None:
        super().__init__()
        inner = _convolutions([bands, *[channels] * 4], "tanh")
        last = _convolution(channels, bands, "linear")
        # It begins with nothing to add. As published it begins with noise of deviation 1 on mels between
        # 0 and 1, which at a learning rate of 1e-4 takes Adam some ten thousand steps to bring down.
        nn.init.zeros_(last.get_parameter("1.weight"))
        self.convolutions = nn.ModuleList([*inner, last])

    def forward(self, mel: Tensor) -> Tensor:
        hidden = mel.transpose(1, 2)
        *inner, last = self.convolutions
        for convolution in inner:
            hidden = torch.tanh(convolution(hidden))
        residual: Tensor = last(hidden)
        return residual.transpose(1, 2)


def losses(
    output: AutoVCOutput,
    recoded: Tensor,
    mel: Tensor,
    before_weight: float = 1.0,
    content_weight: float = 1.0,
    distance: Callable[[Tensor, Tensor], Tensor] = mean_square,
) -> AutoVCLosses:
    """The paper's loss of a reconstruction of `mel` (B, T, D).

    Args:
        recoded: the codes of `output.after`, encoded again with the source's vector. Gradients flow
            through both sides of the content term.
        before_weight, content_weight: mu and lambda.
        distance: of mels; the paper's is the squared error.

    Raises:
        ValueError: if shapes differ. With a batch of B the published training script compares
            (B, 1, T, D) with (B, T, D), which pulls every output toward every utterance of its batch.
    """
    reconstruction = distance(output.after, mel)
    before = distance(output.before, mel)
    content = l1(recoded, output.codes)
    total = reconstruction + before_weight * before + content_weight * content
    return AutoVCLosses(total, reconstruction, before, content)


def _convolutions(widths: list[int], activation: _Activation) -> nn.ModuleList:
    """Convolutions with batch normalisation, from each width to the next; Glorot's initial weights."""
    return nn.ModuleList(_convolution(*pair, activation) for pair in pairwise(widths))


def _convolution(before: int, after: int, activation: _Activation) -> nn.Sequential:
    convolution = nn.Conv1d(before, after, KERNEL, padding=KERNEL // 2)
    nn.init.xavier_uniform_(convolution.weight, nn.init.calculate_gain(activation))
    return nn.Sequential(convolution, nn.BatchNorm1d(after))


def _over_time(vectors: Tensor, frames: int) -> Tensor:
    """(B, E) -> (B, frames, E)."""
    return vectors[:, None].expand(-1, frames, -1)


def _recur(lstm: nn.LSTM, frames: Tensor) -> Tensor:
    """The states of all frames; on a CPU in float32, since there half precision only makes an LSTM slower."""
    if frames.device.type != "cpu":
        states, _ = lstm(frames)
        return torch.as_tensor(states)
    with torch.autocast("cpu", enabled=False):
        states, _ = lstm(frames.float())
    return torch.as_tensor(states)
