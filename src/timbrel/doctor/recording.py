"""What is wrong with a recording before any network hears it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from timbrel.analysis import opening
from timbrel.audio import condition, decode, pitch
from timbrel.audio.condition import Condition
from timbrel.audio.io import Waveform
from timbrel.audio.loudness import integrated_loudness, level_gain, peak_dbfs
from timbrel.audio.resample import resample
from timbrel.doctor.spectrum import wall
from timbrel.errors import AudioError

#: Of a longer recording the beginning is listened to.
MAX_SECONDS = 60.0
_SILENCE_DB = -50.0
#: Neighbouring samples so far apart went over the end of the integers.
_WRAP = 1.7
#: Hz between which the median pitch of speaking voices lies.
LOWEST_PITCH, HIGHEST_PITCH = 62.0, 400.0
_USUAL_PITCH = 150.0
_GUESS_SECONDS = 10.0
#: Beyond this no scale that anybody uses can be meant, and figures overflow.
_NO_SCALE = 1e12
#: Usual sample rates, Hz.
RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording and what was measured of its first minute.

    Fields:
        waveform: at the file's own rate, channels averaged.
        finite: whether all samples are numbers; if not, nothing else is measured.
        condition: none where there is nothing to hear, or it is louder than any scale makes it.
        peak_dbfs, loudness_lufs: of the channels' mean.
        largest: magnitude of any sample of any channel.
        channel_correlation: smallest between the first channel and another; 1 for one channel.
        channel_balance_db: level of the loudest channel over the softest.
        wraps: jumps over the end of the integers.
        soft_share: 0..1, of frames more than 50 dB below the loudest.
        wall_hz: where the spectrum ends as if cut off, if it does.
        pitch_hz: median where there is voice, 0 without.
        true_rate: Hz at which it would be speech, if at its own rate it is not.
    """

    path: Path
    sample_rate: int
    channels: int
    waveform: Waveform
    finite: bool = True
    condition: Condition | None = None
    peak_dbfs: float = 0.0
    loudness_lufs: float = 0.0
    largest: float = 0.0
    channel_correlation: float = 1.0
    channel_balance_db: float = 0.0
    wraps: int = 0
    soft_share: float = 0.0
    wall_hz: float | None = None
    pitch_hz: float = 0.0
    true_rate: int | None = None


def listen(path: Path) -> Recording:
    """Measures the beginning of a recording, however bad it is.

    Raises:
        AudioError: there is no such file, or it is no audio.
    """
    info = decode.probe(path)
    channels = _beginning(info)
    mono = channels.mean(axis=1)
    waveform = Waveform(torch.from_numpy(mono), info.sample_rate)
    largest = float(np.abs(channels).max(initial=0.0))
    if not np.isfinite(largest):
        return Recording(path, info.sample_rate, info.channels, waveform, finite=False)
    if largest == 0.0 or largest > _NO_SCALE or not mono.any():
        return Recording(path, info.sample_rate, info.channels, waveform, largest=largest)
    correlation, balance = _channels(channels)
    found = condition.assess(waveform)
    median = _median_pitch(mono, info.sample_rate)
    return Recording(
        path,
        info.sample_rate,
        info.channels,
        waveform,
        condition=found,
        peak_dbfs=peak_dbfs(mono),
        loudness_lufs=integrated_loudness(mono, info.sample_rate),
        largest=largest,
        channel_correlation=correlation,
        channel_balance_db=balance,
        wraps=int((np.abs(np.diff(channels, axis=0)) > _WRAP).sum()),
        soft_share=_soft_share(mono, info.sample_rate),
        wall_hz=wall(mono, info.sample_rate),
        pitch_hz=median,
        true_rate=_true_rate(waveform, found, median),
    )


def _beginning(info: decode.AudioInfo) -> np.ndarray:
    """(L, channels) of the first minute."""
    nothing = np.zeros((0, info.channels), dtype=np.float32)
    heard = opening(chain([nothing], decode.blocks(info)), round(MAX_SECONDS * info.sample_rate))
    if not len(heard):
        raise AudioError(f"{info.path} holds no samples; record or export it again.")
    return heard


def _channels(channels: np.ndarray) -> tuple[float, float]:
    """Smallest correlation with the first channel, and the balance in dB."""
    if channels.shape[1] == 1:
        return 1.0, 0.0
    centred = channels - channels.mean(axis=0)
    power = np.square(centred, dtype=np.float64).mean(axis=0)
    products = (centred[:, :1].astype(np.float64) * centred).mean(axis=0)
    correlations = products / np.sqrt(np.maximum(power[0] * power, 1e-20))
    balance = 10 * np.log10(max(power.max(), 1e-12) / max(power.min(), 1e-12))
    return float(correlations[1:].min()), float(balance)


def _soft_share(samples: np.ndarray, sample_rate: int) -> float:
    size = max(1, round(0.025 * sample_rate))
    count = max(1, len(samples) // size)
    power = np.square(np.resize(samples, count * size).reshape(count, size)).mean(axis=1)
    return float((power < power.max() * 10 ** (_SILENCE_DB / 10)).mean())


def _median_pitch(samples: np.ndarray, sample_rate: int) -> float:
    """Hz; 0 where nothing is voiced."""
    at_16k = resample(samples, sample_rate, pitch.SAMPLE_RATE)
    tracked = pitch.track(at_16k * np.float32(level_gain(at_16k, pitch.SAMPLE_RATE)))
    return float(np.median(tracked.f0[tracked.voiced])) if tracked.voiced.any() else 0.0


def _true_rate(waveform: Waveform, found: Condition, median: float) -> int | None:
    """A usual rate at which it would be speech of a usual pitch; none if it is at its own."""
    if found.speech_seconds > 0 and LOWEST_PITCH <= median <= HIGHEST_PITCH:
        return None
    usual = {}
    for rate in _candidates(waveform.sample_rate):
        samples = waveform.samples[: round(_GUESS_SECONDS * rate)]
        guess = _median_pitch(samples.numpy(), rate)
        if 85.0 <= guess <= 260.0:
            heard = condition.assess(Waveform(samples, rate))
            if heard.speech_seconds > 0.5 * heard.seconds:
                usual[rate] = abs(np.log(guess / _USUAL_PITCH))
    return min(usual, key=lambda rate: usual[rate]) if usual else None


def _candidates(sample_rate: int) -> Iterator[int]:
    return (rate for rate in RATES if rate != sample_rate and 0.15 < rate / sample_rate < 6.5)
