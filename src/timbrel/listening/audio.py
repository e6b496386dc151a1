"""Recordings of a study: of equal loudness, anchors, beeps that ask for attention, tones for headphones."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import torch

from timbrel.audio import io as audio
from timbrel.audio.io import Waveform
from timbrel.audio.loudness import integrated_loudness, peak_dbfs
from timbrel.errors import AudioError
from timbrel.listening.scales import TONE_GAP, TONE_SECONDS

#: Speech may be this long in a listening test, in seconds: nobody rates what he has forgotten.
LONGEST = 60.0
#: Highest peak in dBFS that equalised audio may have.
CEILING = -1.0

_TONE_RATE = 16000
_TONE_HERTZ = 200.0
_TONE_RAMP = 0.1
#: Amplitude of the louder tones, and how much softer the quiet one is (6 dB).
_TONE_LEVEL = 0.2
_TONE_SOFTER = 10 ** (-6 / 20)


def read(path: Path) -> Waveform:
    """A recording for a listening test.

    Raises:
        AudioError: if it cannot be used or is longer than `LONGEST`.
    """
    if (info := audio.probe(path)).duration > LONGEST:
        raise AudioError(
            f"{path} lasts {info.duration:.0f} s; a listener can judge {LONGEST:.0f} s at most: cut it."
        )
    return audio.read(path)


def gain(waveform: Waveform, loudness: float) -> float:
    """The factor that gives a recording this loudness in LUFS."""
    found = integrated_loudness(waveform.samples.numpy(), waveform.sample_rate)
    return float(10 ** ((loudness - found) / 20))


def headroom(waveform: Waveform, loudness: float) -> float:
    """How many dB its peak will lie above `CEILING` at this loudness; 0 if it does not.

    Such peaks would be clipped, and a limiter would change what is judged: so the whole study is made softer.
    """
    peak = peak_dbfs(waveform.samples.numpy()) + 20 * np.log10(gain(waveform, loudness))
    return max(0.0, float(peak) - CEILING)


def equalised(waveform: Waveform, loudness: float) -> Waveform:
    """The same at this loudness in LUFS (ITU-R BS.1770-4)."""
    return Waveform(waveform.samples * gain(waveform, loudness), waveform.sample_rate)


def low_pass(waveform: Waveform, hertz: float) -> Waveform:
    """An anchor: nothing above `hertz` (3500 in ITU-R BS.1534-3); zero phase, 8th-order Butterworth twice.

    Raises:
        AudioError: nothing lies above that frequency.
    """
    from scipy.signal import butter, sosfiltfilt

    if hertz >= waveform.sample_rate / 2:
        raise AudioError(
            f"lowpass_hz is {hertz:.0f}, but the recordings have {waveform.sample_rate} Hz and so nothing "
            f"above {waveform.sample_rate / 2:.0f}: choose less."
        )
    sections = butter(8, hertz, fs=waveform.sample_rate, output="sos")
    filtered = sosfiltfilt(sections, waveform.samples.numpy().astype(np.float64))
    return Waveform(torch.from_numpy(filtered.astype(np.float32)), waveform.sample_rate)


def with_beeps(waveform: Waveform, count: int) -> Waveform:
    """The recording and `count` beeps after it: 880 Hz, 0.2 s, half a second apart, as loud as speech."""
    rate = waveform.sample_rate
    beep = 0.1 * np.sin(2 * np.pi * 880 * np.arange(round(0.2 * rate)) / rate)
    pause = np.zeros(round(0.3 * rate))
    beeps = np.concatenate(
        [np.zeros(round(0.4 * rate)), *[beep * _ramp(len(beep), rate, 0.01), pause] * count]
    )
    joined = np.concatenate([waveform.samples.numpy(), beeps]).astype(np.float32)
    return Waveform(torch.from_numpy(joined), rate)


def tones(quietest: int, antiphase: int) -> bytes:
    """A trial of the headphone check as a stereo WAV file: three tones, one softer, one out of phase.

    Through headphones the soft one is the quietest; from loudspeakers the two channels of the one out of
    phase cancel, and it is. After K. Woods, M. Siegel, J. Traer and J. McDermott, "Headphone screening to
    facilitate web-based auditory experiments", 2017: 200 Hz, 1 s with ramps of 0.1 s, half a second apart,
    -6 dB, 180 degrees.

    Args:
        quietest: which tone is 6 dB softer, 0 to 2; the right answer.
        antiphase: which of the others has its right channel inverted.
    """
    steps = np.arange(round(TONE_SECONDS * _TONE_RATE)) / _TONE_RATE
    tone = _TONE_LEVEL * np.sin(2 * np.pi * _TONE_HERTZ * steps) * _ramp(len(steps), _TONE_RATE, _TONE_RAMP)
    gap = np.zeros((round(TONE_GAP * _TONE_RATE), 2))
    pieces = []
    for number in range(3):
        level = _TONE_SOFTER if number == quietest else 1.0
        right = -1.0 if number == antiphase else 1.0
        pieces += [np.stack([level * tone, level * right * tone], axis=1), gap]
    return _stereo_wav(np.concatenate(pieces[:-1]))


def _ramp(length: int, rate: int, seconds: float) -> np.ndarray:
    """(length,) raised cosine at both ends."""
    rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(round(seconds * rate)) / (seconds * rate))
    envelope = np.ones(length)
    envelope[: len(rise)] = rise
    envelope[-len(rise) :] = rise[::-1]
    return envelope


def _stereo_wav(samples: np.ndarray) -> bytes:
    """(T, 2) within [-1, 1] as 16-bit WAV, for the wire: files are mono here and written by `AudioWriter`."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(_TONE_RATE)
        file.writeframes((samples * 32767).round().astype("<i2").tobytes())
    return buffer.getvalue()
