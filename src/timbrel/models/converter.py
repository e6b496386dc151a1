"""The bundled converter: content, pitch, energy and a voice straight to the waveform.

A voice is not one vector here but the reference's own frames: the decoder attends from what is to be
said to how the reference says it, so one short reference goes far and several go farther. A trunk at
62.5 frames a second predicts the envelopes of a source-filter synthesiser (`source_filter.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.audio.mel import PRESETS
from timbrel.config import require_sizes
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models.convnext import ConvNeXtBlock
from timbrel.models.crowd import Crowd
from timbrel.models.source_filter import SourceFilter
from timbrel.models.voice_tokens import VoiceTokens

#: How far a conversion goes in anything, as a share; what lies beyond is no speech.
_FARTHEST = 10.0


@dataclass(frozen=True, slots=True)
class ConverterConfig:
    """Contracts and sizes of a `Converter`.

    Fields:
        content: the frames it was trained on, with the fingerprint of their encoder.
        mel: of the reference; two of its frames go with one frame of content.
        attend_after: the trunk blocks that a look at the reference follows.
        n_fft: of the synthesiser.
        crowd: people of whom it keeps a few tokens each, for `guidance`.
        crowd_tokens: of each of them.
        guidance: how far the filters go beyond those for the wanted voice, away from those for the crowd's,
            as a share of what lies between the two.
        beyond: the guidance that is in its filters already, since it learned from a guide with one; see
            `Converter.unguided`.
        correction: the share of what it gets wrong of a voice that is put right; see
            `timbrel.methods.correcting`.
        restore: the share of the words that a first attempt loses which a second one is told to make up for.
        adopt: the share of the first attempt's detail that the second takes over, beside its energy.
        contrast: how far what the second finds of the voice goes beyond, away from what it finds in the first
            attempt, as a share of what lies between the two. One attempt is enough where all three are 0.
        articulate: by what share words are farther from what is said around them than the content says; for
            these four see `timbrel.methods.rehearing`.
    """

    content: FeatureSpec
    mel: FeatureSpec = PRESETS["timbrel-16k"]
    width: int = 384
    blocks: int = 8
    kernel: int = 7
    reference_width: int = 256
    reference_blocks: int = 4
    heads: int = 4
    attend_after: tuple[int, ...] = (1, 3, 5)
    n_fft: int = 512
    crowd: int = 0
    crowd_tokens: int = 8
    guidance: float = 0.0
    beyond: float = 0.0
    correction: float = 0.0
    restore: float = 0.0
    adopt: float = 0.0
    contrast: float = 0.0
    articulate: float = 0.0

    def __post_init__(self) -> None:
        require_sizes(self, "width", "blocks", "kernel", "reference_width", "reference_blocks", "heads")
        require_sizes(self, "n_fft", "crowd_tokens")
        require_sizes(self, "crowd", "attend_after", least=0)
        if self.kernel % 2 == 0 or self.n_fft % 2 or self.reference_width % self.heads:
            raise ConfigError(
                "kernel must be odd, n_fft even, and reference_width divide by heads: they are "
                f"{self.kernel}, {self.n_fft}, {self.reference_width} and {self.heads}."
            )
        for name in ("guidance", "beyond", "correction"):
            if not -_FARTHEST <= getattr(self, name) <= _FARTHEST:
                raise ConfigError(
                    f"{name} must be -{_FARTHEST:g} to {_FARTHEST:g}: it is {getattr(self, name)}."
                )
        for name in ("guidance", "beyond"):
            if getattr(self, name) > 0 and self.crowd <= 0:
                raise ConfigError(f"{name} needs a crowd to keep away from: crowd must be above 0.")
        for name in ("restore", "adopt", "contrast", "articulate"):
            if not 0 <= getattr(self, name) <= _FARTHEST:
                raise ConfigError(f"{name} must be 0 to {_FARTHEST:g}: it is {getattr(self, name)}.")

    @property
    def attempts(self) -> int:
        """How often it says a thing until it is said."""
        return 2 if self.restore or self.adopt or self.contrast else 1


@dataclass(frozen=True, slots=True)
class Prosody:
    """How it is said, frame by frame at the content's rate.

    Fields:
        f0: fundamental frequency in Hz, (B, T), positive also where there is no voice.
        voicing: probability of voice, (B, T).
        energy: natural logarithm of the sum of a mel frame's amplitudes, (B, T, 2), for the two mel
            frames of a content frame.
    """

    f0: Tensor
    voicing: Tensor
    energy: Tensor


class ReferenceEncoder(nn.Module):
    """The reference's frames, content beside mel, to `VoiceTokens`."""

    def __init__(self, config: ConverterConfig) -> None:
        super().__init__()
        width = config.reference_width
        self.embed = nn.Linear(config.content.dim + 2 * config.mel.dim, width)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(width, config.kernel) for _ in range(config.reference_blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, config.heads)
        self.summarise = nn.Linear(2 * width * config.heads, width)

    def forward(self, content: Tensor, mel: Tensor, mask: Tensor) -> VoiceTokens:
        """Content (B, R, C), mel (B, R, 160) of the same frames, mask (B, R) true where there is speech."""
        frames = self.embed(torch.cat([content, (mel + 5.0) / 2.0], dim=-1))
        for block in self.blocks:
            frames = block(frames * mask.unsqueeze(-1))
        tokens = self.norm(frames)
        scores = self.score(tokens).masked_fill(~mask.unsqueeze(-1), -1e4)
        weights = torch.softmax(scores.float(), dim=1).to(tokens.dtype)
        mean = torch.einsum("brh,brw->bhw", weights, tokens)
        square = torch.einsum("brh,brw->bhw", weights, tokens.square())
        deviation = (square - mean.square()).clamp_min(1e-4).sqrt()
        return VoiceTokens(tokens, mask, self.summarise(torch.cat([mean, deviation], dim=-1).flatten(1)))


class ReferenceAttention(nn.Module):
    """A look from the trunk's frames (B, T, D) at the reference's tokens; added to the frames.

    Where there is a first attempt at the voice, what is found there is kept away from by a share, `contrast`.
    """

    def __init__(self, width: int, token_width: int, heads: int, contrast: float = 0.0) -> None:
        super().__init__()
        self.heads, self.contrast = heads, contrast
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, token_width)
        self.key_value = nn.Linear(token_width, 2 * token_width)
        self.out = nn.Linear(token_width, width)

    def forward(self, frames: Tensor, voice: VoiceTokens) -> Tensor:
        query = self._split(self.query(self.norm(frames)))
        found = self._find(query, voice)
        if voice.attempt is not None:
            found = found + self.contrast * (found - self._find(query, voice.attempt))
        return frames + torch.as_tensor(self.out(found))

    def _find(self, query: Tensor, voice: VoiceTokens) -> Tensor:
        """What queries (B, heads, T, W / heads) find there, (B, T, W)."""
        key, value = (self._split(part) for part in self.key_value(voice.tokens).chunk(2, dim=-1))
        mask = voice.mask[:, None, None]
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return found.transpose(1, 2).flatten(2)

    def _split(self, frames: Tensor) -> Tensor:
        split: Tensor = frames.unflatten(-1, (self.heads, -1))
        return split.transpose(1, 2)


class Converter(nn.Module):
    """Content (B, T, C), `Prosody` and `VoiceTokens` -> waveform (B, 128 * (2 T - 1)) at 16 kHz."""

    family = "converter"
    Config = ConverterConfig
    #: Beginnings of the names of tensors that are no weights but what is kept of people.
    records = ("crowd.",)

    def __init__(self, config: ConverterConfig) -> None:
        super().__init__()
        self.config = config
        self.spec_in = config.content
        self.synthesis = SourceFilter(config.mel.sample_rate, config.n_fft, config.mel.hop)
        self.reference = ReferenceEncoder(config)
        self.embed = nn.Linear(config.content.dim + 4, config.width)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(config.width, config.kernel, condition_dim=config.reference_width)
            for _ in range(config.blocks)
        )
        self.attention = nn.ModuleDict(
            {
                str(index): ReferenceAttention(
                    config.width, config.reference_width, config.heads, config.contrast
                )
                for index in config.attend_after
            }
        )
        people, each = config.crowd, config.crowd_tokens
        self.crowd = Crowd(people, each, config.reference_width) if people else None
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, 2 * 3 * self.synthesis.bins)
        with torch.no_grad():  # quiet minimum-phase pulses and quieter noise are the point to start from
            self.head.weight.mul_(0.1)
            bias = self.head.bias.view(2, 3, -1)
            bias[:, 0], bias[:, 1], bias[:, 2] = -4.0, 0.0, -6.0

    def forward(
        self,
        content: Tensor,
        prosody: Prosody,
        voice: VoiceTokens,
        pulses: Tensor,
        noise: Tensor,
        common: VoiceTokens | None = None,
        correction: Tensor | None = None,
        guidance: float = 0.0,
    ) -> Tensor:
        """Pulses and noise are the two sources, (B, 128 * (2 T - 1)), see `source_filter`.

        With `common`, the crowd's voice at the pitch (`Crowd.at`), `guidance` applies. `correction`, nats
        (B, 2 T, F), is added to the log-amplitudes of both filters.
        """
        filters = self.filters(content, prosody, voice).float()
        if common is not None and guidance > 0:
            filters = self.guided(filters, content, prosody, common, guidance)
        return self.render(filters, pulses, noise, correction)

    def render(
        self, filters: Tensor, pulses: Tensor, noise: Tensor, correction: Tensor | None = None
    ) -> Tensor:
        """`filters` (B, 2 T, 3, F) on the two sources; see `forward`."""
        harmonic, phase, breath = filters.unbind(dim=2)
        if correction is not None:
            harmonic, breath = harmonic + correction, breath + correction
        return torch.as_tensor(self.synthesis(pulses, noise, harmonic, phase, breath))

    def guided(
        self, wanted: Tensor, content: Tensor, prosody: Prosody, common: VoiceTokens, guidance: float
    ) -> Tensor:
        """Filters (B, 2 T, 3, F) farther than `wanted`, by that share, from those for what voices have in
        common; the phase stays. No gradient flows through the latter."""
        with torch.no_grad():
            shared = self.filters(content, prosody, common).float()
        apart = wanted - shared
        apart[:, :, 1] = 0.0
        return wanted + guidance * apart

    def in_common(self, log_f0: Tensor) -> VoiceTokens | None:
        """The crowd's voice at each mean ln F0 (B,), 0 where there is no pitch; None if that is so of any, or
        nobody is there."""
        if self.crowd is None or not bool((log_f0 > 0).all()):
            return None
        return self.crowd.at(log_f0)

    def unguided(self, said: Tensor, content: Tensor, prosody: Prosody, common: VoiceTokens | None) -> Tensor:
        """Filters (B, 2 T, 3, F) of its own without the guidance it has learned, `beyond`: what it takes the
        voice to be. `said` itself if there is none, or nobody to have gone away from."""
        beyond = self.config.beyond
        if common is None or beyond <= 0:
            return said
        # Guided by b, what was apart by a is apart by (1 + b) a.
        return self.guided(said, content, prosody, common, -beyond / (1 + beyond))

    def filters(self, content: Tensor, prosody: Prosody, voice: VoiceTokens) -> Tensor:
        """Log-amplitude of the harmonic filter, its phase deviation, and log-amplitude of the noise filter,
        (B, 2 T, 3, F)."""
        pitch = torch.log2(prosody.f0 / 150.0).unsqueeze(-1)
        voicing = prosody.voicing.unsqueeze(-1)
        frames = self.embed(torch.cat([content, pitch * voicing, voicing, prosody.energy / 2.0], dim=-1))
        for index, block in enumerate(self.blocks):
            frames = block(frames, voice.summary)
            if str(index) in self.attention:
                frames = self.attention[str(index)](frames, voice)
        heads = self.head(self.norm(frames))
        return torch.as_tensor(heads.unflatten(-1, (2, 3, -1)).flatten(1, 2))

    @property
    def context(self) -> int:
        """Content frames on either side that can change a frame's samples; two for the inverse STFT."""
        return 2 + self.config.blocks * (self.config.kernel // 2)


def mel_pairs(mel: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """The two mel frames of each content frame, side by side, and their energies.

    Log-mel (B, >= 2 T, D) -> pairs (B, T, 2 D), energy (B, T, 2) as in `Prosody`.
    """
    mel = mel[:, : 2 * frames]
    energy = torch.logsumexp(mel, dim=-1).unflatten(1, (frames, 2))
    return mel.unflatten(1, (frames, 2)).flatten(2), energy
