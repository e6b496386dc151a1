"""Vocoders, encoders and converters at work: what cannot be told from paper."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.doctor.speech import samples
from tests.methods.making import vqvc
from torch import Tensor, nn

from timbrel.audio.io import Waveform
from timbrel.audio.mel import PRESETS
from timbrel.contract import EmbeddingSpec, FeatureSpec
from timbrel.doctor import conversion, sound
from timbrel.doctor.findings import Finding, Severity
from timbrel.models.griffin_lim import GriffinLim, GriffinLimConfig

LN = replace(PRESETS["hifigan-16k"], pad="center", sqrt_eps=0.0)
DECIBELS = replace(LN, log="db", scale=0.01, offset=0.84, clip=(0.0, 1.0))


def recording() -> Waveform:
    return Waveform(torch.from_numpy(samples()[:32000].copy()), 16000)


def copied(vocoder: nn.Module) -> list[Finding]:
    return list(sound.copy_findings("vocoder", sound.copy_synthesis(vocoder, recording())))


class Mislabelled(nn.Module):
    """A vocoder of one mel that declares another."""

    def __init__(self, true: FeatureSpec, declared: FeatureSpec) -> None:
        super().__init__()
        self.inside, self.spec_in = GriffinLim(GriffinLimConfig(true, iterations=20)), declared

    def forward(self, features: Tensor) -> Tensor:
        return self.inside(features)


class Hiss(nn.Module):
    """What a vocoder with random weights makes: noise, the same or another each time."""

    spec_in = LN

    def __init__(self, *, steady: bool) -> None:
        super().__init__()
        self.steady = steady

    def forward(self, features: Tensor) -> Tensor:
        generator = torch.Generator()
        generator.manual_seed(0) if self.steady else generator.seed()
        return 0.1 * torch.randn(1, features.shape[1] * LN.hop, generator=generator)


@pytest.mark.parametrize("spec", [LN, DECIBELS, PRESETS["simple-autovc-16k"]])
def test_a_sound_vocoder_copies_its_input(spec: FeatureSpec) -> None:
    assert copied(GriffinLim(GriffinLimConfig(spec, iterations=20))) == []


@pytest.mark.parametrize(
    ("true", "declared", "name"), [(DECIBELS, LN, "decibels"), (LN, DECIBELS, "natural")]
)
def test_a_vocoder_of_another_mel_than_it_declares_is_found(
    true: FeatureSpec, declared: FeatureSpec, name: str
) -> None:
    (finding,) = copied(Mislabelled(true, declared))
    assert finding.traps == (4, 43)
    assert f"given {name}" in finding.what


def test_a_vocoder_that_makes_noise_is_found() -> None:
    (finding,) = copied(Hiss(steady=True))
    assert finding.severity is Severity.FAULT
    assert "The vocoder is what sounds bad" in finding.why


def test_a_vocoder_in_train_mode_is_found() -> None:
    assert any(31 in finding.traps for finding in copied(Hiss(steady=False)))


class Ear(nn.Module):
    """A speaker encoder with one fault; without one it hears the mean and spread of each band."""

    spec_in = LN

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault, self.spec_out = fault, EmbeddingSpec("ear", 160, True, LN)

    def forward(self, features: Tensor) -> Tensor:
        heard = features - features.mean(dim=(1, 2), keepdim=True)
        vector = torch.cat([heard.mean(dim=1), heard.std(dim=1)], dim=-1)
        if self.fault == "deaf":
            vector = torch.ones_like(vector) + 1e-3 * vector
        if self.fault == "dead":
            vector = torch.zeros_like(vector)
        if self.fault == "last":
            vector = torch.cat([heard[:, -20:].mean(dim=1), heard[:, -20:].std(dim=1)], dim=-1)
        if self.fault == "level":
            vector = features.mean(dim=1).repeat(1, 2) + 6.0
        return vector / vector.norm(dim=-1, keepdim=True).clamp_min(1e-9)


@pytest.mark.parametrize(("fault", "trap"), [("deaf", 20), ("dead", 19), ("level", 23)])
def test_an_encoder_that_does_not_hear_the_voice_is_found(fault: str, trap: int) -> None:
    (finding,) = sound.encoder_findings("encoder", Ear(fault), recording())
    assert trap in finding.traps


def test_an_encoder_that_hears_is_sound() -> None:
    assert list(sound.encoder_findings("encoder", Ear(), recording())) == []


def test_an_encoder_that_hears_the_last_frame_hears_silence() -> None:
    padded = torch.cat([recording().samples, torch.zeros(16000)])
    reference = Waveform(padded, 16000)
    (finding,) = sound.trimming_findings("reference", Ear("last"), reference)
    assert finding.traps == (25, 53)
    assert list(sound.trimming_findings("reference", Ear(), recording())) == []


class Content(nn.Module):
    """Frames of the waveform's own level, or brought to one level first."""

    spec_in = FeatureSpec(kind="waveform", sample_rate=16000, hop=1, dim=1)

    def __init__(self, *, levelled: bool) -> None:
        super().__init__()
        self.levelled = levelled

    def forward(self, waveform: Tensor) -> Tensor:
        return waveform.unfold(1, 320, 320)[:, :, 0]


def test_frames_that_follow_the_level_are_found() -> None:
    (finding,) = sound.level_findings("content", Content(levelled=False), recording())
    assert finding.traps == (34,)
    assert list(sound.level_findings("content", Content(levelled=True), recording())) == []


def test_a_converter_that_cannot_say_its_own_input_is_found() -> None:
    found = conversion.reconstruct(vqvc(), None, recording())
    assert found is not None
    (finding,) = conversion.reconstruction_findings("converter", found)
    assert 40 in finding.traps


@pytest.mark.parametrize(("found", "trap"), [((0.9, 0.3), 49), ((0.2, 1.0), 42)])
def test_smoothed_mels_and_lost_words_are_told_apart(found: tuple[float, float], trap: int) -> None:
    (finding,) = conversion.reconstruction_findings("converter", conversion.Reconstruction(*found))
    assert trap in finding.traps


def test_a_good_reconstruction_is_sound() -> None:
    assert list(conversion.reconstruction_findings("converter", conversion.Reconstruction(0.9, 0.9))) == []


@pytest.mark.parametrize(
    ("trap", "tried"),
    [
        (42, conversion.Tried(0.4, 0.7, 2.0, 2.0, 0.0)),
        (6, conversion.Tried(0.7, 0.4, 2.0, 2.756, 0.0)),
        (8, conversion.Tried(0.7, 0.4, 2.5, 2.0, 0.0)),
        (37, conversion.Tried(0.7, 0.4, 1.9, 2.0, 0.0)),
        (17, conversion.Tried(0.7, 0.4, 2.0, 2.0, -60.0)),
    ],
)
def test_conversions_that_are_none_are_found(trap: int, tried: conversion.Tried) -> None:
    (finding,) = conversion.conversion_findings("the conversion", tried)
    assert trap in finding.traps


def test_a_good_conversion_is_sound() -> None:
    assert list(conversion.conversion_findings("x", conversion.Tried(0.7, 0.4, 2.0, 2.01, 3.0))) == []
