"""The bundled kind of model: a decoder that attends to the reference's frames (`models/converter.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from timbrel.analysis import Analysis, analyse, first_speech, first_speech_frame
from timbrel.audio.mel import MelSpectrogram
from timbrel.checkpoint import Checkpoint, fingerprint
from timbrel.level import REACH
from timbrel.methods import REFERENCE_SECONDS, Heard, Speak, built, part
from timbrel.methods.blending import blend_known, pool_frames
from timbrel.methods.correcting import Reference, residuals
from timbrel.methods.joints import joints, require
from timbrel.methods.narrating import TAIL, Narration, Networks, Source, whole_frames
from timbrel.methods.rehearing import reach, speech
from timbrel.models.converter import Converter, mel_pairs
from timbrel.models.phonetic import PhoneticEncoder
from timbrel.models.speaker import ConvSpeakerEncoder
from timbrel.voice import Voice

#: Of a source: how long it is heard for what all of its content frames share.
_HEARD_SECONDS = 16.0
#: What a voice's frames are called that tell what a converter gets wrong of it; its fingerprint follows.
_RESIDUAL = "residual-"


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
        # part in it where the converter goes beyond voices by itself. How it is to speak may change: a voice
        # keeps what was found when it was enrolled.
        weights = converter.state_dict()
        if (beyond := converter.config.beyond) <= 0:
            weights = {name: one for name, one in weights.items() if not name.startswith("crowd.")}
        self._residual = f"{_RESIDUAL}{fingerprint(weights)}" + (f"-{beyond:g}" if beyond > 0 else "")
        # One frame more for the level's gain, which runs straight from one frame to the next.
        heard = converter.config.attempts * (content.context + converter.context) + reach(converter.config)
        self.context = heard + REACH + 1

    @classmethod
    def of(cls, parts: dict[str, Checkpoint], device: torch.device, allow_lossy: bool) -> AttendingMethod:
        """From the checkpoints of a pipeline; no joint has a bridge, so there is no loss to allow."""
        converter = built(part(parts, "converter"), Converter, device)
        mel = MelSpectrogram(converter.config.mel).to(device)
        content = built(part(parts, "content"), PhoneticEncoder, device)
        speaker = built(part(parts, "speaker"), ConvSpeakerEncoder, device)
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

    def lacks(self, voice: Voice) -> bool:
        """See `methods.Method`; a voice of too little speech has no residual at all and lacks none."""
        if self._networks.converter.config.correction <= 0 or self._residual in voice.frames:
            return False
        return any(kind.startswith(_RESIDUAL) for kind in voice.frames)

    def prepare(self, analysis: Analysis, voice: Voice, seed: int, source: Iterable[np.ndarray]) -> Speak:
        """See `methods.Method`; `Voice.beyond` adds to the guidance that the converter has of its own."""
        config = self._networks.converter.config
        voice.require_frames(content=(config.content.dim,), mel=(2 * config.mel.dim,), speech=())
        heard = self._heard(analysis, source)
        return Narration(self._networks, analysis, voice, seed, heard, self._residual)

    def _heard(self, analysis: Analysis, source: Iterable[np.ndarray]) -> Source | None:
        """What is to be known of a source beforehand, if the converter goes by it and there is any voice."""
        config = self._networks.converter.config
        if max(config.correction, config.contrast) <= 0 or analysis.log_f0_mean <= 0:
            return None
        if analysis.samples > _HEARD_SECONDS * self.input_rate:
            speech = first_speech(analysis, source, self.input_rate, _HEARD_SECONDS)
            samples, first = torch.from_numpy(speech) * analysis.gain, first_speech_frame(analysis)
        else:
            samples, first = torch.from_numpy(np.concatenate(list(source))) * analysis.gain, 0
        frames = self.frames(samples, more=1)
        if len(samples) < analysis.samples:
            return Source(_mean_of_speech(frames), whole_frames(samples, self.hop), first, None)
        samples = whole_frames(functional.pad(samples, (0, TAIL)), self.hop)
        return Source(_mean_of_speech(frames), samples, first, frames["content"])

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
        networks, whole = self._networks, (len(samples) + TAIL) // self.hop
        heard = functional.pad(samples, (0, TAIL))[None, : whole * self.hop].to(networks.device)
        count = 1 + len(samples) // self.hop + more
        content = networks.content(heard[..., None])[:, :count]
        mel = networks.mel(heard)
        pairs, energy = mel_pairs(mel, count)
        return {"content": content[0].cpu(), "mel": pairs[0].cpu(), "speech": speech(energy)[0].cpu()}


def _mean_of_speech(frames: dict[str, Tensor]) -> Tensor:
    """Of content (R, C), (C,)."""
    return frames["content"][frames["speech"]].mean(dim=0)


def _kept(frames: dict[str, Tensor]) -> dict[str, Tensor]:
    """In half precision: a voice is half as large, and what is said in it differs by a noise 74 dB lower."""
    return {kind: one.half() if one.is_floating_point() else one for kind, one in frames.items()}
