"""One vector per voice from audio, whatever a speaker encoder listens to.

Encoders differ in what they are fed (`spec_in`: a mel of their own, or the waveform itself), in its
sample rate, in whether they hear a whole utterance or windows of a fixed length (`window`), and in
whether soft recordings are raised to a level first (`least_dbfs`).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from timbrel.audio.mel import MelSpectrogram
from timbrel.audio.resample import resample
from timbrel.contract import FeatureSpec
from timbrel.errors import ContractError
from timbrel.models import SpeakerEncoder

#: Windows overlap by a half.
_WINDOWS_OVERLAP = 2


def embed_audio(encoder: SpeakerEncoder, audio: Tensor, sample_rate: int) -> Tensor:
    """Waveforms (B, L) at `sample_rate` Hz -> embeddings (B, E).

    Audio at another rate than the encoder's is resampled, and values beyond [-1, 1] are clipped. An
    encoder trained on crops of `window` frames hears windows of that length, each overlapping the next
    by a half and the last one ending with the audio; the embedding is their mean, brought to unit
    length if `spec_out` says so. Shorter audio is heard once, as it is.

    Utterances of one batch should be equally long: padding is heard as silence.

    Raises:
        ContractError: the encoder's input cannot be made from audio.
        ValueError: the waveforms are not (B, L) with L > 0, or too short for the encoder.
    """
    least = getattr(encoder, "least_dbfs", None)
    raised = audio if least is None else _raised(audio, least)
    features = listen(encoder.spec_in, raised, sample_rate)
    window = getattr(encoder, "window", None)
    if window is None or features.shape[1] <= window:
        return encoder(features)
    starts = window_starts(features.shape[1], window)
    pieces = torch.cat([features[:, start : start + window] for start in starts])
    mean = encoder(pieces).unflatten(0, (len(starts), len(features))).mean(dim=0)
    return functional.normalize(mean, dim=-1) if encoder.spec_out.l2_normalised else mean


def listen(spec: FeatureSpec, audio: Tensor, sample_rate: int) -> Tensor:
    """What `spec` says of waveforms (B, L) at `sample_rate` Hz: (B, T, D), on the device of `audio`.

    Raises:
        ContractError: the frames are learned, so audio alone does not give them.
        ValueError: the waveforms are not (B, L) with L > 0.
    """
    if audio.dim() != 2 or audio.shape[1] == 0:
        raise ValueError(f"Expected waveforms (B, L) with L > 0, got {tuple(audio.shape)}.")
    if spec.kind == "learned":
        raise ContractError(f"This encoder hears frames learned by {spec.encoder or 'others'}, not audio.")
    audio = _at_rate(audio, sample_rate, spec.sample_rate).clamp(-1.0, 1.0)
    if spec.kind == "waveform":
        return audio[..., None]
    frames: Tensor = _front_end(spec, audio.device)(audio)
    return frames


def window_starts(frames: int, window: int) -> list[int]:
    """Where windows of `window` frames begin, half overlapping, the last one ending at `frames`."""
    last = max(0, frames - window)
    return [*range(0, last, max(1, window // _WINDOWS_OVERLAP)), last]


def _raised(audio: Tensor, least_dbfs: float) -> Tensor:
    """Waveforms (B, L), each with an RMS of at least that level; silence stays silence."""
    level = audio.square().mean(dim=1, keepdim=True).sqrt()
    gain = 10 ** (least_dbfs / 20) / level.clamp_min(1e-8)
    return audio * gain.clamp(min=1.0, max=1e4)


def _at_rate(audio: Tensor, given: int, wanted: int) -> Tensor:
    if given == wanted:
        return audio
    rows = [resample(row, given, wanted) for row in audio.detach().cpu().numpy()]
    return torch.from_numpy(np.stack(rows)).to(audio.device)


@lru_cache(maxsize=8)
def _front_end(spec: FeatureSpec, device: torch.device) -> MelSpectrogram:
    return MelSpectrogram(spec).to(device)
