"""Real speech for the doctor's tests, and what is done to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from timbrel.audio.resample import resample

_DEMO = Path(__file__).parents[2] / "src" / "timbrel" / "assets" / "demo"
#: Both speakers, 24 kHz.
FIRST, SECOND = _DEMO / "first.flac", _DEMO / "second.flac"


def samples(rate: int = 16000, path: Path = FIRST) -> np.ndarray:
    """(T,) float32: the first five seconds of a shipped recording."""
    audio, own = soundfile.read(path, dtype="float32")
    audio = audio[: 5 * own]
    return np.clip(resample(audio, own, rate), -0.99, 0.99)


def write(path: Path, audio: np.ndarray, rate: int = 16000, subtype: str = "PCM_16") -> Path:
    """A WAV file of (T,) or (T, channels) samples."""
    soundfile.write(path, audio, rate, subtype=subtype)
    return path
