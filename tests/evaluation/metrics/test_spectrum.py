"""Mel-cepstral distortion by hand: 10 / ln 10 * sqrt 2 = 6.14185 dB for one coefficient that differs by 1."""

from __future__ import annotations

import math
from pathlib import Path

import librosa
import numpy as np
import pytest

from timbrel.evaluation.metrics.recordings import hear, spoken
from timbrel.evaluation.metrics.spectrum import distortion, spectrum

from .cases import RATE, Given, sung, write


def test_one_coefficient_that_differs_by_one() -> None:
    first = np.zeros((3, 24))
    second = first.copy()
    second[:, 4] = 1.0
    assert distortion(first, second) == pytest.approx(6.14185, abs=1e-4)


def test_differences_in_several_coefficients_add_as_squares() -> None:
    first, second = np.zeros((2, 24)), np.zeros((2, 24))
    second[:, 0], second[:, 1] = 0.3, 0.4
    assert distortion(first, second) == pytest.approx(6.14185 * 0.5, abs=1e-4)


def test_the_mean_is_over_the_path_and_a_frame_held_longer_costs_nothing() -> None:
    rng = np.random.default_rng(1)
    frames = rng.normal(size=(5, 24))
    assert distortion(frames, np.repeat(frames, 3, axis=0)) == pytest.approx(0, abs=1e-5)
    # Two frames of which one is off by 1, on a path of two cells.
    pair = np.stack([np.zeros(24), np.full(24, 9.0)])
    moved = pair.copy()
    moved[1, 0] += 1.0
    assert distortion(pair, moved) == pytest.approx(6.14185 / 2, abs=1e-4)


def test_without_a_parallel_recording_there_is_no_figure(tmp_path: Path) -> None:
    path = write(tmp_path / "one.wav", sung(np.array([150.0, 150.0]), 0.6))
    assert math.isnan(spectrum("", False).measure(Given(path, path, path))["mcd"])


def test_a_quieter_copy_in_silence_is_hardly_distorted_and_another_vowel_is(tmp_path: Path) -> None:
    tone = sung(np.array([150.0, 180.0]), 1.0) + np.random.default_rng(0).normal(0, 1e-3, RATE)
    silence = np.zeros(RATE // 2)
    path = write(tmp_path / "tone.wav", tone)
    later = write(tmp_path / "later.wav", np.concatenate([silence, 0.5 * tone, silence]))
    dull = np.convolve(tone, np.ones(8) / 8, "same")  # a low-pass at about 1 kHz
    other = write(tmp_path / "other.wav", dull)
    metric = spectrum("", False)
    assert metric.measure(Given(path, path, later, parallel=path))["mcd"] < 1.5
    assert metric.measure(Given(path, path, other, parallel=path))["mcd"] > 3


def test_silence_is_cut_off_at_both_ends_only() -> None:
    loud, silent = np.ones(4000, np.float32), np.zeros(8000, np.float32)
    kept = spoken(np.concatenate([silent, loud, silent, loud, silent]))
    assert abs(len(kept) - 16000) < 1100  # the level is taken over 32 ms
    assert len(spoken(np.zeros(500))) == 500


def test_silence_is_cut_off_where_librosa_cuts_it_off(demo_pair: tuple[Path, Path]) -> None:
    samples = np.pad(hear(demo_pair[0]), (9000, 5000))
    wanted, _ = librosa.effects.trim(samples, top_db=40, frame_length=512, hop_length=128)
    np.testing.assert_array_equal(spoken(samples), wanted)
