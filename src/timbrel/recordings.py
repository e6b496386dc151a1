"""A recording as a caller may give it, a file or a waveform in memory: read, cut, measured, named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from timbrel.audio import decode, io
from timbrel.audio.io import AudioInfo, Waveform
from timbrel.audio.resample import resample
from timbrel.errors import AudioError

Recording = str | Path | Waveform


def shipped() -> tuple[Path, Path]:
    """The two recordings that come with the package, each of another person."""
    folder = Path(__file__).parent / "assets" / "demo"
    return folder / "first.flac", folder / "second.flac"


def looked_at(recording: Recording) -> Waveform | AudioInfo:
    """What `blocks` reads several times and looks at only once: a file that only ffmpeg reads is decoded for
    that.

    Raises:
        AudioError: a file cannot be read, see `audio.decode.probe`.
    """
    return recording if isinstance(recording, Waveform) else io.probe(recording)


def blocks(recording: Waveform | AudioInfo, sample_rate: int) -> Iterable[np.ndarray]:
    """Its samples at `sample_rate`, from the start at each iteration."""
    if isinstance(recording, Waveform):
        return [whole(recording, sample_rate).samples.numpy()]
    return _Blocks(recording, sample_rate)


def whole(waveform: Waveform, sample_rate: int) -> Waveform:
    """A waveform that someone gave, checked, at `sample_rate`.

    Raises:
        AudioError: it has more than one channel, or cannot be used; see `audio.io.check_waveform`.
    """
    samples = waveform.samples.detach().cpu().float()
    if samples.ndim != 1:
        raise AudioError(f"The waveform has the shape {tuple(samples.shape)}: give one channel, (samples,).")
    io.check_waveform(Waveform(samples, waveform.sample_rate))
    resampled = resample(samples.numpy(), waveform.sample_rate, sample_rate)
    return Waveform(torch.from_numpy(resampled), sample_rate)


def opening(recording: Recording, sample_rate: int, seconds: float) -> Waveform:
    """The first `seconds` of a recording, or all of a shorter one, mono, at `sample_rate`.

    Raises:
        AudioError: it cannot be read, or is no recording.
    """
    if isinstance(recording, Waveform):
        samples = whole(recording, sample_rate).samples[: int(seconds * sample_rate)]
    else:
        samples = torch.from_numpy(next(io.stream(recording, sample_rate, seconds)))
    return Waveform(samples, sample_rate)


def duration(recording: Recording) -> float:
    """Seconds, without reading all of a file.

    Raises:
        AudioError: it cannot be read, or has an impossible sample rate.
    """
    if isinstance(recording, Waveform):
        decode.check_rate("The waveform", recording.sample_rate)
        return recording.duration
    return io.probe(recording).duration


def name(recording: Recording) -> str:
    """What messages call it."""
    return "a waveform" if isinstance(recording, Waveform) else Path(recording).name


@dataclass(frozen=True, slots=True)
class _Blocks:
    info: AudioInfo
    rate: int

    def __iter__(self) -> Iterator[np.ndarray]:
        return io.stream(self.info, self.rate)
