"""Recordings in and out: one way to read, whole or as a stream, and one way to write.

Everything that can be wrong with a recording is found here and refused in one sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from timbrel.audio import decode
from timbrel.audio.decode import AudioInfo, probe
from timbrel.audio.encode import (
    METADATA_FIELDS,
    AudioWriter,
    check_output,
    read_metadata,
    synthetic_metadata,
)
from timbrel.audio.resample import ResampleStream
from timbrel.errors import AudioError

__all__ = [
    "METADATA_FIELDS",
    "AudioInfo",
    "AudioWriter",
    "Waveform",
    "check_output",
    "check_waveform",
    "probe",
    "read",
    "read_metadata",
    "stream",
    "synthetic_metadata",
    "write",
]

MIN_SECONDS = 0.3
#: What is read at once must fit in memory; longer recordings are streamed.
MAX_READ_SECONDS = 4 * 3600
#: A recording whose peak lies below this (-80 dBFS) is silent.
SILENCE_PEAK = 1e-4
#: Float files may exceed full scale a little; beyond this they are scaled wrongly.
MAX_PEAK = 16.0


@dataclass(frozen=True, slots=True)
class Waveform:
    """Mono audio: `samples` (T,) float32, nominally within [-1, 1], at `sample_rate` Hz."""

    samples: Tensor
    sample_rate: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / self.sample_rate


def read(path: str | Path, sample_rate: int | None = None) -> Waveform:
    """Reads a whole recording: channels averaged, resampled if a rate in Hz is given.

    Raises:
        AudioError: if it cannot be used; see `stream`. Also beyond four hours.
    """
    info = probe(path)
    if info.duration > MAX_READ_SECONDS:
        raise AudioError(
            f"{path} lasts {info.duration / 3600:.1f} hours, too much to hold in memory; "
            "convert it from file to file, or cut it."
        )
    rate = sample_rate or info.sample_rate
    samples = np.concatenate(list(_mono(_usable(info), rate)))
    return Waveform(torch.from_numpy(samples), rate)


def stream(
    recording: str | Path | AudioInfo, sample_rate: int, block_seconds: float = 10.0
) -> Iterator[np.ndarray]:
    """Reads a recording, or what `probe` found of it, in blocks (n,) float32 of `block_seconds`, the last one
    shorter.

    Joined, the blocks are bit for bit what `read` gives; only about one is held in memory. What the
    header tells is checked at the call, the rest as the blocks are read.

    Raises:
        AudioError: if there is no such file, it is not audio, empty, shorter than 0.3 s, truncated
            or damaged, of an absurd rate, channel count or length, silent throughout, or has
            samples that are not finite or far beyond full scale.
    """
    info = recording if isinstance(recording, AudioInfo) else probe(recording)
    return _regroup(_mono(_usable(info), sample_rate), max(1, round(block_seconds * sample_rate)))


def write(
    path: str | Path, waveform: Waveform, *, force: bool = False, metadata: Mapping[str, str] | None = None
) -> None:
    """Writes a waveform in the format of the suffix; see `AudioWriter`, also for errors."""
    with AudioWriter(path, waveform.sample_rate, force=force, metadata=metadata) as writer:
        writer.write(waveform.samples.detach().cpu())


def check_waveform(waveform: Waveform) -> None:
    """Refuses in memory what `stream` refuses in a file.

    Raises:
        AudioError: if its rate cannot be used, it is shorter than 0.3 s, silent throughout, or has samples
            that are not finite or far beyond full scale.
    """
    name, samples = "The waveform", waveform.samples.detach().cpu().numpy()
    decode.check_rate(name, waveform.sample_rate)
    _require_length(name, waveform.duration)
    _check_samples(name, samples)
    _require_sound(name, float(np.abs(samples).max()))


def _usable(info: AudioInfo) -> AudioInfo:
    _require_length(info.path, info.duration)
    return info


def _require_length(name: Path | str, duration: float) -> None:
    if duration < MIN_SECONDS:
        raise AudioError(
            f"{name} lasts {duration:.2f} s; at least {MIN_SECONDS} s are needed, so record more."
        )


def _require_sound(name: Path | str, peak: float) -> None:
    if peak < SILENCE_PEAK:
        raise AudioError(
            f"{name} is silent throughout, its channels averaged; check the microphone or the export."
        )


def _mono(info: AudioInfo, sample_rate: int) -> Iterator[np.ndarray]:
    """Checked, averaged and resampled blocks of any length, some of them empty."""
    resampler = ResampleStream(info.sample_rate, sample_rate)
    peak = 0.0
    for block in decode.blocks(info):
        _check_samples(info.path, block)
        mono = block.mean(axis=1)
        peak = max(peak, float(np.abs(mono).max(initial=0.0)))
        yield resampler.push(mono)
    _require_sound(info.path, peak)
    yield resampler.push(np.zeros(0, dtype=np.float32), last=True)


def _check_samples(path: Path | str, block: np.ndarray) -> None:
    peak = float(np.abs(block).max(initial=0.0))  # NaN if any sample is
    if not np.isfinite(peak):
        raise AudioError(f"{path} has samples that are not finite numbers; export it again.")
    if peak > MAX_PEAK:
        raise AudioError(
            f"{path} has samples of {peak:,.0f} where full scale is 1; it was scaled wrongly, "
            "so export it again."
        )


def _regroup(pieces: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same samples in blocks of `size`, the last one shorter."""
    held: list[np.ndarray] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        if count >= size:
            joined = np.concatenate(held)
            full = count // size * size
            yield from joined[:full].reshape(-1, size)
            held, count = [joined[full:]], count % size
    if count:
        yield np.concatenate(held)
