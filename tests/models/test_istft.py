"""The light vocoder and the inverse STFT it shares with Griffin-Lim."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from timbrel.audio.mel import PRESETS
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models import Vocoder
from timbrel.models.hifigan import HiFiGAN, HiFiGANConfig
from timbrel.models.istft import ISTFT, InverseSTFT, ISTFTConfig

TINY = FeatureSpec(kind="learned", sample_rate=16000, hop=32, dim=6, encoder="test")


def _tiny() -> ISTFT:
    torch.manual_seed(0)
    return ISTFT(ISTFTConfig(TINY, 8, blocks=2, step=8, periodic_width=8, periodic_dilations=(1, 3)))


@pytest.mark.parametrize("padding", [None, 32])
def test_inverse_stft_inverts_its_spectra(padding: int | None) -> None:
    inverse = InverseSTFT(64, 16, padding=padding)
    audio = torch.randn(2, 16 * 21)
    torch.testing.assert_close(inverse(inverse.spectra(audio)), audio, atol=1e-5, rtol=1e-4)


def test_spectra_are_those_of_scipy() -> None:
    audio = np.random.default_rng(0).standard_normal(160)
    window = scipy.signal.get_window("hann", 32)
    spectra = InverseSTFT(32, 16, padding=16).double().spectra(torch.from_numpy(audio)[None])[0]
    transform = scipy.signal.ShortTimeFFT(window, 16, fs=1, phase_shift=None)
    expected = transform.stft(audio, p0=0, p1=10)
    np.testing.assert_allclose(spectra.numpy(), expected, atol=1e-6)


def test_default_padding_centres_each_frame_on_its_hop() -> None:
    inverse = InverseSTFT(64, 16)
    # One frame holds an impulse at its centre.
    spectra = torch.zeros(1, 33, 5, dtype=torch.complex64)
    spectra[0, :, 2] = (-1.0) ** torch.arange(33)
    assert inverse(spectra)[0].abs().argmax() == 2 * 16 + 8


@pytest.mark.parametrize("frames", [1, 2, 3, 17])
def test_every_frame_gives_a_hop_of_samples(frames: int) -> None:
    model = _tiny()
    assert isinstance(model, Vocoder)
    audio = model(torch.randn(2, frames, 6))
    assert audio.shape == (2, frames * 32)
    assert audio.isfinite().all()


def test_output_stays_within_range_and_in_float32_under_autocast() -> None:
    model = _tiny()
    with torch.autocast("cpu", torch.bfloat16):
        audio = model(1e3 * torch.randn(1, 9, 6))
    assert audio.dtype == torch.float32
    assert audio.abs().max() <= 1


def test_receptive_field_is_exact() -> None:
    model = _tiny().double()
    reach = model.receptive_field
    # Inverse STFT 2 steps, dilations 1 + 3, of 4 per frame: 2 frames; 3 kernels of 7: 9 frames.
    assert reach == 11
    middle = 2 * reach
    features = torch.randn(1, 4 * reach + 1, 6, dtype=torch.float64, requires_grad=True)
    model(features)[0, middle * 32 : (middle + 1) * 32].square().sum().backward()
    assert features.grad is not None
    distance = (features.grad[0].abs().sum(1).nonzero()[:, 0] - middle).abs()
    assert distance.max().item() == reach


def test_every_parameter_learns() -> None:
    model = _tiny()
    model(torch.randn(1, 20, 6)).square().sum().backward()
    assert all(
        parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in model.parameters()
    )


def _multiply_adds(model: nn.Module, spec: FeatureSpec) -> float:
    """Per second of audio."""
    frames = 25
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, frames, spec.dim))
    return float(counter.get_total_flops()) / 2 / frames * spec.frame_rate


def test_cost_is_as_documented() -> None:
    spec, published = PRESETS["timbrel-16k"], PRESETS["hifigan-16k"]
    # 125 frames and 500 steps a second; values in * out * kernel of each layer.
    embedding, block, split = 80 * 256 * 7, 256 * 7 + 2 * 256 * 768, 256 * 4 * 128
    trunk = 125 * (embedding + 8 * block + split)
    light = trunk + 500 * 6 * (128 * 128 * 3 + 128 * 128) + 500 * 128 * 130
    assert _multiply_adds(ISTFT(ISTFTConfig(spec)), spec) == pytest.approx(light, rel=1e-6)
    assert light == pytest.approx(0.63e9, rel=0.01)
    # 62.5 frames a second become 500, 4000, 8000 and 16000 values of half the width each time, for which
    # there are three dilated and three plain convolutions with kernels of 3, 7 and 11.
    raising = 62.5 * 512 * 256 * 16 + 500 * 256 * 128 * 16 + 4000 * 128 * 64 * 4 + 8000 * 64 * 32 * 4
    blocks = 6 * (3 + 7 + 11) * (500 * 256**2 + 4000 * 128**2 + 8000 * 64**2 + 16000 * 32**2)
    v1 = 62.5 * 80 * 512 * 7 + raising + blocks + 16000 * 32 * 7
    assert _multiply_adds(HiFiGAN(HiFiGANConfig.v1(published)), published) == pytest.approx(v1, rel=1e-6)
    assert v1 == pytest.approx(19.2e9, rel=0.01)
    assert v1 / light == pytest.approx(30, abs=0.5)


@pytest.mark.parametrize("step", [7, 24])
def test_a_step_that_does_not_divide_the_hop_is_refused(step: int) -> None:
    with pytest.raises(ConfigError, match=f"divide the hop of 128 samples, not {step}"):
        ISTFTConfig(PRESETS["timbrel-16k"], step=step)
