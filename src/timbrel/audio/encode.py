"""The one place that writes audio: whole files or none, checked before a codec sees them.

NaN written to MP3 aborts the interpreter, to PCM is a full-scale click, to Ogg goes unnoticed: so
samples are checked and clipped here, and nowhere else does Timbrel write audio.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import soundfile

from timbrel.audio.resample import ResampleStream
from timbrel.errors import AudioError, OutputError
from timbrel.files import flush

if TYPE_CHECKING:
    from torch import Tensor

#: Suffix -> libsndfile's format and subtype.
FORMATS: dict[str, tuple[str, str]] = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
}
#: Rates in Hz that a codec is confined to; other audio is resampled to the next one up.
CODEC_RATES: dict[str, tuple[int, ...]] = {
    ".mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    ".opus": (8000, 12000, 16000, 24000, 48000),
}
#: What can be said about a file, in every format. WAV: INAM, ICMT and ISFT of the INFO list; FLAC,
#: Ogg and Opus: Vorbis comments; MP3: TIT2, COMM and TSSE of ID3v2.
METADATA_FIELDS = ("title", "comment", "software")

# libsndfile's Vorbis encoder puts what it is given on the stack.
_BLOCK_FRAMES = 1 << 15


def synthetic_metadata(model: str, version: str) -> dict[str, str]:
    """The mark every converted file carries: made by Timbrel, by which model, a synthetic voice."""
    return {
        "title": "Synthetic voice",
        "comment": f"Synthetic voice: speech converted to another voice by Timbrel, model {model}",
        "software": f"Timbrel {version}",
    }


def read_metadata(path: str | Path) -> dict[str, str]:
    """The fields of `METADATA_FIELDS` that a file carries; empty if it is not libsndfile's.

    libsndfile adds its own name in brackets to `software`.
    """
    try:
        with soundfile.SoundFile(path) as file:
            values = {name: str(getattr(file, name)) for name in METADATA_FIELDS}
    except (soundfile.LibsndfileError, TypeError):
        return {}
    return {name: value for name, value in values.items() if value}


def check_output(path: str | Path, force: bool = False) -> None:
    """Whether a file could be written here, asked before any work is done.

    Raises:
        OutputError: if the suffix is unknown, the folder missing or closed, or the file exists
            and `force` is not set.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise OutputError(f'{path} ends in "{path.suffix}"; end it in one of {known}.')
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it.")
    if not path.parent.is_dir():
        raise OutputError(f"{path} cannot be written: there is no folder {path.parent}; create it.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path} cannot be written: {path.parent} is closed to you; choose another.")
    if os.path.lexists(path) and not force:  # a link that leads nowhere is somebody's as well
        raise OutputError(f"{path} exists already; use --force (force=True) to replace it.")


class AudioWriter:
    """Writes mono audio piece by piece, in the format of the suffix; use it in a `with` block.

    The file appears under its name only when the block ends well; after an exception, or a kill,
    whatever stood there before still does. Samples beyond [-1, 1] are clipped and counted.

    Args:
        sample_rate: Hz of what is written; MP3 and Opus files may have another (`CODEC_RATES`).
        metadata: text for any of `METADATA_FIELDS`.

    Raises:
        OutputError: if the file exists (without `force`) or cannot be written.
        AudioError: if a sample is not finite, or nothing was written at all.
        ValueError: if a field of metadata is unknown.
    """

    def __init__(
        self,
        path: str | Path,
        sample_rate: int,
        *,
        force: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.frames = 0
        self.clipped = 0
        self._metadata = dict(metadata or {})
        unknown = self._metadata.keys() - set(METADATA_FIELDS)
        if unknown:
            raise ValueError(f"Metadata has {sorted(unknown)}; known are {METADATA_FIELDS}.")
        check_output(self.path, force)
        self._sample_rate = sample_rate
        self._file_rate = _codec_rate(self.path.suffix.lower(), sample_rate)
        self._resampler = ResampleStream(sample_rate, self._file_rate)
        self._file: soundfile.SoundFile | None = None
        self._partial = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.partial")
        self._held: int | None = None

    def __enter__(self) -> Self:
        container, subtype = FORMATS[self.path.suffix.lower()]
        try:
            file = soundfile.SoundFile(
                self._partial, "x", self._file_rate, 1, format=container, subtype=subtype
            )
        except (soundfile.LibsndfileError, OSError) as error:
            self._discard()
            raise OutputError(f"{self.path} cannot be written: {error}") from error
        with contextlib.suppress(OSError):
            self._held = _lock(self._partial)
        if container != "MP3":
            for name, value in self._metadata.items():
                setattr(file, name, value)
        self._file = file
        return self

    def write(self, block: np.ndarray | Tensor) -> None:
        """Appends (n,) samples, nominally within [-1, 1]."""
        samples = np.asarray(block, dtype=np.float32)
        if samples.ndim != 1:
            raise ValueError(f"Expected mono samples (n,), got shape {samples.shape}.")
        if not np.isfinite(samples).all():
            at = self.frames + int(np.argmin(np.isfinite(samples)))
            raise AudioError(
                f"{self.path} was not written: the sample at {at / self._sample_rate:.2f} s "
                "is not a finite number."
            )
        self.clipped += int(np.count_nonzero(np.abs(samples) > 1.0))
        self.frames += len(samples)
        self._encode(self._resampler.push(samples.clip(-1.0, 1.0)))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except (OSError, soundfile.LibsndfileError) as failure:
            raise OutputError(f"{self.path} cannot be written: {failure}") from failure
        finally:
            self._discard()

    def _encode(self, samples: np.ndarray) -> None:
        if self._file is None:
            raise ValueError("An AudioWriter writes only inside its with block.")
        samples = samples.clip(-1.0, 1.0)  # again: resampling overshoots
        try:
            for start in range(0, len(samples), _BLOCK_FRAMES):
                self._file.write(samples[start : start + _BLOCK_FRAMES])
        except (soundfile.LibsndfileError, AssertionError) as error:
            raise OutputError(f"{self.path} cannot be written: is the disk full?") from error

    def _finish(self) -> None:
        if self.frames == 0:
            raise AudioError(f"{self.path} was not written: there were no samples.")
        self._encode(self._resampler.push(np.zeros(0, dtype=np.float32), last=True))
        self._close()
        if self.path.suffix.lower() == ".mp3":
            _tag_mp3(self._partial, self._metadata)
        flush(self._partial, os.O_RDWR)
        self._partial.replace(self.path)
        if os.name == "posix":
            flush(self.path.parent)
        _remove_leftovers(self.path)

    def _discard(self) -> None:
        with contextlib.suppress(soundfile.LibsndfileError):
            self._close()
        with contextlib.suppress(OSError):  # such as of a name that is too long for a draft
            self._partial.unlink()
        _unlock(self._held)
        self._held = None

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock(path: Path) -> int | None:
    """A descriptor that says, as long as it is open, that a draft is being written; `_unlock` closes it.

    None on Windows, where a file that is open cannot be removed.

    Raises:
        OSError: another has one, or this file system knows no locks.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def _remove_leftovers(path: Path) -> None:
    """Drafts of a file that is there now, by runs that were killed."""
    draft = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.partial")
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        if draft.fullmatch(leftover.name):
            with contextlib.suppress(OSError):
                lock = _lock(leftover)
                leftover.unlink()
                _unlock(lock)


def _codec_rate(suffix: str, sample_rate: int) -> int:
    allowed = CODEC_RATES.get(suffix, (sample_rate,))
    return next((rate for rate in allowed if rate >= sample_rate), allowed[-1])


def _tag_mp3(path: Path, metadata: Mapping[str, str]) -> None:
    """libsndfile writes ID3v1, which garbles what is not ASCII; ID3v2 holds UTF-8."""
    import mutagen.id3

    id3: Any = mutagen.id3  # its functions carry no types
    frames = {"title": id3.TIT2, "comment": id3.COMM, "software": id3.TSSE}
    tags = id3.ID3()
    for name, text in metadata.items():
        tags.add(frames[name](encoding=id3.Encoding.UTF8, text=text))
    tags.save(path)
