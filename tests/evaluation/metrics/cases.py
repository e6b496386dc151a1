"""Cases and recordings that tests of metrics make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


@dataclass(frozen=True, slots=True)
class Given:
    """What a metric reads of a case."""

    source: Path
    target: Path
    converted: Path
    text: str | None = None
    parallel: Path | None = None
    language: str | None = None


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def sung(contour: np.ndarray, seconds: float) -> np.ndarray:
    """Twelve harmonics that follow a contour in Hz, given at equal distances."""
    time = np.arange(int(seconds * RATE)) / RATE
    f0 = np.interp(time, np.linspace(0, seconds, len(contour)), contour)
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    return sum(0.3 / number * np.sin(number * phase) for number in range(1, 13)).astype(np.float32) * 0.5
