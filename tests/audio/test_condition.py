"""Situations made on purpose, and what the figures say of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import torch

from timbrel.audio.condition import Condition, assess, require_speech, warnings
from timbrel.audio.io import Waveform, read
from timbrel.errors import AudioError


def condition_of(samples: np.ndarray, rate: int = 16000) -> Condition:
    return assess(Waveform(torch.from_numpy(samples.astype(np.float32)), rate))


def white_noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(samples)


def low_passed(samples: np.ndarray, cutoff: float) -> np.ndarray:
    return scipy.signal.sosfilt(scipy.signal.cheby2(12, 80, cutoff, fs=16000, output="sos"), samples)


def test_a_clean_voice_draws_no_warning_but_its_length(voice: np.ndarray) -> None:
    found = condition_of(np.tile(voice, 2))
    assert warnings(found) == []
    assert found.seconds == 6.0
    assert 3.0 < found.speech_seconds < 5.0  # buzzes of 1/3 s, pauses of 1/3 s, consonants' reach
    assert found.snr_db > 40


def test_real_speech_is_mostly_speech(corpus: Path) -> None:
    found = assess(read(corpus / "vctk" / "p226" / "p226_003.flac"))
    assert found.speech_seconds > 0.6 * found.seconds
    assert warnings(found) == []


@pytest.mark.parametrize("snr", [5.0, 10.0, 20.0, 30.0])
def test_noise_of_known_level(voice: np.ndarray, snr: float) -> None:
    loud = np.convolve(np.abs(voice), np.ones(400) / 400, mode="same") > 0.01
    level = np.sqrt(np.mean(voice[loud] ** 2)) * 10 ** (-snr / 20)
    found = condition_of(voice + level * white_noise(len(voice)))
    assert found.snr_db == pytest.approx(snr, abs=3)
    assert any("noisy" in sentence for sentence in warnings(found)) == (snr < 15)


@pytest.mark.parametrize("later_gain", [1.0, 0.3])
def test_clipping_is_seen_even_if_turned_down_later(voice: np.ndarray, later_gain: float) -> None:
    clipped = np.clip(15 * voice, -1, 1)
    truly = np.mean(np.abs(15 * voice) >= 1)
    found = condition_of(clipped * later_gain)
    assert truly > 0.01
    assert found.clipped_share == pytest.approx(truly, rel=0.3)
    assert any(
        "clipped" in sentence and f"{found.clipped_share:.1%}" in sentence for sentence in warnings(found)
    )


def test_a_peak_at_full_scale_is_not_clipping(voice: np.ndarray) -> None:
    assert condition_of(voice / np.abs(voice).max()).clipped_share < 0.001


def test_telephone_band(voice: np.ndarray) -> None:
    found = condition_of(low_passed(voice, 4000))
    assert 3000 < found.bandwidth_hz < 4200
    assert any("narrow-band" in sentence for sentence in warnings(found))
    assert condition_of(voice + 1e-3 * white_noise(len(voice))).bandwidth_hz > 7500


def test_mostly_silence(voice: np.ndarray) -> None:
    padded = np.concatenate([np.zeros(16000 * 12), voice])
    found = condition_of(padded)
    assert found.silence_share > 0.8
    assert found.speech_seconds == pytest.approx(condition_of(voice).speech_seconds, abs=0.3)
    assert any("mostly silence" in sentence for sentence in warnings(found))


def test_offset_and_level(voice: np.ndarray) -> None:
    found = condition_of(voice + 0.05)
    assert found.dc_offset == pytest.approx(0.05, abs=1e-3)
    assert any("DC offset of 0.05" in sentence for sentence in warnings(found))
    half, whole = condition_of(voice / 2).level_dbfs, condition_of(voice).level_dbfs
    assert whole - half == pytest.approx(6.02, abs=0.01)


def test_too_little_speech_is_said_with_its_length(voice: np.ndarray) -> None:
    found = condition_of(voice[:16000])
    assert any(f"{found.speech_seconds:.2f} s of speech" in sentence for sentence in warnings(found))


def test_the_rate_of_the_file_does_not_matter(voice: np.ndarray) -> None:
    as_16k = condition_of(voice)
    as_48k = condition_of(scipy.signal.resample(voice, 3 * len(voice)), 48000)
    assert as_48k.speech_seconds == pytest.approx(as_16k.speech_seconds, abs=0.1)
    assert as_48k.bandwidth_hz == pytest.approx(as_16k.bandwidth_hz, abs=200)


TIME = np.arange(32000) / 16000
NO_SPEECH = {
    "silence": np.zeros(32000),
    "noise": 0.1 * white_noise(32000),
    "tone": 0.3 * np.sin(2 * np.pi * 220 * TIME),
    "tone burst in faint noise": np.where((TIME > 0.5) & (TIME < 1), 0.3 * np.sin(2 * np.pi * 300 * TIME), 0)
    + 0.003 * white_noise(32000),
    "mains hum": 0.1 * np.sign(np.sin(2 * np.pi * 100 * TIME)),
    "click": np.eye(1, 32000, 9000)[0],
    "one sample": np.array([0.1]),
}


@pytest.mark.parametrize("name", NO_SPEECH)
def test_what_nobody_spoke_is_refused(name: str) -> None:
    found = condition_of(NO_SPEECH[name])
    assert found.speech_seconds == 0
    with pytest.raises(AudioError, match=r"reference\.wav holds 0\.0 s of speech"):
        require_speech(found, "reference.wav")


def test_speech_is_let_through(voice: np.ndarray) -> None:
    require_speech(condition_of(voice), "reference.wav")
