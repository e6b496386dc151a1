"""The first pass over a source: what must be known of the whole before its first window is converted.

A recording of an hour is read in blocks; what is kept of it are a few numbers a frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from timbrel.audio.condition import FEW_SPEECH_SECONDS
from timbrel.audio.loudness import standard_gain
from timbrel.audio.pitch import HOP, SAMPLE_RATE, VOICED, Pitch, PitchStream, log_f0_statistics

_LEVEL_FRAME = 400  # samples at 16 kHz, 25 ms
#: Beyond an octave from the speaker's median a pitch is taken for an error of the tracker.
_OCTAVE = float(np.log(2.0))


@dataclass(frozen=True, slots=True)
class Analysis:
    """A whole recording at 16 kHz, seen once.

    Fields:
        samples: their number.
        gain: brings the recording to `STANDARD_LEVEL`.
        log_f0: ln(F0 / Hz) at samples 0, 256, ..., (T + 1,) float32, carried on where there is no voice.
        voicing: its probability, (T + 1,) float32.
        log_f0_mean, log_f0_std: over voiced frames; 0 where nothing is voiced.
    """

    samples: int
    gain: float
    log_f0: np.ndarray
    voicing: np.ndarray
    log_f0_mean: float
    log_f0_std: float

    @property
    def first_voiced_seconds(self) -> float:
        """Where the first voiced sound is; 0 if there is none."""
        return float(np.argmax(self.voicing > VOICED)) * HOP / SAMPLE_RATE

    def log_f0_from(self, first: int, frames: int) -> np.ndarray:
        """`frames` values from frame `first` on, the last one held beyond the end."""
        return _lengthen(self.log_f0[first : first + frames], frames)

    def voicing_from(self, first: int, frames: int) -> np.ndarray:
        """`frames` values from frame `first` on, the last one held beyond the end."""
        return _lengthen(self.voicing[first : first + frames], frames)


def first_speech_frame(analysis: Analysis) -> int:
    """Where `first_speech` begins."""
    latest = max(0.0, analysis.samples / SAMPLE_RATE - FEW_SPEECH_SECONDS)
    return int(min(analysis.first_voiced_seconds, latest) * SAMPLE_RATE + 0.5) // HOP


def first_speech(
    analysis: Analysis, blocks: Iterable[np.ndarray], sample_rate: int, seconds: float
) -> np.ndarray:
    """At most so many seconds of the recording that was analysed, from its first voiced sound, (L,).

    Where that is near the end they begin earlier, at `FEW_SPEECH_SECONDS` before it. `blocks` are at
    `sample_rate`; no more of them is read than is needed.
    """
    skip = round(first_speech_frame(analysis) * HOP / SAMPLE_RATE * sample_rate)
    return opening(_without(blocks, skip), round(seconds * sample_rate))


def opening(blocks: Iterable[np.ndarray], samples: int) -> np.ndarray:
    """The first so many samples of a recording, or all of a shorter one, (L,) or (L, channels)."""
    heard, count = list[np.ndarray](), 0
    for block in blocks:
        heard.append(block)
        count += len(block)
        if count >= samples:
            break
    return np.concatenate(heard)[:samples]


def _without(blocks: Iterable[np.ndarray], skip: int) -> Iterator[np.ndarray]:
    """The blocks but for the first `skip` samples."""
    for block in blocks:
        yield block[skip:]
        skip = max(0, skip - len(block))


def analyse(blocks: Iterable[np.ndarray]) -> Analysis:
    """Measures a recording at 16 kHz, given as consecutive blocks.

    It is read twice, so `blocks` must begin anew at each iteration, as a list does: the tracker takes quiet
    speech for unvoiced, so pitch is tracked at `STANDARD_LEVEL`, which must be known first.
    """
    samples, gain = _level(blocks)
    pitch = _track(blocks, gain)
    mean, std = log_f0_statistics(pitch)
    frames = 1 + -(-samples // HOP)
    return Analysis(
        samples=samples,
        gain=gain,
        log_f0=_lengthen(continuous_log_f0(pitch), frames),
        voicing=_lengthen(pitch.voicing, frames),
        log_f0_mean=mean,
        log_f0_std=std,
    )


def _level(blocks: Iterable[np.ndarray]) -> tuple[int, float]:
    """Number of samples, and gain to the standard level."""
    energies, samples, rest = [], 0, np.zeros(0, dtype=np.float32)
    for block in blocks:
        samples += len(block)
        joined = np.concatenate([rest, block])
        whole = len(joined) // _LEVEL_FRAME * _LEVEL_FRAME
        energies.append(np.square(joined[:whole].reshape(-1, _LEVEL_FRAME)).mean(axis=1))
        rest = joined[whole:]
    return samples, standard_gain(np.concatenate(energies))


def _track(blocks: Iterable[np.ndarray], gain: float) -> Pitch:
    stream = PitchStream()
    parts = [stream.push(block * np.float32(gain)) for block in blocks]
    parts.append(stream.flush())
    return Pitch(
        np.concatenate([part.f0 for part in parts]), np.concatenate([part.voicing for part in parts])
    )


def continuous_log_f0(pitch: Pitch) -> np.ndarray:
    """ln(F0 / Hz), (T,), straight across what has no voice or is an octave error; 150 Hz if all has none."""
    log_f0 = np.log(np.maximum(pitch.f0, 1.0))
    trusted = pitch.voiced
    if trusted.any():
        trusted = trusted & (np.abs(log_f0 - np.median(log_f0[trusted])) < _OCTAVE)
    if not trusted.any():
        return np.full(len(log_f0), np.log(150.0), dtype=np.float32)
    places = np.flatnonzero(trusted)
    joined: np.ndarray = np.interp(np.arange(len(log_f0)), places, log_f0[places])
    return joined.astype(np.float32)


def _lengthen(frames: np.ndarray, count: int) -> np.ndarray:
    """(T,) -> (count,), the last value held."""
    held: np.ndarray = np.pad(frames, (0, max(0, count - len(frames))), mode="edge")
    return held[:count]
