"""How frames are made to stand out from a voice's mean."""

from __future__ import annotations

import torch
from torch import Tensor

from timbrel.audio.mel import PRESETS, MelSpectrogram
from timbrel.models.contrast import Contrast

MEL = MelSpectrogram(PRESETS["timbrel-16k"])
BINS = 257
LOUD, QUIET = torch.full((1, 2, 2), 30.0), torch.full((1, 2, 2), -30.0)

#: A log-amplitude that is no straight line, without ripples as narrow as the widest bands.
HILL = torch.sin(torch.linspace(0.0, 1.5 * torch.pi, BINS))


def filters(harmonic: Tensor) -> Tensor:
    """Of four frames alike, with next to no noise, (1, 4, 3, F)."""
    return torch.stack([harmonic, torch.zeros(BINS), torch.full((BINS,), -14.0)])[None, None].repeat(
        1, 4, 1, 1
    )


def shape(harmonic: Tensor) -> Tensor:
    """What a filter of that log-amplitude gives a white sound, (80,), in log-mel about its mean."""
    heard = torch.log(torch.exp(harmonic) @ MEL.filterbank.T)
    return heard - heard.mean()


def contrast(share: float, *voices: tuple[Tensor, float]) -> Contrast:
    """Of voices whose frames are all alike, (80,)."""
    speech = [(mel.repeat(2)[None].repeat(5, 1), weight) for mel, weight in voices]
    return Contrast.of(share, speech, MEL, BINS)


def test_the_mean_of_a_voice_stays_at_any_level() -> None:
    flat = torch.zeros(BINS)
    found = contrast(0.2, (shape(flat) - 3.0, 1.0))(filters(flat + 1.5), LOUD)
    assert found.shape == (1, 4, BINS)
    torch.testing.assert_close(found, torch.zeros_like(found), atol=1e-5, rtol=0)


def test_what_differs_from_the_mean_differs_by_a_share_more() -> None:
    flat = shape(torch.zeros(BINS))
    found = contrast(0.2, (flat, 1.0))(filters(HILL), LOUD)[0, 0]
    before, after = shape(HILL) - flat, shape(HILL + found) - flat
    torch.testing.assert_close(after, 1.2 * before, atol=0.02, rtol=0)
    assert before.abs().max() > 0.9


def test_quiet_frames_are_left_alone() -> None:
    stands_out = contrast(0.2, (shape(torch.zeros(BINS)), 1.0))
    assert stands_out(filters(HILL), LOUD).abs().max() > 0.1
    assert stands_out(filters(HILL), QUIET).abs().max() < 1e-6


def test_a_blend_has_the_mean_of_its_voices() -> None:
    flat = shape(torch.zeros(BINS))
    blend = contrast(0.2, (shape(HILL), 0.25), (flat, 0.75))
    torch.testing.assert_close(blend.mean - blend.mean.mean(), 0.25 * shape(HILL) + 0.75 * flat)
