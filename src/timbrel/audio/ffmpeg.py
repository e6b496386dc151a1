"""Decoding by the machine's own ffmpeg, for what libsndfile cannot read (m4a, mp4, webm, ...).

ffmpeg writes the first audio stream as an AU file of 32-bit floats into a pipe: its header tells
rate and channels, so that one program and one pass are enough.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from timbrel.errors import AudioError

_BLOCK_BYTES = 1 << 18
_AU_FLOAT32 = 6


@dataclass(frozen=True, slots=True)
class Decoding:
    """A running ffmpeg: rate in Hz, channel count, and blocks (n, channels) float32."""

    sample_rate: int
    channels: int
    blocks: Iterator[np.ndarray]


def available() -> bool:
    """Whether an ffmpeg is on the PATH."""
    return shutil.which("ffmpeg") is not None


@contextmanager
def decode(path: Path) -> Iterator[Decoding]:
    """Runs ffmpeg on a file; leaving the block ends it.

    Raises:
        AudioError: if ffmpeg finds no audio in the file, or complains while decoding it.
    """
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            _command(path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints
        )
        try:
            assert process.stdout is not None
            header = _read_header(process.stdout)
            if header is None:
                process.wait()
                raise AudioError(f"{path} is not audio{_quote(complaints)}; is it the right file?")
            sample_rate, channels = header
            yield Decoding(sample_rate, channels, _blocks(path, process, channels, complaints))
        finally:
            process.kill()
            process.communicate()


def _command(path: Path) -> list[str]:
    # Only local files, so that a playlist in disguise cannot make ffmpeg open anything else.
    source = ["-protocol_whitelist", "file,pipe", "-i", f"file:{path.absolute()}"]
    target = ["-map", "0:a:0", "-map_metadata", "-1", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    return ["ffmpeg", "-nostdin", "-v", "error", "-xerror", *source, *target]


def _read_header(pipe: IO[bytes]) -> tuple[int, int] | None:
    """Rate and channels from the AU header; None if there is none."""
    header = pipe.read(24)
    if len(header) < 24:
        return None
    magic, offset, _, encoding, sample_rate, channels = struct.unpack(">4s5I", header)
    pipe.read(offset - 24)
    return (sample_rate, channels) if magic == b".snd" and encoding == _AU_FLOAT32 else None


def _blocks(
    path: Path, process: subprocess.Popen[bytes], channels: int, complaints: IO[bytes]
) -> Iterator[np.ndarray]:
    assert process.stdout is not None
    frame_bytes = 4 * channels
    while data := process.stdout.read(_BLOCK_BYTES // frame_bytes * frame_bytes):
        whole = len(data) // frame_bytes * frame_bytes
        yield np.frombuffer(data[:whole], dtype=">f4").astype(np.float32).reshape(-1, channels)
    if process.wait() != 0 or complaints.tell() > 0:
        raise AudioError(f"{path} is damaged or truncated{_quote(complaints)}; use an intact copy.")


def _quote(complaints: IO[bytes]) -> str:
    """ffmpeg's first complaint, in brackets."""
    complaints.seek(0)
    lines = complaints.read(2000).decode("utf-8", "replace").split("\n")
    # What stands before the bracket is ffmpeg's name for its own part.
    return f" (ffmpeg: {lines[0].rpartition('] ')[2].strip().rstrip('.')})" if lines[0] else ""
