"""One source said in one voice by the bundled kind of model, window by window; see `methods.attending`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from timbrel.analysis import Analysis
from timbrel.audio.mel import MelSpectrogram
from timbrel.audio.windows import Window
from timbrel.level import REACH, fitted
from timbrel.methods.blending import frames_of_each, sum_weighted
from timbrel.methods.correcting import Correction
from timbrel.methods.melody import in_voice
from timbrel.methods.rehearing import articulated, reconsidered, speech
from timbrel.models.converter import Converter, Prosody, mel_pairs
from timbrel.models.phonetic import PhoneticEncoder
from timbrel.models.source_filter import PitchCurve, noise
from timbrel.models.speaker import ConvSpeakerEncoder
from timbrel.models.voice_tokens import VoiceTokens
from timbrel.voice import Voice

#: Zeros after the end of a recording, so that its last samples have frames on both sides.
TAIL = 512


@dataclass(frozen=True, slots=True)
class Networks:
    """The parts of the pipeline, ready for use on one device."""

    content: PhoneticEncoder
    speaker: ConvSpeakerEncoder
    converter: Converter
    mel: MelSpectrogram
    device: torch.device


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of a source before its first window.

    Fields:
        mean: of the content frames of its speech, (C,).
        samples: (hop * T,) at the standard level: all of it with the silence after it, or where it is long
            its first speech.
        first: the frame at which they begin.
        content: all of its content frames (T, C), where they are few enough to be heard at once.
    """

    mean: Tensor
    samples: Tensor
    first: int
    content: Tensor | None


@dataclass(frozen=True, slots=True)
class _Piece:
    """T frames of the source, a batch of one.

    Fields:
        first: the frame at which it begins.
        content: of the source.
        distinct: what is added to it so that it is articulated.
        pulses, noise: the two sources of sound, (1, hop * T - hop / 2).
        correction: nats (1, 2 T, F), if there is any.
    """

    first: int
    content: Tensor
    distinct: Tensor
    prosody: Prosody
    pulses: Tensor
    noise: Tensor
    correction: Tensor | None

    @property
    def frames(self) -> range:
        """Those of the source that it is."""
        return range(self.first, self.first + self.content.shape[1])

    def cut(self, frames: range, hop: int) -> _Piece:
        """Some of its frames."""
        one, stop = frames.start - self.first, frames.stop - self.first
        rows, sound = slice(one, stop), slice(one * hop, stop * hop - hop // 2)
        said = self.prosody
        return _Piece(
            frames.start,
            self.content[:, rows],
            self.distinct[:, rows],
            Prosody(said.f0[:, rows], said.voicing[:, rows], said.energy[:, rows]),
            self.pulses[:, sound],
            self.noise[:, sound],
            None if self.correction is None else self.correction[:, 2 * one : 2 * stop],
        )


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A piece that was said once, and what is heard in that.

    Fields:
        content, mel, energy: (1, T, C), (1, T, 2 D) and (1, T, 2).
    """

    piece: _Piece
    content: Tensor
    mel: Tensor
    energy: Tensor


class Narration:
    """One source in one voice; see `methods.Speak`."""

    def __init__(
        self,
        networks: Networks,
        analysis: Analysis,
        voice: Voice,
        seed: int,
        source: Source | None,
        residual: str,
    ) -> None:
        """A correction needs `source`, and `residual`, the name of what it needs of the voice's frames."""
        self._networks, self._analysis, self._seed = networks, analysis, seed
        self._hop = networks.content.spec_out.hop
        self._rate = networks.mel.spec.sample_rate
        frames = len(analysis.log_f0) + TAIL // self._hop
        self._log_f0 = torch.from_numpy(in_voice(analysis.log_f0_from(0, frames), analysis, voice))
        self._curve = PitchCurve.of(self._log_f0, self._rate, self._hop)
        self._tokens = self._hear(voice)
        self._guidance = networks.converter.config.guidance + voice.beyond
        self._common = self._in_common(voice.log_f0_mean or analysis.log_f0_mean)
        self._corrections = [] if source is None else self._correct(voice, source.mean, residual)
        whole = None if source is None else source.content
        self._content = None if whole is None else self._on_device(whole)
        self._attempt: _Attempt | None = None
        if source is not None and networks.converter.config.contrast > 0:
            self._attempt = self._attempt_at(self._piece(source.samples, source.first))
            self._tokens = replace(self._tokens, attempt=self._voice_of(self._attempt))

    def __call__(self, window: Window, samples: Tensor) -> Tensor:
        ends = window.context_stop >= self._analysis.samples
        heard = functional.pad(samples, (0, TAIL)) if ends else samples
        whole, first = whole_frames(heard, self._hop), window.context_start // self._hop
        piece = self._piece(whole * self._analysis.gain, first)
        # What the level of the inner part depends on.
        inner = range(window.start // self._hop, -(-window.stop // self._hop))
        made = self._say(piece, _around(inner, REACH + 1, piece))
        return fitted(made, samples, self._analysis.gain, self._hop)[window.inner]

    def _say(self, piece: _Piece, wanted: range) -> Tensor:
        """A piece of T frames -> converted samples (hop * T - hop / 2,), of which those of the wanted frames
        are as they should be, and those far from them are zeros.

        Half a hop is missing because the synthesiser ends at the centre of its last frame.
        """
        content, converter = self._networks.content, self._networks.converter
        told = _around(wanted, converter.context, piece)
        second = piece.cut(told, self._hop)
        words, prosody = second.content, second.prosody
        if converter.config.attempts > 1:
            heard = _around(told, content.context, piece)
            attempt = self._attempt_at(piece.cut(_around(heard, converter.context, piece), self._hop))
            rows = slice(told.start - attempt.piece.first, told.stop - attempt.piece.first)
            words = reconsidered(words, attempt.content[:, rows], content.config.width, converter.config)
            prosody = replace(prosody, energy=attempt.energy[:, rows])
        made = converter(
            words + second.distinct,
            prosody,
            self._tokens,
            pulses=second.pulses,
            noise=second.noise,
            common=self._common,
            correction=second.correction,
            guidance=self._guidance,
        )
        before, after = (self._hop * n for n in (told.start - piece.first, piece.frames.stop - told.stop))
        return functional.pad(made[0].cpu(), (before, after))

    def _piece(self, samples: Tensor, first: int) -> _Piece:
        """Samples (hop * T,) at the standard level, from frame `first` on."""
        networks, frames = self._networks, len(samples) // self._hop
        length = len(samples) - networks.mel.spec.hop
        heard = self._on_device(samples)
        if self._content is None:
            content = networks.content(heard[..., None])
        else:
            content = self._content[:, first : first + frames]
        _, energy = mel_pairs(networks.mel(heard), frames)
        prosody = Prosody(
            self._on_device(torch.exp(self._log_f0[first : first + frames])),
            self._on_device(torch.from_numpy(self._analysis.voicing_from(first, frames))),
            energy,
        )
        start = first * self._hop
        pulses = self._curve.pulses(first, first + frames, self._rate)[:length]
        breath = noise(start, start + length, self._seed)
        shares = [correction(content) * weight for correction, weight in self._corrections]
        words, share = networks.content.config.width, networks.converter.config.articulate
        return _Piece(
            first,
            content,
            articulated(content, words, share) - content,
            prosody,
            self._on_device(pulses),
            self._on_device(breath),
            torch.stack(shares).sum(dim=0) if shares else None,
        )

    def _attempt_at(self, piece: _Piece) -> _Attempt:
        """Without guidance, which takes as long again; one that was made already is not made once more."""
        if self._attempt is not None and self._attempt.piece.frames == piece.frames:
            return self._attempt
        networks, frames = self._networks, len(piece.frames)
        made = networks.converter(
            piece.content + piece.distinct,
            piece.prosody,
            replace(self._tokens, attempt=None),
            pulses=piece.pulses,
            noise=piece.noise,
            correction=piece.correction,
        )
        whole = functional.pad(made, (0, self._hop * frames - made.shape[1]))
        pairs, energy = mel_pairs(networks.mel(whole), frames)
        return _Attempt(piece, networks.content(whole[..., None]), pairs, energy)

    def _voice_of(self, attempt: _Attempt) -> VoiceTokens:
        """The voice as an attempt at it has it, where the source speaks."""
        where = speech(attempt.piece.prosody.energy)
        tokens: VoiceTokens = self._networks.converter.reference(attempt.content, attempt.mel, where)
        return tokens

    def _hear(self, voice: Voice) -> VoiceTokens:
        each = frames_of_each(voice)
        heard = [self._refer(frames) for frames, _ in each]
        return heard[0] if len(heard) == 1 else _union(heard, [weight for _, weight in each])

    def _in_common(self, log_f0: float) -> VoiceTokens | None:
        """What the converter is to keep away from at a mean ln F0; nothing where there is no pitch."""
        if self._guidance <= 0:
            return None
        return self._networks.converter.in_common(torch.tensor([log_f0], device=self._networks.device))

    def _correct(self, voice: Voice, source_mean: Tensor, residual: str) -> list[tuple[Correction, float]]:
        """Of each voice in a blend, with its weight; none where the voice has no residual."""
        if residual not in voice.frames:
            return []
        networks, device = self._networks, self._networks.device
        mean = source_mean.to(device)
        config, bins = networks.converter.config, networks.converter.synthesis.bins
        corrections = []
        for frames, weight in frames_of_each(voice):
            speech = frames["speech"]
            content, missing = (frames[kind][speech].float().to(device) for kind in ("content", residual))
            made = Correction(content, missing, mean, config.mel, bins, config.correction)
            corrections.append((made, weight))
        return corrections

    def _refer(self, frames: dict[str, Tensor]) -> VoiceTokens:
        """Tokens of the reference frames of one voice."""
        content, mel, speech = (self._on_device(frames[kind]) for kind in ("content", "mel", "speech"))
        tokens: VoiceTokens = self._networks.converter.reference(content.float(), mel.float(), speech)
        return tokens

    def _on_device(self, tensor: Tensor) -> Tensor:
        """A batch of one."""
        return tensor[None].to(self._networks.device)


def _around(frames: range, reach: int, piece: _Piece) -> range:
    """Frames of the source and those of the piece within `reach` of them."""
    return range(max(frames.start - reach, piece.frames.start), min(frames.stop + reach, piece.frames.stop))


def whole_frames(samples: Tensor, hop: int) -> Tensor:
    """Samples (L,) without what is less than a frame at the end."""
    return samples[: len(samples) // hop * hop]


def _union(voices: Sequence[VoiceTokens], weights: Sequence[float]) -> VoiceTokens:
    """All tokens of several voices, of which a voice's get as much attention as its weight is of all.

    A token's share in the attention is multiplied by its voice's weight over the number of that voice's
    tokens, so that a long reference counts no more than a short one.

    Of two ways measured on twelve development pairs, by earlier weights, from the source's voice to the
    target's in eight steps, this one was the more even: similarity to the target rose from 0.71 to 0.93,
    with no step of a pair down by more than 0.008; adding up the weighted results of attention to each
    voice, 0.012.
    """
    biases = [
        torch.where(voice.mask, math.log(weight / int(voice.mask.sum())), -torch.inf)
        for voice, weight in zip(voices, weights, strict=True)
    ]
    return VoiceTokens(
        tokens=torch.cat([voice.tokens for voice in voices], dim=1),
        mask=torch.cat(biases, dim=1),
        summary=sum_weighted([voice.summary for voice in voices], weights),
    )
