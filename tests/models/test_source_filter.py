"""The synthesiser of the bundled converter: pulses, minimum phase, filters, and cutting into windows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.signal
import torch

from timbrel.models.source_filter import PitchCurve, SourceFilter, minimum_phase, noise, pulse_train

RATE = 16000


def _cycles(f0: float, samples: int) -> torch.Tensor:
    return (torch.arange(samples, dtype=torch.float64) * f0 / RATE)[None]


@pytest.mark.parametrize("f0", [80.0, 125.0, 333.3])
def test_pulse_train_is_the_sum_of_cosines(f0: float) -> None:
    samples = 4000
    cycles = _cycles(f0, samples)
    count = math.floor(RATE / 2 / f0)
    harmonics = torch.arange(1, count + 1, dtype=torch.float64)[:, None]
    expected = torch.cos(2 * math.pi * harmonics * cycles).sum(dim=0) * math.sqrt(2 / count)
    made = pulse_train(cycles, torch.full_like(cycles, f0), RATE)[0]
    torch.testing.assert_close(made, expected, atol=1e-6, rtol=0)


def test_pulse_train_has_unit_power_and_nothing_between_harmonics() -> None:
    f0, samples = 190.0, RATE
    made = pulse_train(_cycles(f0, samples), torch.full((1, samples), f0, dtype=torch.float64), RATE)[0]
    assert made.square().mean().item() == pytest.approx(1.0, abs=1e-3)
    spectrum = torch.fft.rfft(made).abs()  # bins of 1 Hz
    between = torch.ones(len(spectrum), dtype=torch.bool)
    between[::190] = False
    assert spectrum[between].max() < 1e-6 * spectrum.max()


def test_minimum_phase_is_that_of_a_known_all_pole_filter() -> None:
    # A stable all-pole filter has minimum phase, so its phase follows from its magnitude alone.
    poles = [0.9 * np.exp(1j * 0.6), 0.8 * np.exp(1j * 1.9)]
    denominator = np.real(np.poly(poles + [np.conj(pole) for pole in poles]))
    _, response = scipy.signal.freqz([1.0], denominator, worN=np.linspace(0, np.pi, 1025))
    phase = minimum_phase(torch.from_numpy(np.log(np.abs(response))))
    np.testing.assert_allclose(phase.numpy(), np.unwrap(np.angle(response)), atol=1e-6)


def test_flat_filters_leave_the_source_as_it_is() -> None:
    synthesis = SourceFilter(RATE, 512, 128)
    source = torch.randn(1, 128 * 40)
    flat, closed = torch.zeros(1, 41, synthesis.bins), torch.full((1, 41, synthesis.bins), -14.0)
    made = synthesis(source, torch.zeros_like(source), flat, flat, closed)
    torch.testing.assert_close(made, source, atol=1e-5, rtol=0)


def test_the_filter_shapes_the_noise() -> None:
    synthesis = SourceFilter(RATE, 512, 128)
    frames = 400
    source = torch.randn(1, 128 * (frames - 1), generator=torch.Generator().manual_seed(0))
    closed = torch.full((1, frames, synthesis.bins), -14.0)
    breath = closed.clone()
    breath[..., 64:128] = 0.0  # 2 to 4 kHz
    made = synthesis(torch.zeros_like(source), source, closed, torch.zeros_like(closed), breath)[0]
    frequency, density = scipy.signal.welch(made.numpy(), RATE, nperseg=1024)
    inside = density[(frequency > 2200) & (frequency < 3800)].mean()
    outside = density[(frequency < 1700) | (frequency > 4300)].mean()
    assert inside > 1e3 * outside


def test_a_window_of_the_curve_gives_the_samples_of_the_whole() -> None:
    log_f0 = torch.log(torch.linspace(90, 240, 61))
    curve = PitchCurve.of(log_f0, RATE, 256)
    whole = curve.pulses(0, 60, RATE)
    torch.testing.assert_close(curve.pulses(17, 40, RATE), whole[17 * 256 : 40 * 256], atol=1e-6, rtol=0)


def test_the_curve_has_the_pitch_it_was_given() -> None:
    # A glide from 100 to 200 Hz, exponential in time, passes through (200 - 100) / ln 2 cycles a second.
    frames = 125
    log_f0 = torch.log(torch.tensor(100.0)) + math.log(2.0) * torch.arange(frames + 1) / frames
    made = PitchCurve.of(log_f0, RATE, 256).pulses(0, frames, RATE)
    peaks = scipy.signal.find_peaks(made.numpy(), height=0.3 * made.max().item())[0]
    assert len(peaks) == pytest.approx(100 / math.log(2) * frames * 256 / RATE, abs=1.5)


def test_noise_does_not_depend_on_how_it_is_cut() -> None:
    whole = noise(0, 50000, seed=3)
    torch.testing.assert_close(noise(12345, 45678, seed=3), whole[12345:45678], atol=0, rtol=0)
    assert not torch.equal(whole, noise(0, 50000, seed=4))
    assert noise(0, 8, seed=2**62).isfinite().all()
    assert whole.std().item() == pytest.approx(1.0, abs=0.02)
    assert abs(torch.corrcoef(torch.stack([whole[:16384], whole[16384:32768]]))[0, 1].item()) < 0.05
