"""Pitch of sounds whose pitch is known, and a stream that equals the whole."""

from __future__ import annotations

import numpy as np
import pytest

from timbrel.audio.pitch import Pitch, PitchStream, log_f0_statistics, track


def harmonic(f0: np.ndarray) -> np.ndarray:
    """A buzz whose fundamental follows `f0` (L,) in Hz, at 16 kHz."""
    phase = 2 * np.pi * np.cumsum(f0) / 16000
    return (0.1 * sum(np.sin(k * phase) / k for k in range(1, 20))).astype(np.float32)


@pytest.mark.parametrize("frequency", [80.0, 120.0, 220.0, 350.0])
def test_steady_voice(frequency: float) -> None:
    pitch = track(harmonic(np.full(16000, frequency)))
    assert pitch.voiced[3:-3].all()
    assert np.median(pitch.f0) == pytest.approx(frequency, rel=0.01)


def test_frames_are_centred_on_multiples_of_256() -> None:
    """A rising glide: frame i reads the frequency at sample 256 i."""
    f0 = np.linspace(120, 240, 32000)
    pitch = track(harmonic(f0))
    centres = 256 * np.arange(len(pitch.f0))
    np.testing.assert_allclose(pitch.f0[10:-10], f0[centres][10:-10], rtol=0.02)
    assert abs(np.median(pitch.f0[10:-10] - f0[centres][10:-10])) < 0.5


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (255, 1), (256, 1), (512, 2), (16000, 62)])
def test_frame_counts(samples: int, frames: int) -> None:
    pitch = track(np.full(samples, 0.01, dtype=np.float32))
    assert len(pitch.f0) == len(pitch.voicing) == frames


def test_noise_and_silence_have_no_voice() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    assert track(noise.astype(np.float32)).voiced.mean() < 0.05
    assert not track(np.zeros(16000, dtype=np.float32)).voiced.any()


def test_raw_values_stay_within_the_tracker_range() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    f0 = track(noise.astype(np.float32)).f0
    assert ((f0 > 45) & (f0 < 640)).all()


@pytest.mark.parametrize("size", [100, 5000, 100_000])
def test_stream_equals_the_whole(size: int) -> None:
    time = np.arange(40_000 if size > 100 else 9000) / 16000
    samples = harmonic(150 + 50 * np.sin(2 * np.pi * time)) * (np.sin(2 * np.pi * 1.3 * time) > -0.5)
    samples = samples.astype(np.float32)
    stream = PitchStream()
    parts = [stream.push(samples[i : i + size]) for i in range(0, len(samples), size)] + [stream.flush()]
    whole = track(samples)
    np.testing.assert_allclose(np.concatenate([part.f0 for part in parts]), whole.f0, rtol=1e-4)
    np.testing.assert_allclose(np.concatenate([part.voicing for part in parts]), whole.voicing, atol=1e-4)


def test_statistics_leave_octave_errors_and_unvoiced_frames_out() -> None:
    true = np.array([100.0, 110.0, 121.0, 110.0, 100.0, 121.0])
    pitch = Pitch(np.append(true, [220.0, 55.0, 500.0]), np.append(np.ones(8), [0.0]))
    mean, deviation = log_f0_statistics(pitch)
    assert mean == pytest.approx(np.log(true).mean())
    assert deviation == pytest.approx(np.log(true).std())


def test_statistics_of_a_voice_of_two_registers_are_numbers() -> None:
    # The median lies between them, more than 1.2 octaves from either.
    mean, deviation = log_f0_statistics(Pitch(np.array([80.0, 80.0, 480.0, 480.0]), np.ones(4)))
    assert mean == pytest.approx(np.log([80.0, 480.0]).mean())
    assert deviation == pytest.approx(np.log(6.0) / 2)


def test_statistics_without_a_voiced_frame() -> None:
    assert log_f0_statistics(Pitch(np.array([100.0]), np.array([0.1]))) == (0.0, 0.0)


@pytest.mark.parametrize("samples", [np.zeros(0), np.array([0.1, np.nan])])
def test_what_cannot_be_tracked_is_refused(samples: np.ndarray) -> None:
    with pytest.raises(ValueError, match="audio"):
        track(samples)
