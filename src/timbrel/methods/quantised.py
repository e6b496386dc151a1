"""VQVC with a vocoder: the mission's baseline, over mels or over learned features.

Instance normalisation looks at all the frames it is given, so a window of VQVC is never quite the whole;
windows of equal length with two seconds of context on either side keep the difference below hearing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from timbrel import checkpoint as checkpoints
from timbrel.analysis import Analysis
from timbrel.audio.windows import Window
from timbrel.checkpoint import Checkpoint
from timbrel.errors import ContractError
from timbrel.level import fitted
from timbrel.methods import REFERENCE_SECONDS, Heard, Speak, built, part
from timbrel.methods.blending import blend_known, sum_weighted
from timbrel.methods.content import content_encoder
from timbrel.methods.joints import joints, require
from timbrel.methods.vocoding import MelVocoder, vocoder_of
from timbrel.models import ContentEncoder, Vocoder
from timbrel.models.content import content_frames, context_of
from timbrel.models.embedding import listen
from timbrel.models.vqvc import VQVC
from timbrel.voice import Voice

_CONTEXT_SECONDS = 2.0


class QuantisedMethod:
    """VQVC, a content encoder if it reads learned features, and a vocoder; see `methods.Method`."""

    reference_seconds = REFERENCE_SECONDS
    moves_pitch = False
    tells_voices_apart = False
    goes_beyond = False

    def __init__(
        self,
        vqvc: VQVC,
        content: ContentEncoder | None,
        vocoder: Vocoder,
        device: torch.device,
        allow_lossy: bool,
    ) -> None:
        """Raises ContractError if features or mels do not fit, or only with loss."""
        self.fingerprint = self.speaker_fingerprint = checkpoints.fingerprint(vqvc.state_dict())
        self._vqvc, self._content, self._device = vqvc, content, device
        self._heard = content.spec_in if content is not None else vqvc.spec_in
        self.joints = joints({"content": content, "converter": vqvc, "vocoder": vocoder})
        require(self.joints, allow_lossy)
        self._vocode = MelVocoder(vocoder, self.joints[-1], allow_lossy)
        self.input_rate, self.sample_rate = self._heard.sample_rate, vqvc.spec_out.sample_rate
        if self.input_rate != self.sample_rate:
            raise ContractError(
                f"sample_rate of the features is {self.input_rate}, of the mel {self.sample_rate}: "
                "train VQVC on features of audio at the mel's rate."
            )
        self.hop = vqvc.spec_out.hop
        seconds = _CONTEXT_SECONDS
        if content is not None:
            seconds = max(seconds, context_of(content) / content.spec_out.frame_rate)
        self.context = math.ceil(seconds * vqvc.spec_out.frame_rate)

    @classmethod
    def of(cls, parts: dict[str, Checkpoint], device: torch.device, allow_lossy: bool) -> QuantisedMethod:
        """From the checkpoints of a pipeline; without a vocoder Griffin-Lim stands in."""
        vqvc = built(part(parts, "converter"), VQVC, device)
        learned = vqvc.spec_in.kind == "learned"
        content = content_encoder(part(parts, "content"), device) if learned else None
        return cls(vqvc, content, vocoder_of(parts, vqvc.spec_out, device), device, allow_lossy)

    def hear(self, references: Sequence[Tensor]) -> Heard:
        """See `methods.Method`; several references are averaged."""
        voice = torch.stack([self._speaker_vector(samples) for samples in references]).mean(dim=0)
        unit = functional.normalize(voice, dim=-1)
        return Heard({self.speaker_fingerprint: unit}, {"speaker": voice}, 0.0, 0.0)

    def embed(self, samples: Tensor) -> Tensor:
        """See `methods.Method`; VQVC's own speaker vector, scaled to unit length."""
        return functional.normalize(self._speaker_vector(samples), dim=-1)

    def blend(self, voices: Sequence[Voice], weights: Sequence[float]) -> Heard:
        """See `methods.Method`; a voice is its speaker vector."""
        vector = sum_weighted([voice.frames["speaker"] for voice in voices], weights)
        return replace(blend_known(voices, weights), frames={"speaker": vector})

    def lacks(self, voice: Voice) -> bool:
        """See `methods.Method`; all that is kept belongs to the fingerprint."""
        return False

    def prepare(self, analysis: Analysis, voice: Voice, seed: int, source: Iterable[np.ndarray]) -> Speak:
        """See `methods.Method`; nothing is drawn at random, and pitch is the network's affair."""
        voice.require_frames(speaker=())
        vector = voice.frames["speaker"][None].to(self._device)

        def speak(window: Window, samples: Tensor) -> Tensor:
            features = self._features(samples, analysis.gain)
            code = self._vqvc.encode(features, 1 + len(samples) // self.hop)
            mel = self._vqvc.decode(code.content, vector, code.frames)
            return fitted(self._vocode(mel), samples, analysis.gain, self.hop)[window.inner]

        return speak

    def _speaker_vector(self, samples: Tensor) -> Tensor:
        vector: Tensor = self._vqvc.encode(self._features(samples)).speaker[0]
        return vector.cpu()

    def _features(self, samples: Tensor, gain: float | None = None) -> Tensor:
        """What VQVC hears of samples (L,), (1, T, D); `gain` brings their recording to the standard level."""
        if self._content is None:
            return listen(self._heard, samples[None].to(self._device), self.input_rate)
        frames = content_frames(self._content, samples, gain=gain, device=self._device)
        return frames[None].to(self._device)
