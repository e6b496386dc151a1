"""Griffin-Lim turns the mel of any front end back into audio that has that mel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from timbrel.audio.mel import PRESETS, MelSpectrogram
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models import Vocoder
from timbrel.models.griffin_lim import GriffinLim, GriffinLimConfig

SPEC = PRESETS["timbrel-16k"]


def _harmonics(sample_rate: int, seconds: float = 0.5, pitch: float = 150.0) -> Tensor:
    """(1, L): a falling series of harmonics, as a voice has, at about -14 dBFS."""
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    sound = sum(np.sin(2 * np.pi * pitch * n * time + n * n) / n for n in range(1, 20))
    return torch.from_numpy(0.2 * sound / np.abs(sound).max() * 2).float()[None]


@pytest.mark.parametrize("name", ["timbrel-16k", "hifigan-22k", "autovc-16k", "simple-autovc-16k"])
def test_audio_has_the_mel_it_was_made_from(name: str) -> None:
    spec = PRESETS[name]
    front_end = MelSpectrogram(spec)
    mel = front_end(_harmonics(spec.sample_rate))
    again = front_end(GriffinLim(GriffinLimConfig(spec))(mel))
    inner = slice(5, -5)
    decibels = 8.686 if spec.log == "ln" else 100.0
    wrong = decibels * (again[:, : mel.shape[1]] - mel)[:, inner].abs()
    # Where the mel is loud; the skirts of a pure harmonic are deeper than any inversion reaches.
    loud = decibels * (mel[:, inner] - mel.max()) > -40
    assert wrong[loud].mean() < 1.5


@pytest.mark.parametrize("name", ["timbrel-16k", "hifigan-22k"])
def test_a_burst_comes_out_when_it_went_in(name: str) -> None:
    spec = PRESETS[name]
    audio = torch.zeros(1, spec.sample_rate // 2)
    start, length = spec.sample_rate // 5, spec.sample_rate // 20
    audio[0, start : start + length] = _harmonics(spec.sample_rate)[0, :length]
    energy = GriffinLim(GriffinLimConfig(spec))(MelSpectrogram(spec)(audio))[0].square()
    centre = (energy * torch.arange(len(energy))).sum() / energy.sum()
    true = audio[0].square()
    expected = (true * torch.arange(len(true))).sum() / true.sum()
    assert abs(centre - expected).item() < 0.002 * spec.sample_rate


def test_more_iterations_fit_better() -> None:
    front_end = MelSpectrogram(SPEC)
    mel = front_end(_harmonics(16000))

    def misfit(iterations: int) -> float:
        audio = GriffinLim(GriffinLimConfig(SPEC, iterations))(mel)
        return float((front_end(audio)[:, : mel.shape[1]] - mel).abs().mean())

    assert misfit(30) < misfit(3) < misfit(0)


@pytest.mark.parametrize("frames", [1, 2, 7, 50])
@pytest.mark.parametrize("pad", ["center", "same"])
def test_every_frame_gives_a_hop_of_samples(frames: int, pad: str) -> None:
    model = GriffinLim(GriffinLimConfig(replace(SPEC, pad=pad), 2))  # type: ignore[arg-type]
    assert isinstance(model, Vocoder)
    audio = model(torch.randn(2, frames, 80) - 4)
    assert audio.shape == (2, frames * 128)
    assert audio.isfinite().all()
    assert audio.abs().max() <= 1


def test_silence_stays_below_minus_60_decibels() -> None:
    mel = MelSpectrogram(SPEC)(torch.zeros(1, 8000))
    assert GriffinLim(GriffinLimConfig(SPEC))(mel).abs().max() < 1e-3


def test_the_same_mel_gives_the_same_samples() -> None:
    mel = MelSpectrogram(SPEC)(_harmonics(16000, 0.2))
    assert torch.equal(*(GriffinLim(GriffinLimConfig(SPEC, 5))(mel) for _ in range(2)))


def test_samples_depend_on_the_receptive_field_only() -> None:
    model = GriffinLim(GriffinLimConfig(SPEC, 3))
    reach = model.receptive_field
    mel = torch.randn(1, 4 * reach, 80, generator=torch.Generator().manual_seed(0)) - 4
    changed = mel.clone()
    middle = 2 * reach
    changed[:, middle] += 1
    difference = (model(mel) - model(changed)).view(-1, 128).abs().amax(1)
    touched = difference.nonzero()[:, 0] - middle
    assert touched.abs().max() <= reach
    assert touched.abs().max() >= reach - 3


def test_nothing_is_learned_or_stored() -> None:
    assert GriffinLim(GriffinLimConfig(SPEC)).state_dict() == {}


def test_power_mels_are_inverted_too() -> None:
    spec = replace(SPEC, power=2, log="none")
    front_end = MelSpectrogram(spec)
    mel = front_end(_harmonics(16000))
    again = front_end(GriffinLim(GriffinLimConfig(spec))(mel))[:, : mel.shape[1]]
    assert (again.sum() / mel.sum()).item() == pytest.approx(1, abs=0.15)


def test_what_cannot_be_inverted_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a mel"):
        GriffinLimConfig(FeatureSpec(kind="learned", sample_rate=16000, hop=320, dim=8, encoder="x"))
    with pytest.raises(ConfigError, match="two hops"):
        GriffinLimConfig(replace(SPEC, hop=400))
