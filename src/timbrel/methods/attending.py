"""The bundled kind of model: a decoder that attends to the reference's frames (`models/converter.py`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel import registry
from timbrel.analysis import Analysis, analyse, first_speech
from timbrel.audio.mel import MelSpectrogram
from timbrel.audio.windows import Window
from timbrel.checkpoint import Checkpoint, fingerprint
from timbrel.errors import CheckpointError
from timbrel.level import REACH, follow_level, limit
from timbrel.methods import REFERENCE_SECONDS, Heard, Speak, part
from timbrel.methods.blending import blend_known, frames_of_each, pool_frames, sum_weighted
from timbrel.methods.correcting import Correction, Reference, residuals
from timbrel.methods.joints import joints, require
from timbrel.methods.melody import in_voice
from timbrel.methods.rehearing import reconsidered
from timbrel.models.converter import Converter, Prosody, mel_pairs
from timbrel.models.phonetic import PhoneticEncoder
from timbrel.models.source_filter import PitchCurve, noise
from timbrel.models.speaker import ConvSpeakerEncoder
from timbrel.models.voice_tokens import VoiceTokens
from timbrel.voice import Voice

#: Reference frames (62.5 a second) that count as speech: within this many nats of the loudest.
_SPEECH_RANGE = 6.0
#: Of a source: how long it is heard for what all of its content frames share.
_HEARD_SECONDS = 16.0
#: Zeros after the end of a recording, so that its last samples have frames on both sides.
_TAIL = 512

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Networks:
    """The parts of the pipeline, ready for use on one device."""

    content: PhoneticEncoder
    speaker: ConvSpeakerEncoder
    converter: Converter
    mel: MelSpectrogram
    device: torch.device


class AttendingMethod:
    """Content encoder, speaker encoder and attending converter; see `methods.Method`."""

    reference_seconds = REFERENCE_SECONDS
    moves_pitch = True
    tells_voices_apart = True

    def __init__(self, networks: Networks) -> None:
        """Raises ContractError if mels or content frames are not what the converter was trained on."""
        content, converter = networks.content, networks.converter
        self.fingerprint = content.spec_out.encoder
        self.speaker_fingerprint = networks.speaker.spec_out.encoder
        self.joints = joints({"content": content, "speaker": networks.speaker, "converter": converter})
        require(self.joints)
        self._networks = networks
        self.input_rate = self.sample_rate = networks.mel.spec.sample_rate
        self.hop = content.spec_out.hop
        self.goes_beyond = converter.crowd is not None and converter.crowd.is_peopled
        # Its residual is of no use to a converter with other weights, such as an adapted one. The crowd has a
        # part in it where the converter goes beyond voices by itself.
        weights = converter.state_dict()
        if (beyond := converter.config.beyond) <= 0:
            weights = {name: one for name, one in weights.items() if not name.startswith("crowd.")}
        self._residual = f"residual-{fingerprint(weights)}" + (f"-{beyond:g}" if beyond > 0 else "")
        # One frame more for the level's gain, which runs straight from one frame to the next.
        self.context = converter.config.attempts * (content.context + converter.context) + REACH + 1

    @classmethod
    def of(cls, parts: dict[str, Checkpoint], device: torch.device, allow_lossy: bool) -> AttendingMethod:
        """From the checkpoints of a pipeline; no joint has a bridge, so there is no loss to allow."""
        converter = _built(part(parts, "converter"), Converter, device)
        mel = MelSpectrogram(converter.config.mel).to(device)
        content = _built(part(parts, "content"), PhoneticEncoder, device)
        speaker = _built(part(parts, "speaker"), ConvSpeakerEncoder, device)
        return cls(Networks(content, speaker, converter, mel, device))

    def hear(self, references: Sequence[Tensor]) -> Heard:
        """See `methods.Method`."""
        analyses = [analyse([samples.numpy()]) for samples in references]
        frames = [self.frames(samples * a.gain) for samples, a in zip(references, analyses, strict=True)]
        pooled = {name: torch.cat([one[name] for one in frames]) for name in frames[0]}
        embedding = torch.stack([self.embed(samples) for samples in references]).mean(dim=0)
        voiced = [a for a in analyses if a.log_f0_mean > 0]
        return Heard(
            embeddings={self.speaker_fingerprint: functional.normalize(embedding, dim=-1)},
            frames=_kept(pooled | self._corrections(analyses, frames)),
            log_f0_mean=float(np.mean([a.log_f0_mean for a in voiced])) if voiced else 0.0,
            log_f0_std=float(np.mean([a.log_f0_std for a in voiced])) if voiced else 0.0,
        )

    def embed(self, samples: Tensor) -> Tensor:
        """See `methods.Method`."""
        networks = self._networks
        vector: Tensor = networks.speaker(networks.mel(samples[None].to(networks.device)))
        return vector[0].cpu()

    def blend(self, voices: Sequence[Voice], weights: Sequence[float]) -> Heard:
        """See `methods.Method`; the reference frames of all voices, each with its voice's weight."""
        return replace(blend_known(voices, weights), frames=pool_frames(voices, weights))

    def prepare(self, analysis: Analysis, voice: Voice, seed: int, source: Iterable[np.ndarray]) -> Speak:
        """See `methods.Method`; `Voice.beyond` adds to the guidance that the converter has of its own."""
        heard = self._heard(analysis, source)
        return _Narration(self._networks, analysis, voice, seed, heard, self._residual)

    def _heard(self, analysis: Analysis, source: Iterable[np.ndarray]) -> _Source | None:
        """What is to be known of a source beforehand, if the converter goes by it and there is any voice."""
        if self._networks.converter.config.correction <= 0 or analysis.log_f0_mean <= 0:
            return None
        if analysis.samples > _HEARD_SECONDS * self.input_rate:
            speech = first_speech(analysis, source, self.input_rate, _HEARD_SECONDS)
            frames = self.frames(torch.from_numpy(speech) * analysis.gain)
            return _Source(_mean_of_speech(frames), None)
        whole = torch.from_numpy(np.concatenate(list(source))) * analysis.gain
        frames = self.frames(whole, more=1)
        return _Source(_mean_of_speech(frames), frames["content"])

    def _corrections(
        self, analyses: Sequence[Analysis], frames: Sequence[dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """What the converter gets wrong of the references, where that is to be put right and can be told."""
        networks = self._networks
        if networks.converter.config.correction <= 0:
            return {}
        references = [Reference(a, one) for a, one in zip(analyses, frames, strict=True)]
        found = residuals(networks.converter, networks.mel, references)
        return {} if found is None else {self._residual: found}

    def frames(self, samples: Tensor, more: int = 0) -> dict[str, Tensor]:
        """Reference frames of a recording (L,) at the standard level, and `more` of the silence after it.

        Returns:
            content (R, C), mel (R, 2 D) and speech (R,), true where there is any; R is 1 + L // hop + more.
        """
        networks, whole = self._networks, (len(samples) + _TAIL) // self.hop
        heard = functional.pad(samples, (0, _TAIL))[None, : whole * self.hop].to(networks.device)
        count = 1 + len(samples) // self.hop + more
        content = networks.content(heard[..., None])[:, :count]
        mel = networks.mel(heard)
        pairs, energy = mel_pairs(mel, count)
        loudness = energy[0].mean(dim=-1)
        speech = loudness > loudness.max() - _SPEECH_RANGE
        return {"content": content[0].cpu(), "mel": pairs[0].cpu(), "speech": speech.cpu()}


@dataclass(frozen=True, slots=True)
class _Source:
    """What is known of a source before its first window.

    Fields:
        mean: of the content frames of its speech, (C,).
        content: all of its content frames (T, C), where they are few enough to be heard at once.
    """

    mean: Tensor
    content: Tensor | None


class _Narration:
    """One source in one voice; see `methods.Speak`."""

    def __init__(
        self,
        networks: Networks,
        analysis: Analysis,
        voice: Voice,
        seed: int,
        source: _Source | None,
        residual: str,
    ) -> None:
        """A correction needs `source`, and `residual`, the name of what it needs of the voice's frames."""
        self._networks, self._analysis, self._seed = networks, analysis, seed
        self._hop = networks.content.spec_out.hop
        self._rate = networks.mel.spec.sample_rate
        frames = len(analysis.log_f0) + _TAIL // self._hop
        self._log_f0 = torch.from_numpy(in_voice(analysis.log_f0_from(0, frames), analysis, voice))
        self._curve = PitchCurve.of(self._log_f0, self._rate, self._hop)
        self._tokens = self._hear(voice)
        self._guidance = networks.converter.config.guidance + voice.beyond
        self._common = self._in_common(voice.log_f0_mean or analysis.log_f0_mean)
        self._corrections = [] if source is None else self._correct(voice, source.mean, residual)
        whole = None if source is None else source.content
        self._content = None if whole is None else self._on_device(whole)

    def __call__(self, window: Window, samples: Tensor) -> Tensor:
        ends = window.context_stop >= self._analysis.samples
        heard = functional.pad(samples, (0, _TAIL)) if ends else samples
        first, frames = window.context_start // self._hop, len(heard) // self._hop
        made = self._say(heard[: frames * self._hop] * self._analysis.gain, first, frames)
        made = functional.pad(made, (0, max(0, len(samples) - len(made))))[: len(samples)]
        levelled = follow_level(made, samples * self._analysis.gain, self._hop)
        return limit(levelled[window.inner] / self._analysis.gain)

    def _say(self, samples: Tensor, first: int, frames: int) -> Tensor:
        """Samples (hop * frames,) at the standard level, from frame `first` on -> converted samples.

        They are half a hop fewer: the synthesiser ends at the centre of its last frame.
        """
        networks = self._networks
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
        attempt = partial(
            networks.converter,
            voice=self._tokens,
            pulses=self._on_device(pulses),
            noise=self._on_device(breath),
            correction=torch.stack(shares).sum(dim=0) if shares else None,
        )
        if networks.converter.config.attempts > 1:
            content, prosody = self._reconsidered(content, prosody, attempt(content, prosody))
        made: Tensor = attempt(content, prosody, common=self._common, guidance=self._guidance)
        return made[0].cpu()

    def _reconsidered(self, content: Tensor, prosody: Prosody, attempt: Tensor) -> tuple[Tensor, Prosody]:
        """What is to be said and how, once a first attempt (1, L) at it can be heard."""
        networks, frames = self._networks, content.shape[1]
        whole = functional.pad(attempt, (0, self._hop * frames - attempt.shape[1]))
        heard = networks.content(whole[..., None])
        _, energy = mel_pairs(networks.mel(whole), frames)
        told = reconsidered(content, heard, networks.content.config.width, networks.converter.config)
        return told, replace(prosody, energy=energy)

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


def _mean_of_speech(frames: dict[str, Tensor]) -> Tensor:
    """Of content (R, C), (C,)."""
    return frames["content"][frames["speech"]].mean(dim=0)


def _kept(frames: dict[str, Tensor]) -> dict[str, Tensor]:
    """In half precision: a voice is half as large, and what is said in it differs by a noise 74 dB lower."""
    return {kind: one.half() if one.is_floating_point() else one for kind, one in frames.items()}


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


def _built(checkpoint: Checkpoint, kind: type[N], device: torch.device) -> N:
    network = registry.build(checkpoint)
    if not isinstance(network, kind):
        raise CheckpointError(
            f'"{checkpoint.path}" holds a {checkpoint.family}, where the pipeline needs a {kind.__name__}.'
        )
    return network.to(device).requires_grad_(False)
