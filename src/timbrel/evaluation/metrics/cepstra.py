"""Mel cepstra, and bringing two utterances of the same words onto one time axis.

A cepstrum here is that of 40 mel bands: with S_k the magnitude in band k of N,

    c_m = 2/N * sum_k ln(S_k) * cos(pi * m * (k + 1/2) / N),   m = 1..M

so that ln(S) = mean + sum_m c_m cos(...), which is the scale of a minimum-phase cepstrum. c_0, the level, is
left out.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import torch

from timbrel.audio.mel import PRESETS, MelSpectrogram

#: Bands of the mel: wide enough that no band falls between two lines of the transform.
BANDS = 40
#: Longer utterances are not aligned: the table of all pairs of frames would fill the memory.
MOST_PAIRS = 64_000_000


def mel_cepstra(samples: np.ndarray, order: int, hop: int) -> np.ndarray:
    """(L,) at 16 kHz -> (T, order), T = 1 + L // hop; frame i lasts 32 ms about sample i * hop."""
    log_mel = _front_end(hop)(torch.from_numpy(samples)[None])[0].double().numpy()
    return np.asarray(log_mel @ _cosines(order))


def dynamic_time_warping(
    distances: np.ndarray, band: float = 1.0, sideways: float = 0.0
) -> np.ndarray | None:
    """The path of least total distance through a table (N, M), from its first to its last cell (Sakoe and
    Chiba 1978; steps of one in either or both directions, all of weight 1).

    Args:
        band: cells further from the diagonal than this share of either side are not entered.
        sideways: what a step in one direction only costs besides.

    Returns:
        (P, 2) indices in order, or None if the table is too large, or the band leaves no path.
    """
    rows, columns = distances.shape
    if not 0 < rows * columns <= MOST_PAIRS:
        return None
    totals = np.full((rows + 1, columns + 1), np.inf)
    totals[0, 0] = 0.0
    for diagonal in range(rows + columns - 1):
        row = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        column = diagonal - row
        near = np.abs(row / max(1, rows - 1) - column / max(1, columns - 1)) <= band
        row, column = row[near], column[near]
        beside = np.minimum(totals[row, column + 1], totals[row + 1, column]) + sideways
        before = np.minimum(totals[row, column], beside)
        totals[row + 1, column + 1] = distances[row, column] + before
    return _trace(totals, sideways) if np.isfinite(totals[-1, -1]) else None


def _trace(totals: np.ndarray, sideways: float) -> np.ndarray:
    """Back from the last cell to the first; of equals the diagonal."""
    row, column = totals.shape[0] - 1, totals.shape[1] - 1
    path = [(row - 1, column - 1)]
    while (row, column) != (1, 1):
        steps = ((row - 1, column - 1, 0.0), (row - 1, column, sideways), (row, column - 1, sideways))
        row, column, _ = min(steps, key=lambda step: float(totals[step[:2]]) + step[2])
        path.append((row - 1, column - 1))
    return np.array(path[::-1])


def cosine_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, D) and (M, D) -> (N, M), each value of a row brought to mean 0 and deviation 1 over time first."""
    one, other = (_unit(_standardised(frames)) for frames in (first, second))
    return np.asarray(1.0 - one @ other.T)


def _standardised(frames: np.ndarray) -> np.ndarray:
    return np.asarray((frames - frames.mean(axis=0)) / np.maximum(frames.std(axis=0), 1e-6))


def _unit(frames: np.ndarray) -> np.ndarray:
    return np.asarray(frames / np.maximum(np.linalg.norm(frames, axis=1, keepdims=True), 1e-9))


def _cosines(order: int) -> np.ndarray:
    """(BANDS, order)."""
    band, number = np.arange(BANDS)[:, None] + 0.5, np.arange(1, order + 1)
    return np.asarray(2.0 / BANDS * np.cos(np.pi * number * band / BANDS))


@cache
def _front_end(hop: int) -> MelSpectrogram:
    return MelSpectrogram(replace(PRESETS["timbrel-16k"], dim=BANDS, hop=hop))
