"""What was heard in a recording, kept by the content of the file and the weights that heard it.

    HOME/cache/embeddings-1/ENCODER/ab/cdef...   SHA-256 of the rest, then the entry as MessagePack

An entry is written beside its place and moved there, so several writers do no harm: the last one puts
the same bytes. One that does not match its checksum counts as absent. A cache that cannot be written
is no cache, and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from timbrel import registry

#: The folder's number is raised when what is heard of a recording changes.
_FOLDER = "embeddings-1"
_CHECKSUM_BYTES = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """What an encoder heard.

    Fields:
        values: the vector (E,) as little-endian float32; empty if there is a problem.
        problem: why it cannot be compared, one sentence in which {} stands for the file's name.
    """

    values: bytes = b""
    problem: str = ""

    @property
    def vector(self) -> np.ndarray:
        """(E,) float32; empty if there is a problem."""
        return np.frombuffer(self.values, dtype="<f4").astype(np.float32)


def content_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Cache:
    """Entries of one encoder, by content hash."""

    def __init__(self, encoder: str) -> None:
        self._folder = registry.home() / "cache" / _FOLDER / encoder

    def get(self, content: str) -> Entry | None:
        """The entry of a recording, if there is one that is whole."""
        try:
            data = self._path(content).read_bytes()
            checksum, payload = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
            if hashlib.sha256(payload).digest() != checksum:
                return None
            return msgspec.msgpack.decode(payload, type=Entry)
        except (OSError, msgspec.DecodeError):
            return None

    def put(self, content: str, entry: Entry) -> None:
        """Keeps an entry, if there is room for it."""
        payload = msgspec.msgpack.encode(entry)
        path = self._path(content)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(hashlib.sha256(payload).digest() + payload)
            draft.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def _path(self, content: str) -> Path:
        return self._folder / content[:2] / content[2:]
