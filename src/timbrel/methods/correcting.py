"""What a converter gets wrong of a voice: heard on the voice's own recordings, put right where it speaks.

A network that learned from many voices says a new one a little like all of them. How wrong it is can be
heard, since the reference is a recording of the voice: each half of it is rebuilt with the other half for a
reference, and what the rebuilt log-mel lacks of the true one is kept beside the frame's content. Where the
converter speaks, a frame gets the mean of what is missing in frames of like content.

A converter that learned from a guide goes beyond every voice, its own guess at this one included. That is
no error to be put right: it is rebuilt without (`Converter.unguided`).

That is kernel regression (Nadaraya 1964, Watson 1964) of what a first model leaves over. kNN-VC (Baas et al.
2023) looks up whole frames and needs minutes of a voice; here the network says what is common to all voices,
and a sentence is enough for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from timbrel.analysis import Analysis
from timbrel.audio.mel import MelSpectrogram, centres
from timbrel.contract import FeatureSpec
from timbrel.models.converter import Converter, Prosody, mel_pairs
from timbrel.models.source_filter import PitchCurve, noise
from timbrel.models.voice_tokens import VoiceTokens

#: Of the look-up: the weight of a frame falls by e for each so much of cosine.
_TEMPERATURE = 0.05
#: Nats. What is missing beyond this is a slip in time, such as an onset a frame late.
_MOST = 2.0
#: Neighbouring mel bands over which it is averaged: harmonics are not of the voice but of the moment.
_BANDS = 3
#: Speech frames that each half of a reference must have.
_FEWEST = 16
#: Frames that are rebuilt at a time, 16 s, so that long references need no more memory.
_PIECE = 1000


@dataclass(frozen=True, slots=True)
class Reference:
    """A recording of the voice: what was measured of it, and its frames as in `methods.Heard`."""

    analysis: Analysis
    frames: dict[str, Tensor]


def residuals(converter: Converter, mel: MelSpectrogram, references: Sequence[Reference]) -> Tensor | None:
    """What the converter's rebuilt log-mel lacks, nats (R, 2 D), for the frames of all references in turn.

    None where there is too little speech to tell.
    """
    device = mel.window.device
    halves = [_first_half(reference.frames["speech"]) for reference in references]
    known = []
    for wanted in (True, False):
        tokens = _tokens(converter, references, [half == wanted for half in halves], device)
        if tokens is None:
            return None
        known.append(tokens)
    missing = [
        _missing(converter, mel, reference, half, known)
        for reference, half in zip(references, halves, strict=True)
    ]
    return torch.cat(missing)


def _first_half(speech: Tensor) -> Tensor:
    """True up to the middle of the speech, (R,)."""
    spoken = speech.cumsum(0)
    return spoken * 2 <= spoken[-1]


def _tokens(
    converter: Converter, references: Sequence[Reference], taken: Sequence[Tensor], device: torch.device
) -> VoiceTokens | None:
    """The voice as these frames of the references have it, if they have enough speech."""
    parts = {
        kind: torch.cat([one.frames[kind][rows] for one, rows in zip(references, taken, strict=True)])
        for kind in ("content", "mel", "speech")
    }
    if int(parts["speech"].sum()) < _FEWEST:
        return None
    tokens: VoiceTokens = converter.reference(*(part[None].to(device) for part in parts.values()))
    return tokens


def _missing(
    converter: Converter,
    mel: MelSpectrogram,
    reference: Reference,
    half: Tensor,
    known: Sequence[VoiceTokens],
) -> Tensor:
    """(R, 2 D) of one recording; `known` are the voice by the first halves and by the second ones."""
    true, speech = reference.frames["mel"], reference.frames["speech"]
    log_f0 = torch.from_numpy(reference.analysis.log_f0_from(0, len(true) + 1))
    curve = PitchCurve.of(log_f0, mel.spec.sample_rate, 2 * mel.spec.hop)
    pieces = range(0, len(true), _PIECE)
    rebuilt = [_rebuilt(converter, mel, reference, curve, half, known, start) for start in pieces]
    missing = true - torch.cat(rebuilt)
    missing = (missing - missing[speech].mean()).clamp(-_MOST, _MOST)
    bands = missing.unflatten(-1, (2, -1))
    smooth = functional.avg_pool1d(bands, _BANDS, stride=1, padding=_BANDS // 2, count_include_pad=False)
    return smooth.flatten(1)


def _rebuilt(
    converter: Converter,
    mel: MelSpectrogram,
    reference: Reference,
    curve: PitchCurve,
    half: Tensor,
    known: Sequence[VoiceTokens],
    start: int,
) -> Tensor:
    """Log-mel (K, 2 D) of frames from `start` on, each half said in the voice that the other half has."""
    device, rate, hop = mel.window.device, mel.spec.sample_rate, mel.spec.hop
    rows = slice(start, start + _PIECE)
    content, own = (reference.frames[kind][rows][None].to(device) for kind in ("content", "mel"))
    count = content.shape[1]
    prosody = Prosody(
        torch.exp(curve.log_f0[start : start + count]).float()[None].to(device),
        torch.from_numpy(reference.analysis.voicing_from(start, count))[None].to(device),
        own.unflatten(-1, (2, -1)).logsumexp(dim=-1),
    )
    common = converter.in_common(torch.tensor([reference.analysis.log_f0_mean], device=device))
    first, second = (
        converter.unguided(converter.filters(content, prosody, voice).float(), content, prosody, common)
        for voice in known
    )
    by_second = half[rows].to(device).repeat_interleave(2)[None, :, None, None]
    # The synthesiser ends at the centre of its last frame.
    length = hop * (2 * count - 1)
    made = converter.render(
        torch.where(by_second, second, first),
        curve.pulses(start, start + count, rate)[None, :length].to(device),
        noise(2 * hop * start, 2 * hop * start + length, seed=0)[None].to(device),
    )
    pairs, _ = mel_pairs(mel(made), count)
    return pairs[0].cpu()


class Correction:
    """Nats to add to the log-amplitudes of filters for content (B, T, C): (B, 2 T, F).

    Args:
        content, residual: of the speech frames of a voice, (R, C) and (R, 2 D).
        source_mean: of the source's content frames, (C,). What all frames of a recording share says nothing
            of the words, so each side is seen from its own mean.
        mel: of the residual.
        bins: F.
        share: of the residual that is added.
    """

    def __init__(
        self,
        content: Tensor,
        residual: Tensor,
        source_mean: Tensor,
        mel: FeatureSpec,
        bins: int,
        share: float,
    ) -> None:
        self._keys = functional.normalize(content - content.mean(dim=0), dim=-1)
        self._values = share * residual
        self._spread = _spread(mel, bins).to(residual)
        self._source_mean = source_mean

    def __call__(self, content: Tensor) -> Tensor:
        queries = functional.normalize(content - self._source_mean, dim=-1)
        weights = torch.softmax(queries @ self._keys.T / _TEMPERATURE, dim=-1)
        found = (weights @ self._values).unflatten(-1, (2, -1)).flatten(1, 2)
        return torch.as_tensor(found @ self._spread)


def _spread(mel: FeatureSpec, bins: int) -> Tensor:
    """(D, F): from values at the mel bands' centres to frequencies, straight between two of them."""
    frequencies = np.linspace(0.0, mel.sample_rate / 2, bins)
    rows = [np.interp(frequencies, centres(mel), row) for row in np.eye(mel.dim)]
    return torch.from_numpy(np.stack(rows)).float()
