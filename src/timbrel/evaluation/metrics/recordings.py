"""Recordings as judges hear them: mono, 16 kHz, whatever is wrong with them.

What another system made may be silent, clipped or full of samples that are no numbers. It is still scored,
badly, so nothing is refused here that can be decoded; the metric `soundness` says what was wrong.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from timbrel.audio import decode
from timbrel.audio.resample import resample
from timbrel.errors import AudioError

SAMPLE_RATE = 16000
#: Judges need half a second; what is shorter is followed by silence.
_LEAST_SAMPLES = SAMPLE_RATE // 2
_FRAME, _FRAME_HOP = 512, 128
_SILENCE_DB = 40.0
#: A source or a target comes again with each system, so what was heard of it is kept.
_KEPT = 512

Said = TypeVar("Said")


def hear(path: Path) -> np.ndarray:
    """(L,) float32 at 16 kHz within [-1, 1], at least half a second.

    Raises:
        AudioError: it cannot be decoded.
    """
    samples, rate = raw(path)
    heard = resample(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), rate, SAMPLE_RATE)
    padded = np.pad(heard, (0, max(0, _LEAST_SAMPLES - len(heard))))
    return np.asarray(np.clip(padded, -1.0, 1.0), dtype=np.float32)


def spoken(samples: np.ndarray) -> np.ndarray:
    """(L,) at 16 kHz without the silence at both ends: frames of 32 ms that are 40 dB below the loudest."""
    padded = np.pad(np.square(samples, dtype=np.float64), _FRAME // 2)
    power = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_FRAME_HOP].mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (-_SILENCE_DB / 10))
    return samples[loud[0] * _FRAME_HOP : (loud[-1] + 1) * _FRAME_HOP] if len(loud) else samples


def raw(path: Path) -> tuple[np.ndarray, int]:
    """(L,) float32, the mean of the channels, and its own sample rate in Hz.

    Raises:
        AudioError: it cannot be decoded.
    """
    info = decode.probe(path)
    return np.concatenate([block.mean(axis=1) for block in decode.blocks(info)]), info.sample_rate


def undecodable(path: Path) -> str:
    """Why a file cannot be decoded, in a sentence; "" if it can."""
    try:
        for _ in decode.blocks(decode.probe(path)):
            pass
    except AudioError as error:
        return str(error)
    return ""


class Kept(Generic[Said]):
    """What a function said of the last few hundred files, as long as they stay as they are."""

    def __init__(self, say: Callable[[Path], Said]) -> None:
        self._say = say
        self._said: OrderedDict[Hashable, Said] = OrderedDict()

    def __call__(self, path: Path) -> Said:
        state = path.stat() if path.exists() else None
        key = (path, state and (state.st_mtime_ns, state.st_size))
        if key not in self._said:
            self._said[key] = self._say(path)
        self._said.move_to_end(key)
        while len(self._said) > _KEPT:
            self._said.popitem(last=False)
        return self._said[key]


class Judge(Generic[Said]):
    """A network that says something of a recording; it is loaded when the first one comes.

    Args:
        load: makes what takes (L,) at 16 kHz.
        fingerprint: names its weights; reading them may take a second.
    """

    def __init__(
        self, load: Callable[[], Callable[[np.ndarray], Said]], fingerprint: Callable[[], str]
    ) -> None:
        self._load, self._name = load, fingerprint
        self._kept = Kept(lambda path: self._network(hear(path)))

    @cached_property
    def fingerprint(self) -> str:
        return self._name()

    @cached_property
    def _network(self) -> Callable[[np.ndarray], Said]:
        return self._load()

    def __call__(self, path: Path) -> Said:
        """What it says of a file.

        Raises:
            AudioError: the file cannot be decoded.
        """
        return self._kept(path)
