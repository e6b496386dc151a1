"""Loudness follows the source: converted speech is as loud as what it was made from, moment by moment."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

#: Frames on either side over which levels are compared; about a quarter of a second.
REACH = 15
#: A converter that is off by more than 12 dB is not corrected further: the frame is noise, not speech.
_LARGEST_GAIN = 4.0
#: Mean squares of the source below which its frames fade to silence, and where they are silent.
_QUIET, _SILENT = 10**-6.0, 10**-7.5


def follow_level(converted: Tensor, source: Tensor, hop: int) -> Tensor:
    """Converted (L,) with the level of the source (L,), compared in frames of `hop` samples.

    Levels are means over `2 * REACH + 1` frames, so the gain follows phrases and not the sounds of
    speech. Where the source falls silent so does the output: a network never makes digital silence.
    """
    wanted, given = _energies(source, hop), _energies(converted, hop)
    gain = (_smooth(wanted) / _smooth(given).clamp_min(1e-12)).sqrt().clamp(1 / _LARGEST_GAIN, _LARGEST_GAIN)
    nearby = functional.max_pool1d(wanted[None], 3, stride=1, padding=1)[0]
    openness = torch.log(nearby.clamp_min(1e-20) / _SILENT) / math.log(_QUIET / _SILENT)
    envelope = (gain * openness.clamp(0.0, 1.0))[None, None]
    curve = functional.interpolate(envelope, scale_factor=hop, mode="linear", align_corners=False)
    return converted * curve[0, 0, : len(converted)].to(converted.dtype)


def fitted(made: Tensor, source: Tensor, gain: float, hop: int) -> Tensor:
    """What a network made of a source (L,), as long and as loud as it.

    Args:
        made: at the standard level, of about as many samples; what is missing at its end is silence.
        gain: that brings the source to the standard level.
    """
    made = functional.pad(made, (0, max(0, len(source) - len(made))))[: len(source)]
    return limit(follow_level(made, source * gain, hop) / gain)


def limit(samples: Tensor) -> Tensor:
    """Bends what exceeds 0.9 of full scale, so that nothing is clipped."""
    excess = (samples.abs() - 0.9).clamp_min(0.0)
    return torch.where(excess > 0, samples.sign() * (0.9 + 0.1 * torch.tanh(excess / 0.1)), samples)


def _energies(samples: Tensor, hop: int) -> Tensor:
    """Mean square of each frame, the last one filled up with zeros, (T,) float64."""
    padded = functional.pad(samples, (0, -len(samples) % hop))
    return padded.double().square().reshape(-1, hop).mean(dim=1)


def _smooth(energies: Tensor) -> Tensor:
    window = torch.hann_window(2 * REACH + 3, periodic=False, dtype=energies.dtype, device=energies.device)[
        1:-1
    ]
    smoothed: Tensor = functional.conv1d(energies[None, None], window[None, None], padding=REACH)
    return smoothed[0, 0]
