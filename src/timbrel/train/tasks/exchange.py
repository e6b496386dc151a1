"""Each piece of a batch is said in the next one's voice: whose, at what pitch, and what is judged of it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from timbrel.audio.pitch import OCTAVE_ERROR
from timbrel.methods.melody import MOST_RANGE
from timbrel.models.converter import Prosody
from timbrel.train.tasks.scenes import Scene

#: Hz. Where pitch may be moved to.
_PITCH_RANGE = (52.0, 545.0)


def next_rows(count: int) -> Tensor:
    """1, 2, ..., count - 1, 0."""
    return torch.arange(1, count + 1) % count


def in_other_pitch(scene: Scene, count: int) -> Scene:
    """The first pieces at the pitch of the next ones' references; these are still those of the scene."""
    here, prosody = slice(0, count), scene.prosody
    moved = Prosody(_in_pitch(scene, count), prosody.voicing[here], prosody.energy[here])
    return replace(scene, target=scene.target[here], content=scene.content[here], prosody=moved)


def _in_pitch(scene: Scene, count: int) -> Tensor:
    """F0 of the first pieces, Hz (`count`, K), moved to the next ones' references as in `methods.melody`."""
    here, there = slice(0, count), next_rows(count)
    own, other = scene.log_f0_mean[here], scene.reference_log_f0_mean[there]
    known = (own > 0) & (other > 0)
    wider = scene.reference_log_f0_std[there] / scene.log_f0_std[here]
    wider = torch.where(known & wider.isfinite() & (wider > 0), wider, 1.0).clamp(1 / MOST_RANGE, MOST_RANGE)
    deviation = scene.prosody.f0[here].log() - own[:, None]
    near = deviation.clamp(-OCTAVE_ERROR, OCTAVE_ERROR)
    log_f0 = torch.where(known, other, own)[:, None] + wider[:, None] * near + (deviation - near)
    return log_f0.exp().clamp(*_PITCH_RANGE)


def contest(real: Tensor, rebuilt: Tensor, converted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the discriminators hear: recordings, what was made, and as much of that as is recorded.

    The recordings and what was rebuilt are the second half of the batch, (H, L). With what was converted of
    H / 2 pieces, that is all that was made, (H + H / 2, L); of it half and half go beside the recordings.
    """
    half = len(real) // 2
    real, rebuilt = real[half:], rebuilt[half:]
    converted = converted[: len(real) // 2]
    sample = torch.cat([rebuilt[: len(real) - len(converted)], converted])
    return real, torch.cat([rebuilt, converted]), sample
