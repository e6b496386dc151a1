"""kNN-VC and LinearVC: frames of the source become frames of the target speaker, and a vocoder says them.

Both work on the frames of any content encoder. A voice is the frames of its references themselves, all of
them as one matching set, in half precision: an hour of WavLM's takes 370 MB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from timbrel import registry
from timbrel.analysis import Analysis, opening
from timbrel.audio.trim import sounding
from timbrel.audio.windows import Window
from timbrel.checkpoint import Checkpoint
from timbrel.errors import CheckpointError
from timbrel.level import REACH, fitted
from timbrel.methods import Heard, Speak, part
from timbrel.methods.blending import blend_known, frames_of_each, pool_frames, sum_weighted
from timbrel.methods.content import content_encoder
from timbrel.methods.joints import Joint, joints, require
from timbrel.methods.listening import Listener
from timbrel.methods.vocoding import vocoder_of
from timbrel.models import ContentEncoder, Vocoder
from timbrel.models.content import content_frames, context_of
from timbrel.models.knn import KNN
from timbrel.models.linear import Linear
from timbrel.voice import Voice

#: Of `Voice.frames`: the reference frames (R, D), float16.
MATCHING = "matching"
#: What a frame of a vocoder that does not say may depend on.
_VOCODER_SECONDS = 2.0

_Change = Callable[[Tensor], Tensor]


class MatchingMethod:
    """Content encoder, kNN or linear map, and vocoder; see `methods.Method`.

    Without a speaker encoder the mean of a recording's frames stands for its speaker in reports; its
    likenesses are all high, and only their order says something.
    """

    #: Matching is bounded in memory, and kNN-VC gains from minutes of reference.
    reference_seconds = 3600.0
    moves_pitch = tells_voices_apart = goes_beyond = False

    def __init__(
        self,
        converter: KNN | Linear,
        content: ContentEncoder,
        vocoder: Vocoder,
        device: torch.device,
        listener: Listener | None = None,
    ) -> None:
        """Raises ContractError if the frames are not what the vocoder reads."""
        self.joints = joints({"converter": converter, "content": content, "vocoder": vocoder})
        if listener is not None:
            heard = listener.encoder.spec_in
            self.joints += (Joint("recording", "speaker encoder", heard, heard),)
        require(self.joints)
        self.fingerprint = content.spec_out.encoder
        self.speaker_fingerprint = listener.spec.encoder if listener else self.fingerprint
        self._converter, self._content, self._vocoder = converter, content, vocoder
        self._listener, self._device = listener, device
        self.input_rate, self.sample_rate = content.spec_in.sample_rate, content.spec_out.sample_rate
        self.hop = content.spec_out.hop
        usual = math.ceil(_VOCODER_SECONDS * content.spec_out.frame_rate)
        # The level's gain runs straight from one frame to the next, hence one more.
        self._nearby = int(getattr(vocoder, "receptive_field", usual)) + REACH + 1
        self.context = context_of(content) + self._nearby

    @classmethod
    def of(cls, parts: dict[str, Checkpoint], device: torch.device, allow_lossy: bool) -> MatchingMethod:
        """From the checkpoints of a pipeline; a part "speaker" is for reports alone.

        Learned frames fit or they do not, so there is no loss to allow.
        """
        converter = registry.build(part(parts, "converter")).to(device)
        if not isinstance(converter, KNN | Linear):
            raise CheckpointError(f'"{parts["converter"].path}" holds neither kNN-VC nor LinearVC.')
        content = content_encoder(part(parts, "content"), device)
        part(parts, "vocoder")  # nothing can stand in for it: only a network makes sound of learned frames
        vocoder = vocoder_of(parts, content.spec_out, device)
        listener = Listener.of(parts["speaker"], device) if "speaker" in parts else None
        return cls(converter, content, vocoder, device, listener)

    def hear(self, references: Sequence[Tensor]) -> Heard:
        """See `methods.Method`; silence at the ends of a recording is left out."""
        heard = [self._frames(_sounding(samples, self.input_rate), torch.float16) for samples in references]
        matching = torch.cat(heard)
        embeddings = [self.embed(samples) for samples in references] if self._listener else [_mean(matching)]
        embedding = functional.normalize(torch.stack(embeddings).mean(dim=0), dim=0)
        return Heard({self.speaker_fingerprint: embedding}, {MATCHING: matching}, 0.0, 0.0)

    def embed(self, samples: Tensor) -> Tensor:
        """See `methods.Method`."""
        if self._listener is not None:
            return self._listener.embed(samples, self.input_rate)
        return _mean(self._frames(samples))

    def blend(self, voices: Sequence[Voice], weights: Sequence[float]) -> Heard:
        """See `methods.Method`; each voice is matched by itself, and the frames found are mixed."""
        return replace(blend_known(voices, weights), frames=pool_frames(voices, weights))

    def lacks(self, voice: Voice) -> bool:
        """See `methods.Method`; all that is kept belongs to the fingerprint."""
        return False

    def prepare(self, analysis: Analysis, voice: Voice, seed: int, source: Iterable[np.ndarray]) -> Speak:
        """See `methods.Method`; nothing is drawn at random, and pitch is the frames' affair."""
        voice.require_frames(**{MATCHING: (self._content.spec_out.dim,)})
        change = self._blended(voice, analysis, source)

        def speak(window: Window, samples: Tensor) -> Tensor:
            start, stop = self._spoken(window)
            heard = self._heard(samples * self._gain(analysis))[start:stop]
            made = self._vocoder(change(heard)[None])[0].cpu()
            own = samples[start * self.hop : stop * self.hop]
            first = window.start - window.context_start - start * self.hop
            whole = fitted(made, own, analysis.gain, self.hop)
            return whole[first : first + window.stop - window.start]

        return speak

    def _spoken(self, window: Window) -> tuple[int, int]:
        """Frames of the window, from its context's start, that the vocoder needs: not all that were heard."""
        start = (window.start - window.context_start) // self.hop - self._nearby
        stop = -(-(window.stop - window.context_start) // self.hop) + self._nearby
        return max(0, start), min(stop, -(-(window.context_stop - window.context_start) // self.hop))

    def _blended(self, voice: Voice, analysis: Analysis, source: Iterable[np.ndarray]) -> _Change:
        """What takes the source's frames (T, D) to the voice's."""
        own, each = self._own(analysis, source), frames_of_each(voice)
        changes = [self._change(frames[MATCHING].to(self._device), own) for frames, _ in each]
        shares = [share for _, share in each]
        if len(changes) == 1:
            return changes[0]
        return lambda frames: sum_weighted([change(frames) for change in changes], shares)

    def _change(self, matching: Tensor, own: Tensor) -> _Change:
        """What takes the source's frames (T, D), the first of which are `own`, to those of one voice."""
        converter = self._converter
        if isinstance(converter, KNN):
            return lambda frames: converter(frames, matching)
        mapping = converter.learn(own, matching)
        return lambda frames: converter(frames, mapping)

    def _own(self, analysis: Analysis, source: Iterable[np.ndarray]) -> Tensor:
        """The source's first frames (N, D), as many as LinearVC learns from; kNN-VC needs none."""
        if isinstance(self._converter, KNN):
            return torch.zeros(0, self._content.spec_out.dim)
        samples = torch.from_numpy(opening(source, self._converter.config.frames * self.hop))
        return self._frames(samples, torch.float16, self._gain(analysis)).to(self._device)

    def _gain(self, analysis: Analysis) -> float:
        return analysis.gain if getattr(self._content, "levelled", False) else 1.0

    def _heard(self, samples: Tensor) -> Tensor:
        """Frames (T, D) of samples that are short enough to be heard at once, on the device."""
        frames: Tensor = self._content(samples[None, :, None].to(self._device))
        return frames[0]

    def _frames(
        self, samples: Tensor, dtype: torch.dtype = torch.float32, gain: float | None = None
    ) -> Tensor:
        """Frames of a recording of any length, on the CPU."""
        return content_frames(self._content, samples, gain=gain, device=self._device, dtype=dtype)


def _sounding(samples: Tensor, sample_rate: int) -> Tensor:
    return samples[sounding(samples.numpy(), sample_rate)]


def _mean(frames: Tensor) -> Tensor:
    return functional.normalize(frames.float().mean(dim=0), dim=0)
