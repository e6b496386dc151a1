"""What the first pass tells of a source, on sounds whose pitch and level are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from timbrel.analysis import Analysis, analyse, continuous_log_f0
from timbrel.audio.io import read
from timbrel.audio.loudness import STANDARD_LEVEL, standard_gain
from timbrel.audio.pitch import Pitch

RATE, HOP = 16000, 256


def glide(seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """A buzz between 100 and 180 Hz, (T,), and its true fundamental at each sample."""
    time = np.arange(round(seconds * RATE)) / RATE
    f0 = 140 + 40 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    buzz = sum(np.sin(k * phase) / k for k in range(1, 25))
    return np.asarray(0.1 * buzz, dtype=np.float32), f0


def pitch(*frames: tuple[float, float]) -> Pitch:
    """From pairs of Hz and probability."""
    f0, voicing = zip(*frames, strict=True)
    return Pitch(np.array(f0, dtype=np.float32), np.array(voicing, dtype=np.float32))


def same(one: Analysis, two: Analysis) -> None:
    assert one.samples == two.samples
    assert one.gain == pytest.approx(two.gain, rel=1e-6)
    assert (one.log_f0_mean, one.log_f0_std) == pytest.approx((two.log_f0_mean, two.log_f0_std), abs=1e-4)
    np.testing.assert_allclose(one.log_f0, two.log_f0, atol=1e-4)
    np.testing.assert_allclose(one.voicing, two.voicing, atol=1e-4)


@pytest.mark.parametrize("level", [0.003, 0.05, 0.7])
def test_the_gain_brings_speech_to_the_standard_level(level: float) -> None:
    rng = np.random.default_rng(0)
    speech = rng.normal(0, level, 20000).astype(np.float32)
    found = analyse([speech])
    assert found.gain * np.sqrt(np.square(speech).mean()) == pytest.approx(STANDARD_LEVEL, rel=1e-3)
    # Pauses, digital or of a quiet room, are no part of the level.
    for pause in (np.zeros(40000), rng.normal(0, level / 100, 40000)):
        paused = analyse([np.concatenate([speech, pause.astype(np.float32)])])
        assert paused.gain == pytest.approx(found.gain, rel=1e-3)


def test_frames_far_below_the_loudest_do_not_count() -> None:
    assert standard_gain(np.array([0.04, 0.04])) == pytest.approx(0.1 / 0.2)
    assert standard_gain(np.array([0.04, 0.04, 0.04 / 1001])) == pytest.approx(0.1 / 0.2)
    assert standard_gain(np.array([0.04, 0.02])) == pytest.approx(0.1 / np.sqrt(0.03))
    assert standard_gain(np.zeros(3)) == 1.0
    assert standard_gain(np.zeros(0)) == 1.0


def test_the_pitch_of_a_glide() -> None:
    sound, f0 = glide(2.0)
    found = analyse([sound])
    inner = np.arange(4, len(sound) // HOP - 4)
    np.testing.assert_allclose(np.exp(found.log_f0[inner]), f0[inner * HOP], rtol=0.03)
    assert found.voicing[inner].min() > 0.5
    assert found.log_f0_mean == pytest.approx(np.log(f0).mean(), abs=0.02)
    assert found.log_f0_std == pytest.approx(np.log(f0).std(), abs=0.02)


@pytest.mark.parametrize("samples", [4800, 5119, 5120, 5121])
def test_there_is_a_value_at_every_frame_boundary(samples: int) -> None:
    found = analyse([glide(0.5)[0][:samples]])
    assert found.samples == samples
    assert len(found.log_f0) == len(found.voicing)
    # The last boundary lies at the end or less than a frame beyond it.
    assert samples <= HOP * (len(found.log_f0) - 1) < samples + HOP


def test_the_pitch_runs_straight_across_a_pause() -> None:
    found = continuous_log_f0(pitch((100, 0.9), (77, 0.1), (555, 0.2), (66, 0.0), (160, 0.9)))
    octaves = np.log2(1.6) * np.array([0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(np.exp(found), 100 * 2**octaves, rtol=1e-5)


def test_the_pitch_is_held_at_both_ends() -> None:
    found = continuous_log_f0(pitch((500, 0.1), (120, 0.9), (130, 0.9), (60, 0.4), (70, 0.4)))
    np.testing.assert_allclose(np.exp(found), [120, 120, 130, 130, 130], rtol=1e-5)


@pytest.mark.parametrize("error", [260.0, 55.0])
def test_an_octave_error_is_dropped(error: float) -> None:
    found = continuous_log_f0(pitch((120, 0.9), (120, 0.9), (error, 0.9), (120, 0.9), (121, 0.9)))
    np.testing.assert_allclose(np.exp(found), 120, rtol=0.01)


def test_a_leap_of_less_than_an_octave_stays() -> None:
    found = continuous_log_f0(pitch((120, 0.9), (120, 0.9), (220, 0.9), (120, 0.9)))
    assert np.exp(found[2]) == pytest.approx(220, rel=1e-5)


@pytest.mark.parametrize("size", [100, 256, 3333, 16000])
def test_blocks_of_any_size_tell_the_same(size: int) -> None:
    sound = np.concatenate([glide(1.0)[0], np.zeros(5000, np.float32), glide(0.7)[0][:10001]])
    blocks = [sound[start : start + size] for start in range(0, len(sound), size)]
    same(analyse(blocks), analyse([sound]))


def test_empty_blocks_change_nothing() -> None:
    sound, nothing = glide(0.5)[0], np.zeros(0, np.float32)
    same(analyse([nothing, sound[:5000], nothing, sound[5000:]]), analyse([sound]))


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_without_a_voice_the_pitch_is_a_steady_150_hz(level: float) -> None:
    sound = np.random.default_rng(0).normal(0, level, 16000).astype(np.float32)
    found = analyse([sound])
    assert (found.log_f0_mean, found.log_f0_std) == (0.0, 0.0)
    np.testing.assert_allclose(np.exp(found.log_f0), 150, rtol=1e-5)
    assert found.voicing.max() < 0.5
    assert np.isfinite(found.gain)


def test_voicing_is_held_beyond_the_end() -> None:
    found = analyse([glide(0.5)[0]])
    held = found.voicing_from(len(found.voicing) - 2, 5)
    assert held.tolist() == [*found.voicing[-2:], *[found.voicing[-1]] * 3]
    assert found.voicing_from(3, 4).tolist() == found.voicing[3:7].tolist()


def test_a_quiet_microphone_is_heard_like_a_loud_one(corpus: Path) -> None:
    samples = read(next((corpus / "vctk" / "p225").glob("*.flac")), 16000).samples.numpy()
    loud, quiet = analyse([samples]), analyse([samples * np.float32(0.005)])
    assert quiet.gain == pytest.approx(200 * loud.gain, rel=1e-4)
    assert np.mean((quiet.voicing > 0.5) == (loud.voicing > 0.5)) > 0.99
