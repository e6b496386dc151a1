"""Normalisation, frame rates, spans and weight norm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from timbrel.models.layers import (
    Snake,
    Span,
    Standardise,
    add_weight_norm,
    fold_weight_norm,
    folded_state_dict,
    instance_normalise,
    magnitude,
    resample_frames,
)


def test_instance_normalise_removes_mean_and_unbiased_deviation_over_time() -> None:
    hidden = 5 + 3 * torch.randn(2, 50, 4, generator=torch.Generator().manual_seed(0))
    normalised = instance_normalise(hidden).numpy()
    np.testing.assert_allclose(normalised.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(normalised.std(1, ddof=1), 1, rtol=1e-4)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_instance_normalise_of_constant_input_is_zero_with_finite_gradients(length: int) -> None:
    hidden = torch.full((1, length, 3), 7.0, requires_grad=True)
    normalised = instance_normalise(hidden)
    assert torch.equal(normalised, torch.zeros(1, length, 3))
    (gradient,) = torch.autograd.grad(normalised.square().sum(), hidden)
    assert gradient.isfinite().all()


def test_resample_frames_interpolates_between_frame_times() -> None:
    # A ramp of 1 per frame at 50 Hz is a ramp of 0.5 per frame at 100 Hz, held at the end.
    ramp = torch.arange(4.0)[None, :, None]
    finer = resample_frames(ramp, 50.0, 100.0)
    assert finer[0, :, 0].tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.0]
    assert resample_frames(ramp, 50.0, 25.0)[0, :, 0].tolist() == [0.0, 2.0]


def test_resample_frames_gives_the_count_asked_for_and_never_none() -> None:
    assert resample_frames(torch.ones(2, 5, 3), 50.0, 62.5, 9).shape == (2, 9, 3)
    assert resample_frames(torch.ones(2, 1, 3), 50.0, 10.0).shape == (2, 1, 3)


def test_resample_frames_at_equal_rates_changes_nothing() -> None:
    frames = torch.randn(1, 7, 2)
    assert resample_frames(frames, 62.5, 62.5) is frames


def test_standardise_takes_statistics_and_inverts() -> None:
    frames = torch.tensor([[0.0, 1.0], [4.0, 1.0], [8.0, 1.0], [4.0, 1.0]])
    layer = Standardise(2)
    layer.fit(frames)
    # Deviation of (0, 4, 8, 4) is sqrt(8); the constant dimension is only shifted.
    expected = [[-4 / 8**0.5, 0.0], [0.0, 0.0], [4 / 8**0.5, 0.0], [0.0, 0.0]]
    torch.testing.assert_close(layer(frames), torch.tensor(expected))
    torch.testing.assert_close(layer.inverse(layer(frames)), frames)
    assert set(layer.state_dict()) == {"mean", "deviation"}


def test_snake_is_the_published_function() -> None:
    layer = Snake(1)
    with torch.no_grad():
        layer.log_frequency.fill_(np.log(2.0))
    assert layer(torch.full((1, 1, 1), 0.7)).item() == pytest.approx(0.7 + np.sin(1.4) ** 2 / 2)


def test_magnitude_of_a_sine_peaks_at_its_bin_and_bounds_the_slope_in_silence() -> None:
    time = torch.arange(4096) / 16000
    sine = torch.sin(2 * torch.pi * 1000 * time)[None]
    spectrum = magnitude(sine, 512, 128, 512)
    assert spectrum.shape == (1, 257, 33)
    assert spectrum[0, :, 16].argmax() == 32
    # A Hann window of 512 sums to 256; half the amplitude lies at the negative frequency.
    assert spectrum[0, 32, 16].item() == pytest.approx(128, rel=1e-3)
    silence = torch.zeros(1, 1024, requires_grad=True)
    (gradient,) = torch.autograd.grad(magnitude(silence, 512, 128, 512).sum(), silence)
    assert gradient.isfinite().all()


def test_spans_of_layers_by_hand() -> None:
    assert Span(0, 0).before_convolution(7) == Span(-3, 3)
    assert Span(0, 0).before_convolution(3, dilation=5) == Span(-5, 5)
    # Kernel 4, stride 2, padding 1: output 0 takes input i where 0 <= 0 + 1 - 2 i < 4, so i = -1, 0.
    assert Span(0, 0).before_upsampling(4, 2, 1) == Span(-1, 0)
    # Output 1: 0 <= 2 - 2 i < 4, so i = 0, 1.
    assert Span(1, 1).before_upsampling(4, 2, 1) == Span(0, 1)
    # Frames 0 and 1 of 8 samples, hop 4, the first from -2.
    assert Span(0, 1).before_framing(8, 4, 2) == Span(-2, 9)
    assert Span(-5, 3).reach == 5


def test_weight_norm_changes_the_parameters_and_not_the_function() -> None:
    network = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ConvTranspose1d(3, 2, 4), nn.PReLU())
    names = set(network.state_dict())
    audio = torch.randn(1, 2, 20)
    before = network(audio)
    add_weight_norm(network)
    torch.testing.assert_close(network(audio), before)
    assert "0.parametrizations.weight.original0" in network.state_dict()
    exported = folded_state_dict(network)
    assert set(exported) == names
    assert "0.parametrizations.weight.original0" in network.state_dict()
    fold_weight_norm(network)
    fold_weight_norm(network)
    assert set(network.state_dict()) == names
    assert all(torch.equal(value, exported[name]) for name, value in network.state_dict().items())
    torch.testing.assert_close(network(audio), before)
