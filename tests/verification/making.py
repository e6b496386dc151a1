"""Made-up trials: vectors around a direction for each speaker, without any audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from timbrel.verification.hearing import Vectors
from timbrel.verification.trials import Trials


def voices(
    speakers: int, each: int = 5, spread: float = 0.6, dimension: int = 16, seed: int = 0
) -> tuple[Trials, Vectors]:
    """Every pair of so many recordings of so many speakers; a larger spread makes them harder to tell."""
    random = np.random.default_rng(seed)
    centres = np.repeat(random.standard_normal((speakers, dimension)), each, axis=0)
    values = centres + spread * random.standard_normal(centres.shape)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    names = tuple(f"s{number:04d}" for number in range(speakers))
    numbers = np.repeat(np.arange(speakers, dtype=np.int32), each)
    paths = tuple(Path(names[number]) / f"{place}.wav" for place, number in enumerate(numbers))
    contents = tuple(f"{place:064x}" for place in range(len(paths)))
    return Trials(paths, numbers, names), Vectors(values.astype(np.float32), contents, {}, 0)
