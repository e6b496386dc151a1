"""What was heard in a recording, kept by the content of the file and the weights that heard it.

HOME/cache/embeddings-1/ENCODER/ab/cdef...   the entry as MessagePack; see `timbrel.cache`
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from timbrel import cache

#: The folder's number is raised when what is heard of a recording changes.
_FOLDER = "embeddings-1"


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


class Cache:
    """Entries of one encoder, by content hash."""

    def __init__(self, encoder: str) -> None:
        self._bytes = cache.Cache(_FOLDER, encoder)

    def get(self, content: str) -> Entry | None:
        """The entry of a recording, if there is one that is whole."""
        payload = self._bytes.get(content)
        try:
            return None if payload is None else msgspec.msgpack.decode(payload, type=Entry)
        except msgspec.DecodeError:
            return None

    def put(self, content: str, entry: Entry) -> None:
        """Keeps an entry, if there is room for it."""
        self._bytes.put(content, msgspec.msgpack.encode(entry))
