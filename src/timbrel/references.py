"""What enrolment hears: recordings of one voice, read, cut to what fits, checked and doubted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from timbrel import recordings
from timbrel.audio import condition
from timbrel.audio.denoise import denoised
from timbrel.errors import AudioError
from timbrel.likeness import cosine_of_groups, divide, parting, unit
from timbrel.recordings import Recording

#: `likeness.parting` of one recording's windows below which it is said to hold two voices.
MOST_PARTED = 0.89
#: Cosine of two groups of recordings below which they are said to be of two people.
LEAST_ALIKE = 0.85

_WINDOW_SECONDS, _STEP_SECONDS = 2.4, 1.2
#: Fewer say nothing of a voice; six seconds have as many.
_FEWEST_WINDOWS = 4
#: Of the median level: a quieter window holds too little speech.
_QUIET = 0.2


@dataclass(frozen=True, slots=True)
class References:
    """Recordings that were read.

    Fields:
        samples: of each, (L,).
        sample_rate: of all of them, Hz.
        names: of each.
        seconds: speech in all of them.
        warnings: what is wrong with them, in sentences.
    """

    samples: list[Tensor]
    sample_rate: int
    names: tuple[str, ...]
    seconds: float
    warnings: tuple[str, ...]


def gather(given: Sequence[Recording], sample_rate: int, most: float, *, denoise: bool = False) -> References:
    """Reads recordings of one voice.

    Args:
        most: seconds of them in all.
        denoise: take noise out of them first; see `audio.denoise`.

    Raises:
        AudioError: there is none, or one of them cannot be read or holds no speech.
        ConfigError: what takes noise out is not installed.
    """
    if not given:
        raise AudioError("Give at least one recording of the voice.")
    samples: list[Tensor] = []
    names, warnings, seconds = [], [], 0.0
    room = most
    for recording in given:
        name, duration = recordings.name(recording), recordings.duration(recording)
        if duration > room or room < condition.FEW_SPEECH_SECONDS:
            warnings.append(_too_long(name, duration, room, most))
        if room < condition.FEW_SPEECH_SECONDS:
            continue
        waveform = recordings.opening(recording, sample_rate, room)
        room -= waveform.duration
        waveform = denoised(waveform) if denoise else waveform
        found = condition.assess(waveform)
        condition.require_speech(found, name)
        warnings += [f"{name}: {warning}" for warning in condition.warnings(found)]
        seconds += found.speech_seconds
        samples.append(waveform.samples)
        names.append(name)
    return References(samples, sample_rate, tuple(names), seconds, tuple(warnings))


def _too_long(name: str, duration: float, room: float, most: float) -> str:
    some = room >= condition.FEW_SPEECH_SECONDS
    heard = f"the first {room:.0f} s of it are heard" if some else "it is not heard"
    return f"{name}: It lasts {duration:.0f} s; of all references together {most:.0f} s are used, so {heard}."


def doubts(found: References, embed: Callable[[Tensor], Tensor]) -> tuple[str, ...]:
    """Warnings where references seem to hold more than one person.

    Measured with the bundled encoder on the 28 dev and VCTK speakers of the corpus, none of whom it was
    trained on. False alarms: 2 of 265 recordings of one voice (6 to 30 s), 1 of 390 pairs of recordings of
    one speaker. Found: of two voices spliced, same sex and other sex, 62 and 90 % of those with 4 s of
    each, 84 and 100 % with 10 s, 61 and 92 % with 12 s and 4 s; of two recordings by two people, 79 and
    99 %; of one among three by another, 78 and 96 %.

    Args:
        embed: recording (L,) to a speaker's unit vector (E,); see `methods.Method`.
    """
    windows = [_window_vectors(samples, found.sample_rate, embed) for samples in found.samples]
    return (*_mixtures(found.names, windows), *_strangers(found.names, windows))


def _mixtures(names: Sequence[str], windows: Sequence[np.ndarray]) -> Iterator[str]:
    """Recordings that seem to hold two voices."""
    for name, vectors in zip(names, windows, strict=True):
        found = parting(vectors) if len(vectors) >= _FEWEST_WINDOWS else 1.0
        if found < MOST_PARTED:
            yield (
                f"{name}: It seems to hold more than one voice: its parts are alike by {found:.2f}, those of "
                f"one voice by {MOST_PARTED} or more; use a part in which one person speaks."
            )


def _strangers(names: Sequence[str], windows: Sequence[np.ndarray]) -> Iterator[str]:
    """Recordings that sound like somebody else than most of the others."""
    if len(names) < 2:
        return
    means = np.stack([unit(vectors.mean(axis=0)) for vectors in windows])
    first = divide(means)
    found = cosine_of_groups(means, first)
    if found < LEAST_ALIKE:
        fewer = first if first.sum() < len(first) / 2 else ~first
        odd = ", ".join(name for name, among in zip(names, fewer, strict=True) if among)
        said = f"{odd}: It sounds like another person than the other recordings"
        if len(names) == 2:
            said = f"{' and '.join(names)} sound like two people"
        yield (
            f"{said}: alike by {found:.2f}, where one person is by {LEAST_ALIKE} or more; to blend voices "
            "give each a weight."
        )


def _window_vectors(samples: Tensor, rate: int, embed: Callable[[Tensor], Tensor]) -> np.ndarray:
    """Unit vectors (N, E) of overlapping windows, without those that are much quieter than most."""
    size, step = round(_WINDOW_SECONDS * rate), round(_STEP_SECONDS * rate)
    windows = samples.unfold(0, size, step) if len(samples) > size else samples[None]
    levels = windows.square().mean(dim=1).sqrt()
    loud = windows[levels > _QUIET * levels.median()]
    return torch.stack([embed(window) for window in loud]).numpy()
