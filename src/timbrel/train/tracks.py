"""What must be known of a whole clip when a piece of it is converted: its level and its pitch.

The same functions measure them here and in a conversion (`timbrel.analysis`), so a network meets in
use what it met in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from torch import Tensor

from timbrel.analysis import continuous_log_f0
from timbrel.audio.loudness import level_gain
from timbrel.audio.pitch import HOP, SAMPLE_RATE, Pitch, log_f0_statistics
from timbrel.corpora.prepared import read_index
from timbrel.errors import CorpusError
from timbrel.train.data import FULL_SCALE, Crops


@dataclass(frozen=True, slots=True)
class Track:
    """A clip at 16 kHz, in numbers.

    Fields:
        gain: to the standard level.
        log_f0: ln(F0 / Hz) at samples 0, 256, ..., carried on where there is no voice, (T,).
        voicing: its probability, (T,).
        log_f0_mean, log_f0_std: over voiced frames; 0 where nothing is voiced.
    """

    gain: float
    log_f0: np.ndarray
    voicing: np.ndarray
    log_f0_mean: float
    log_f0_std: float

    def at(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log-F0 and voicing at the samples (K,), straight between frames."""
        places, frames = samples / HOP, np.arange(len(self.log_f0))
        return np.interp(places, frames, self.log_f0), np.interp(places, frames, self.voicing)


class Tracks:
    """The tracks of a prepared corpus at 16 kHz, each read when it is first asked for, and kept."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files = {clip.id: clip.file for clip in read_index(root)}
        self._known: dict[str, Track] = {}

    def of(self, clips: Sequence[str]) -> list[Track]:
        """The tracks of the clips of those ids."""
        for clip in clips:
            if clip not in self._known:
                self._known[clip] = self._read(self.root / self._files[clip])
        return [self._known[clip] for clip in clips]

    def _read(self, path: Path) -> Track:
        try:
            with safe_open(path, framework="numpy") as file:
                audio, f0, voicing = (file.get_tensor(name) for name in ("audio", "f0", "voicing"))
        except (OSError, SafetensorError) as error:
            raise CorpusError(f"{path} is missing or damaged; prepare the corpus again.") from error
        gain = level_gain(audio.astype(np.float32) / FULL_SCALE, SAMPLE_RATE)
        pitch = Pitch(f0, voicing)
        mean, deviation = log_f0_statistics(pitch)
        return Track(gain, continuous_log_f0(pitch), voicing, mean, deviation)


def frame_places(crops: Crops, speeds: Tensor, frames: int) -> np.ndarray:
    """Samples of the clips at 16 kHz on which `frames` frames at 62.5 Hz are centred, (B, K).

    Frame k of a crop that is played r times as fast lies r * k frames after its start.
    """
    steps = speeds.cpu().numpy()[:, None] * np.arange(frames)
    places: np.ndarray = HOP * (crops.starts.cpu().numpy()[:, None] + steps)
    return places
