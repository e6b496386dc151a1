"""Is a file all there? What containers promise in their headers, compared with the bytes present.

libsndfile decodes what it finds: a WAV or Ogg cut in half simply comes out shorter, an MP3 without
a length header is cut where its first frame's bit rate says. These checks read headers only.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

#: Sizes from here on are what a program writes that does not know the length yet.
_UNKNOWN_SIZE = 0x7FFFF000
#: An Ogg page is at most 27 + 255 + 255 * 255 bytes.
_OGG_PAGE = 65307


def missing_bytes(path: Path) -> int:
    """How many bytes fewer the file holds than its header promises; 0 where that is not known.

    Headers of WAV, RF64, W64, AIFF, AU, Ogg and MP3 are understood.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        return max(0, _end(file, size) - size)


def _end(file: BinaryIO, size: int) -> int:
    """Where the samples should end; 0 if the file does not say."""
    magic = file.read(12)
    if magic[:4] in (b"RIFF", b"RF64") and magic[8:] == b"WAVE":
        return _chunk_end(file, b"data", "<")
    if magic[:4] == b"FORM" and magic[8:] in (b"AIFF", b"AIFC"):
        return _chunk_end(file, b"SSND", ">")
    if magic[:4] == b"riff":
        return _w64_end(file)
    if magic[:4] == b".snd" and len(magic) == 12:
        start, length = struct.unpack(">II", magic[4:])
        return 0 if length >= _UNKNOWN_SIZE else start + int(length)
    if magic[:4] == b"OggS":
        return _ogg_end(file, size)
    start = _mp3_start(file)
    return start + _xing_bytes(file, start)


def is_unmarked_vbr(path: Path) -> bool:
    """Whether this is an MP3 of varying bit rate whose header does not say how long it is."""
    with path.open("rb") as file:
        start = _mp3_start(file)
        if _mp3_frame(_at(file, start, 4)) is None or _length_tag(file, start) is not None:
            return False
        rates: set[int] = set()
        while (frame := _mp3_frame(_at(file, start, 4))) is not None and len(rates) < 2:
            bit_rate, length = frame
            rates.add(bit_rate)
            start += length
        return len(rates) > 1


def _at(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def _chunk_end(file: BinaryIO, samples: bytes, order: str) -> int:
    """Where the chunk of samples of a WAV, RF64 or AIFF should end."""
    offset, long = 12, 0
    while len(header := _at(file, offset, 8)) == 8:
        name, length = struct.unpack(f"{order}4sI", header)
        if name == samples:
            length = long or length
            return 0 if not long and length >= _UNKNOWN_SIZE else offset + 8 + int(length)
        if name == b"ds64" and len(sizes := _at(file, offset + 16, 8)) == 8:  # after the size of the whole
            long = int.from_bytes(sizes, "little")
        offset += 8 + length + length % 2
    return 0


def _w64_end(file: BinaryIO) -> int:
    """Where the samples of a W64 should end: 128-bit names, and sizes that count their chunk's header."""
    offset = 40
    while len(header := _at(file, offset, 24)) == 24:
        length = int.from_bytes(header[16:], "little")
        if header[:4] == b"data" or length < 24:
            return offset + length if length >= 24 else 0
        offset += length + -length % 8
    return 0


def _ogg_end(file: BinaryIO, size: int) -> int:
    """Where the last page that begins in the file should end."""
    tail_start = max(0, size - _OGG_PAGE)
    tail = _at(file, tail_start, _OGG_PAGE)
    page = tail.rfind(b"OggS")
    if page < 0:
        return 0
    header = tail[page : page + 27]
    if len(header) < 27:
        return size + 27 - len(header)
    segments = tail[page + 27 : page + 27 + header[26]]
    return tail_start + page + 27 + header[26] + sum(segments)


def _mp3_start(file: BinaryIO) -> int:
    """Behind the ID3v2 tag, if there is one."""
    header = _at(file, 0, 10)
    if header[:3] != b"ID3" or len(header) < 10:
        return 0
    # Four bytes of seven bits each.
    return 10 + sum(byte << shift for byte, shift in zip(header[6:], (21, 14, 7, 0), strict=True))


# Layer III only. Bit rates in kbit/s and sample rates in Hz by the index in the frame header.
_BIT_RATES_MPEG1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_BIT_RATES_MPEG2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _mp3_frame(header: bytes) -> tuple[int, int] | None:
    """(kbit/s, length in bytes) of the frame with this 4-byte header; None if it is not one."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, rate, sampling = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version not in _SAMPLE_RATES or not 1 <= rate <= 14 or sampling == 3:
        return None
    bit_rate = (_BIT_RATES_MPEG1 if version == 3 else _BIT_RATES_MPEG2)[rate - 1]
    samples = 1152 if version == 3 else 576
    padding = header[2] >> 1 & 1
    return bit_rate, samples // 8 * bit_rate * 1000 // _SAMPLE_RATES[version][sampling] + padding


def _length_tag(file: BinaryIO, start: int) -> bytes | None:
    """The first frame from its Xing, Info or VBRI tag on; None without one."""
    frame = _at(file, start, 200)
    found = [at for tag in (b"Xing", b"Info", b"VBRI") if (at := frame.find(tag)) >= 0]
    return frame[min(found) :] if found else None


def _xing_bytes(file: BinaryIO, start: int) -> int:
    """Length of the MPEG stream according to its Xing or Info tag; 0 if it does not say."""
    if _mp3_frame(_at(file, start, 4)) is None:
        return 0
    tag = _length_tag(file, start)
    if tag is None or tag[:4] == b"VBRI" or len(tag) < 16:
        return 0
    flags = int.from_bytes(tag[4:8], "big")
    if not flags & 2:
        return 0
    at = 12 if flags & 1 else 8
    # Encoders count the tag's own frame or not, and some round; a few frames are not a cut.
    return max(0, int.from_bytes(tag[at : at + 4], "big") - 4 * 1441)
