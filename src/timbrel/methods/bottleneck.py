"""AutoVC with its speaker encoder and a vocoder.

AutoVC's recurrent layers were trained on crops, so a recording is converted in windows of a crop's
length that overlap by a half and fade into each other. The windows lie at the same frames whatever
piece of the recording is at hand, so pieces join without a seam.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from timbrel.analysis import Analysis, opening
from timbrel.audio.mel import MelSpectrogram
from timbrel.audio.windows import Window
from timbrel.checkpoint import Checkpoint
from timbrel.errors import ContractError
from timbrel.level import fitted
from timbrel.methods import REFERENCE_SECONDS, Heard, Speak, built, part
from timbrel.methods.blending import blend_known
from timbrel.methods.joints import joints, require
from timbrel.methods.listening import Listener
from timbrel.methods.vocoding import MelVocoder, vocoder_of
from timbrel.models import Vocoder
from timbrel.models.autovc import AutoVC
from timbrel.voice import Voice

#: Of the source, from its start: what its own speaker is known by.
SOURCE_SECONDS = 60.0
#: What a frame of the vocoder may look at to either side.
_VOCODER_SECONDS = 2.0


class BottleneckMethod:
    """AutoVC, the speaker encoder whose vectors it was trained on, and a vocoder; see `methods.Method`."""

    reference_seconds = REFERENCE_SECONDS
    moves_pitch = False
    tells_voices_apart = False
    goes_beyond = False

    def __init__(
        self, autovc: AutoVC, listener: Listener, vocoder: Vocoder, device: torch.device, allow_lossy: bool
    ) -> None:
        """Raises ContractError if the vectors are another encoder's, or mels do not fit."""
        self.joints = joints({"converter": autovc, "speaker": listener.encoder, "vocoder": vocoder})
        require(self.joints, allow_lossy)
        self.fingerprint = self.speaker_fingerprint = listener.spec.encoder
        self._autovc, self._listener, self._device = autovc, listener, device
        spec = autovc.spec_out
        self._vocode = MelVocoder(vocoder, self.joints[-1], allow_lossy)
        self._front = MelSpectrogram(spec).to(device)
        self.input_rate = self.sample_rate = spec.sample_rate
        self.hop = spec.hop
        self.context = autovc.config.window + math.ceil(_VOCODER_SECONDS * spec.frame_rate)

    @classmethod
    def of(cls, parts: dict[str, Checkpoint], device: torch.device, allow_lossy: bool) -> BottleneckMethod:
        """From the checkpoints of a pipeline, or from one of AutoVC and what lies in its directory."""
        autovc = built(part(parts, "converter"), AutoVC, device)
        if "speaker" not in parts:
            raise ContractError(
                f"{parts['converter'].path} has no speaker encoder beside it: AutoVC wants the vectors of "
                f"{autovc.config.embedding.encoder}; put that encoder's checkpoint into the folder as "
                '"speaker".'
            )
        listener = Listener.of(parts["speaker"], device)
        return cls(autovc, listener, vocoder_of(parts, autovc.spec_out, device), device, allow_lossy)

    def hear(self, references: Sequence[Tensor]) -> Heard:
        """See `methods.Method`; several references are averaged."""
        voice = self._listener.mean([self.embed(samples) for samples in references])
        return Heard({self.speaker_fingerprint: voice}, {}, 0.0, 0.0)

    def embed(self, samples: Tensor) -> Tensor:
        """See `methods.Method`."""
        return self._listener.embed(samples, self.input_rate)

    def blend(self, voices: Sequence[Voice], weights: Sequence[float]) -> Heard:
        """See `methods.Method`; a voice is its speaker vector."""
        return blend_known(voices, weights)

    def lacks(self, voice: Voice) -> bool:
        """See `methods.Method`; all that is kept belongs to the fingerprint."""
        return False

    def prepare(self, analysis: Analysis, voice: Voice, seed: int, source: Iterable[np.ndarray]) -> Speak:
        """See `methods.Method`; nothing is drawn at random, and pitch is the network's affair."""
        own = self._on_device(
            self.embed(torch.from_numpy(opening(source, round(SOURCE_SECONDS * self.input_rate))))
        )
        target = self._on_device(voice.embeddings[self.speaker_fingerprint])

        def speak(window: Window, samples: Tensor) -> Tensor:
            mel = self._front(self._on_device(samples * analysis.gain))
            mel = self._autovc.convert(mel, own, target, window.context_start // self.hop)
            return fitted(self._vocode(mel), samples, analysis.gain, self.hop)[window.inner]

        return speak

    def _on_device(self, tensor: Tensor) -> Tensor:
        """A batch of one."""
        return tensor[None].to(self._device)
