"""The condition of a recording, in numbers: how much speech, how clean, how wide a band.

What a conversion takes from a reference is only as good as the reference; these figures say where
it falls short, and `warnings` puts them into sentences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from timbrel.audio import pitch
from timbrel.audio.io import Waveform
from timbrel.audio.loudness import rms_dbfs, standard_gain
from timbrel.audio.resample import resample
from timbrel.errors import AudioError

#: Below this much speech there is no voice to learn, and `require_speech` refuses.
MIN_SPEECH_SECONDS = 0.3
#: Beyond these `warnings` speaks up.
FEW_SPEECH_SECONDS = 3.0
LOW_SNR_DB = 15.0
MUCH_CLIPPING = 0.001
NARROW_BAND_HZ = 5000.0
MUCH_SILENCE = 0.6
MUCH_DC = 0.005

#: Speech reaches as far as this above the noise, and the noise no lower than 16-bit rounding.
_SPEECH_ABOVE_NOISE_DB = 6.0
_POWER_FLOOR = 1e-10
#: Consonants around a voiced frame belong to the speech, this many frames (0.2 s) either way.
_REACH = 12
#: In speech, ln F0 varies over 11 frames by 0.02 and more (median); a tone stays below 0.002.
_STEADY = 0.005
#: The band ends where the average spectrum falls this far below its peak.
_BAND_FALL_DB = 55.0
_MAX_SPECTRA = 2000


@dataclass(frozen=True, slots=True)
class Condition:
    """Figures of one recording.

    Fields:
        seconds: duration.
        speech_seconds: how much of it is speech (voiced frames that move in pitch, and what
            surrounds them above the noise).
        silence_share: 0..1, what is not speech.
        snr_db: power of the speech over that of the quietest tenth, -20..100; 0 without speech.
        clipped_share: 0..1, samples in runs of three or more at the peak or at full scale.
        bandwidth_hz: where the average spectrum ends.
        dc_offset: mean sample.
        level_dbfs: RMS of the whole.
    """

    seconds: float
    speech_seconds: float
    silence_share: float
    snr_db: float
    clipped_share: float
    bandwidth_hz: float
    dc_offset: float
    level_dbfs: float


def assess(waveform: Waveform) -> Condition:
    """Measures a recording of any rate that has samples left at 16 kHz."""
    samples = waveform.samples.detach().cpu().numpy()
    at_16k = resample(samples, waveform.sample_rate, pitch.SAMPLE_RATE)
    power = _frame_power(at_16k - at_16k.mean(), max(1, len(at_16k) // pitch.HOP))
    # The tracker takes quiet speech for unvoiced, so it hears every recording at the same level.
    tracked = pitch.track(at_16k * np.float32(standard_gain(power)))
    noise = _noise_power(power)
    speech = _speech_frames(tracked, power, noise)
    share = float(speech.mean())
    return Condition(
        seconds=waveform.duration,
        speech_seconds=share * waveform.duration,
        silence_share=1.0 - share,
        snr_db=_snr(power[speech], noise),
        clipped_share=_clipped_share(samples),
        bandwidth_hz=_bandwidth(samples, waveform.sample_rate),
        dc_offset=float(samples.mean()),
        level_dbfs=rms_dbfs(samples),
    )


def warnings(condition: Condition) -> list[str]:
    """What is wrong with a reference, each in one sentence with its number; empty if nothing is."""
    found = [
        (
            condition.speech_seconds < FEW_SPEECH_SECONDS,
            f"It holds {condition.speech_seconds:.2f} s of speech; "
            f"the voice comes closer with {FEW_SPEECH_SECONDS:.0f} s or more.",
        ),
        (
            condition.speech_seconds > 0 and condition.snr_db < LOW_SNR_DB,
            f"It is noisy: speech is {condition.snr_db:.0f} dB above the noise, "
            f"where {LOW_SNR_DB:.0f} dB or more are wanted.",
        ),
        (
            condition.clipped_share > MUCH_CLIPPING,
            f"It is clipped: {condition.clipped_share:.1%} of the samples are cut off; "
            "record at a lower level.",
        ),
        (
            condition.bandwidth_hz < NARROW_BAND_HZ,
            f"It is narrow-band: nothing above {condition.bandwidth_hz / 1000:.1f} kHz, "
            f"where {NARROW_BAND_HZ / 1000:.0f} kHz or more are wanted.",
        ),
        (
            condition.silence_share > MUCH_SILENCE,
            f"It is mostly silence: {condition.silence_share:.0%} of its {condition.seconds:.1f} s "
            "hold no speech.",
        ),
        (
            abs(condition.dc_offset) > MUCH_DC,
            f"It has a DC offset of {condition.dc_offset:.3f}; a high-pass filter removes it.",
        ),
    ]
    return [sentence for applies, sentence in found if applies]


def require_speech(condition: Condition, name: str) -> None:
    """Refuses a recording without speech; `name` is what the message calls it.

    Raises:
        AudioError: if there are less than 0.3 s of speech.
    """
    if condition.speech_seconds < MIN_SPEECH_SECONDS:
        raise AudioError(
            f"{name} holds {condition.speech_seconds:.1f} s of speech in {condition.seconds:.1f} s; "
            f"at least {MIN_SPEECH_SECONDS} s are needed, so use a recording of somebody speaking."
        )


def _frame_power(samples: np.ndarray, frames: int) -> np.ndarray:
    """(L,) -> (frames,) mean squares of the tracker's hops."""
    padded = np.zeros(frames * pitch.HOP, dtype=np.float32)
    padded[: len(samples)] = samples[: len(padded)]
    return np.asarray(np.square(padded.reshape(frames, pitch.HOP)).mean(axis=1))


def _noise_power(power: np.ndarray) -> float:
    """Mean power of the quietest tenth of the frames, digital silence aside."""
    audible = np.sort(power[power > _POWER_FLOOR])
    return float(audible[: max(1, len(audible) // 10)].mean()) if len(audible) else _POWER_FLOOR


def _speech_frames(tracked: pitch.Pitch, power: np.ndarray, noise: float) -> np.ndarray:
    """(T,) bool: frames that are voiced, above the noise and move in pitch, and their surroundings."""
    threshold = noise * 10 ** (_SPEECH_ABOVE_NOISE_DB / 10)
    core = tracked.voiced & (power > threshold)
    if not core.any() or np.median(_pitch_movement(tracked.f0)[core]) < _STEADY:
        return np.zeros_like(core)
    near = np.convolve(core, np.ones(2 * _REACH + 1), mode="full")[_REACH:-_REACH] > 0
    around = near & (power > max(noise * 2, _POWER_FLOOR))
    return np.asarray(core | around)


def _pitch_movement(f0: np.ndarray) -> np.ndarray:
    """(T,) standard deviation of ln F0 over the 11 frames around each."""
    padded = np.pad(np.log(f0), 5, mode="edge")
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 11).std(axis=1))


def _snr(speech_power: np.ndarray, noise: float) -> float:
    if len(speech_power) == 0:
        return 0.0
    clean = max(float(speech_power.mean()) - noise, 0.01 * noise)
    return min(100.0, 10 * math.log10(clean / noise))


def _clipped_share(samples: np.ndarray) -> float:
    """Flat tops: runs of three or more samples within 0.1 % of the peak or beyond full scale."""
    magnitude = np.abs(samples)
    top = magnitude >= max(1e-10, 0.999 * min(1.0, float(magnitude.max())))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], top, [False]]).astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    return float(runs[runs >= 3].sum()) / len(samples)


def _bandwidth(samples: np.ndarray, sample_rate: int) -> float:
    """Hz up to which the average spectrum of the louder half stays within 55 dB of its peak."""
    size = 2 ** round(math.log2(0.064 * sample_rate))
    padded = np.pad(samples, (0, max(0, size - len(samples))))
    count = min(_MAX_SPECTRA, 1 + 2 * (len(padded) - size) // size)
    starts = np.linspace(0, len(padded) - size, count).astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[starts]
    frames = (frames - frames.mean(axis=1, keepdims=True)) * np.hanning(size)
    spectra = np.square(np.abs(np.fft.rfft(frames)))
    totals = spectra.sum(axis=1)
    average = spectra[totals >= np.median(totals)].mean(axis=0)
    smooth = np.convolve(average, np.ones(5) / 5, mode="same")
    within = np.flatnonzero(smooth > smooth.max() * 10 ** (-_BAND_FALL_DB / 10))
    return float(within[-1] * sample_rate / size) if len(within) else 0.0
