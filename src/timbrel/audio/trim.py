"""Where the sound of a recording begins and ends, carefully: rather some silence left than a word cut."""

from __future__ import annotations

import numpy as np

#: Seconds of silence that stay on either side: soft consonants begin before they can be told from noise.
MARGIN_SECONDS = 0.2
_FRAME_SECONDS = 0.01
#: A frame is sound if it is this far above the noise and this far, or less, below the loudest.
_ABOVE_NOISE_DB = 6.0
_BELOW_LOUDEST_DB = 50.0


def sounding(samples: np.ndarray, sample_rate: int, margin: float = MARGIN_SECONDS) -> slice:
    """The part of (T,) samples without the silence at either end; all of it where nothing stands out.

    Frames of 10 ms count by their energy. The noise is the quietest tenth of them, digital silence
    aside; in a recording without a pause that is quiet speech, so there the loudest frame decides too.
    """
    size = max(1, round(_FRAME_SECONDS * sample_rate))
    count = len(samples) // size
    frames = samples[: count * size].reshape(count, size).astype(np.float64)
    power = np.square(frames - frames.mean(axis=1, keepdims=True)).mean(axis=1)
    audible = np.sort(power[power > 0])
    if len(audible) == 0:
        return slice(0, len(samples))
    noise = audible[: max(1, len(audible) // 10)].mean()
    above_noise = noise * 10 ** (_ABOVE_NOISE_DB / 10)
    loud_enough = audible[-1] * 10 ** (-_BELOW_LOUDEST_DB / 10)
    # Speech without pauses has no noise to stand out from: never ask more than 20 dB below the loudest.
    threshold = min(max(above_noise, loud_enough), audible[-1] * 0.01)
    sound = np.flatnonzero(power > threshold)
    extra = round(margin * sample_rate)
    first, last = sound[0] * size - extra, (sound[-1] + 1) * size + extra
    return slice(max(0, int(first)), min(len(samples), int(last)))
