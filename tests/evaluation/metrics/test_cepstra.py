"""Cepstra and alignment against spectra made by hand, and librosa's dynamic time warping."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from timbrel.evaluation.metrics import cepstra
from timbrel.evaluation.metrics.cepstra import dynamic_time_warping, mel_cepstra


def test_the_first_cosine_in_the_log_mel_has_a_cepstrum_of_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    bands = torch.arange(40) + 0.5
    log_mel = 3.0 + 0.7 * torch.cos(torch.pi * 2 * bands / 40) - 0.2 * torch.cos(torch.pi * 5 * bands / 40)
    monkeypatch.setattr(cepstra, "_front_end", lambda hop: lambda samples: log_mel[None, None])
    found = mel_cepstra(np.zeros(10, np.float32), 6, 160)
    np.testing.assert_allclose(found, [[0, 0.7, 0, 0, -0.2, 0]], atol=1e-6)


def test_frames_begin_with_the_recording() -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    assert mel_cepstra(samples, 12, 160).shape == (101, 12)


def test_a_path_by_hand() -> None:
    # The cheap cells lead down, along the diagonal, and right.
    table = np.array([[0, 9, 9, 9], [0, 9, 9, 9], [9, 0, 9, 9], [9, 9, 0, 0]], dtype=float)
    found = dynamic_time_warping(table)
    assert found is not None
    assert found.tolist() == [[0, 0], [1, 0], [2, 1], [3, 2], [3, 3]]


@pytest.mark.parametrize(
    ("rows", "columns", "sideways"), [(30, 30, 0.0), (25, 40, 0.0), (60, 31, 0.3), (1, 7, 0.0)]
)
def test_paths_are_those_of_librosa(rows: int, columns: int, sideways: float) -> None:
    table = np.random.default_rng(rows).random((rows, columns))
    found = dynamic_time_warping(table, sideways=sideways)
    _, path = librosa.sequence.dtw(C=table, weights_add=np.array([0.0, sideways, sideways]))
    assert found is not None
    np.testing.assert_array_equal(found, path[::-1])


def test_a_band_keeps_the_path_near_the_diagonal() -> None:
    table = np.ones((50, 50))
    table[:, 0] = table[-1, :] = 0  # the cheapest way runs along the edges
    found = dynamic_time_warping(table, band=0.1)
    assert found is not None
    assert np.abs(found[:, 0] - found[:, 1]).max() == 4


def test_what_cannot_be_aligned_has_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dynamic_time_warping(np.ones((1, 30)), band=0.2) is None
    assert dynamic_time_warping(np.ones((0, 3))) is None
    monkeypatch.setattr(cepstra, "MOST_PAIRS", 99)
    assert dynamic_time_warping(np.ones((10, 10))) is None
