"""Noise is turned down and speech stays; what is missing is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from timbrel.audio import io
from timbrel.audio.condition import assess
from timbrel.audio.denoise import denoised
from timbrel.audio.io import Waveform
from timbrel.errors import ConfigError


def test_speech_stands_farther_above_the_noise(demo_pair: tuple[Path, Path]) -> None:
    pytest.importorskip("noisereduce")
    speech = io.read(demo_pair[0], 16000).samples
    noise = torch.randn(len(speech), generator=torch.Generator().manual_seed(0))
    noisy = Waveform(speech + noise * speech.square().mean().sqrt() * 10 ** (-10 / 20), 16000)
    clean = denoised(noisy)
    assert clean.sample_rate == 16000
    assert (clean.samples.dtype, clean.samples.shape) == (torch.float32, speech.shape)
    before, after = assess(noisy), assess(clean)
    assert before.snr_db < 15.0 < after.snr_db
    assert after.speech_seconds > 0.7 * before.speech_seconds


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "noisereduce", None)
    with pytest.raises(ConfigError, match=r"pip install 'timbrel\[denoise\]'\.$"):
        denoised(Waveform(torch.zeros(16000), 16000))
