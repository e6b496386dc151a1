"""Opening a recording: what it is, whether it may be decoded at all, and its samples in blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from timbrel.audio import containers, ffmpeg
from timbrel.errors import AudioError

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 768_000
MAX_CHANNELS = 8
MAX_SECONDS = 24 * 3600
#: All channels together: a small file may expand ten thousandfold, so this is checked beforehand.
MAX_SAMPLES = MAX_SECONDS * 48_000 * 2

_BLOCK_FRAMES = 1 << 15
#: A header may count this much more than can be read: encoders pad and round (three MP3 frames).
_FRAME_TOLERANCE = 3 * 1152
#: libsndfile's way to say that a header does not tell the length.
_UNKNOWN_FRAMES = 1 << 62


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a file is, before decoding; `frames` are samples per channel.

    `format` is "wav", "flac", "mp3", "ogg", "opus", another of libsndfile's names in lower case, or
    "ffmpeg" where only ffmpeg reads it.
    """

    path: Path
    format: str
    sample_rate: int
    channels: int
    frames: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.sample_rate


def probe(path: str | Path) -> AudioInfo:
    """Looks at a file's header; nothing is decoded unless only ffmpeg knows how long it is.

    Raises:
        AudioError: if there is no such file, it is not audio, empty, truncated, or its rate,
            channels or length are beyond what is reasonable.
    """
    path = Path(path)
    _check_file(path)
    info = _probe_libsndfile(path)
    if info is None:
        info = _probe_ffmpeg(path, "is not audio in WAV, FLAC, MP3, Ogg or Opus")
    elif not _length_is_known(info):
        info = _probe_ffmpeg(path, "does not say in its header how long it is")
    _check_limits(info)
    return info


def blocks(info: AudioInfo) -> Iterator[np.ndarray]:
    """The samples as consecutive blocks (n, channels) float32, at the file's own rate.

    Raises:
        AudioError: if the file turns out to be damaged or shorter than its header says.
    """
    if info.format == "ffmpeg":
        with ffmpeg.decode(info.path) as decoding:
            yield from decoding.blocks
    else:
        yield from _libsndfile_blocks(info)


def _check_file(path: Path) -> None:
    if not path.exists():
        raise AudioError(f"{path}: no such file; check its name and folder.")
    if not _is_text(str(path)):
        raise AudioError(f"{path} has a name that is no text; rename it.")
    if path.is_dir():
        raise AudioError(f"{path} is a folder, not a recording; name a file in it.")
    if not path.is_file():
        raise AudioError(f"{path} is not an ordinary file; save the recording to one first.")
    if path.stat().st_size == 0:
        raise AudioError(f"{path} is empty (0 bytes); record or copy it again.")
    if not os.access(path, os.R_OK):
        raise AudioError(f"{path} is closed to you; change its permissions.")
    missing = containers.missing_bytes(path)
    if missing:
        raise AudioError(
            f"{path} is truncated: its header promises {missing:,} bytes more than there are; "
            "use an intact copy."
        )


def _is_text(name: str) -> bool:
    """False for bytes that the system's encoding has no characters for."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _probe_libsndfile(path: Path) -> AudioInfo | None:
    """None if libsndfile cannot read the file."""
    try:
        with soundfile.SoundFile(path) as file:
            name = {"OPUS": "opus", "VORBIS": "ogg"}.get(file.subtype, file.format.lower())
            return AudioInfo(path, name, file.samplerate, file.channels, file.frames)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: headerless formats such as .raw
        return None


def _length_is_known(info: AudioInfo) -> bool:
    unmarked = info.format == "mp3" and containers.is_unmarked_vbr(info.path)
    return info.frames < _UNKNOWN_FRAMES and not unmarked


def _probe_ffmpeg(path: Path, reason: str) -> AudioInfo:
    if not ffmpeg.available():
        raise AudioError(f"{path} {reason}; install ffmpeg, or convert the file to WAV.")
    with ffmpeg.decode(path) as decoding:
        info = AudioInfo(path, "ffmpeg", decoding.sample_rate, decoding.channels, 0)
        _check_shape(info)
        frames = 0
        for block in decoding.blocks:
            frames += len(block)
            _check_length(replace(info, frames=frames))
    return replace(info, frames=frames)


def _check_limits(info: AudioInfo) -> None:
    if info.frames == 0:
        raise AudioError(f"{info.path} is empty: it holds no samples; record or export it again.")
    _check_shape(info)
    _check_length(info)


def _check_shape(info: AudioInfo) -> None:
    check_rate(info.path, info.sample_rate)
    if info.channels > MAX_CHANNELS:
        raise AudioError(f"{info.path} has {info.channels} channels; mix it down to {MAX_CHANNELS} at most.")


def check_rate(name: Path | str, sample_rate: int) -> None:
    """Raises AudioError if audio of that rate in Hz cannot be used."""
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise AudioError(
            f"{name} has a sample rate of {sample_rate:,} Hz; "
            f"rates from {MIN_SAMPLE_RATE:,} to {MAX_SAMPLE_RATE:,} Hz can be used."
        )


def _check_length(info: AudioInfo) -> None:
    if info.duration > MAX_SECONDS or info.frames * info.channels > MAX_SAMPLES:
        raise AudioError(
            f"{info.path} would decode to {info.duration / 3600:,.1f} hours of {info.channels}-channel "
            f"audio, beyond the limit of {MAX_SECONDS // 3600} hours of 48 kHz stereo; cut it into parts."
        )


def _libsndfile_blocks(info: AudioInfo) -> Iterator[np.ndarray]:
    done = 0
    try:
        with soundfile.SoundFile(info.path) as file:
            while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
                done += len(block)
                yield block
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"{info.path} is damaged or truncated {done / info.sample_rate:.1f} s into "
            f"{info.duration:.1f} s; use an intact copy."
        ) from error
    tolerance = _FRAME_TOLERANCE if info.format == "mp3" else 0
    if done < info.frames - tolerance:
        raise AudioError(
            f"{info.path} is truncated: its header promises {info.duration:.1f} s, "
            f"{done / info.sample_rate:.1f} s are there; use an intact copy."
        )
