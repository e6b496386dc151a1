"""What a conversion gives: samples, and figures about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from timbrel.audio import io
from timbrel.audio.io import Waveform


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds spent: reading the source the first time, converting, and both."""

    analysis: float
    conversion: float

    @property
    def total(self) -> float:
        return self.analysis + self.conversion


@dataclass(frozen=True, slots=True)
class Summary:
    """One conversion in numbers: seconds of audio, RMS level, seconds it took, and their quotient."""

    seconds: float
    level_dbfs: float
    elapsed: float

    @property
    def real_time_factor(self) -> float:
        """Seconds of computing for a second of audio; below 1 is faster than real time."""
        return self.elapsed / self.seconds


@dataclass(frozen=True, slots=True)
class Report:
    """A conversion judged by the model's own speaker encoder; similarities are cosines."""

    similarity_to_target: float
    similarity_to_source: float
    seconds: float
    level_dbfs: float
    real_time_factor: float


@dataclass(frozen=True, slots=True)
class Conversion:
    """Converted speech: `waveform` (T,) at `sample_rate` Hz."""

    waveform: Tensor
    sample_rate: int
    timings: Timings
    summary: Summary
    metadata: Mapping[str, str]

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Writes the audio, marked as synthetic; see `audio.io.write` for what is refused."""
        io.write(path, Waveform(self.waveform, self.sample_rate), force=force, metadata=self.metadata)
