"""What was computed of a recording, kept by the content of the file and by what computed it.

    HOME/cache/FOLDER/ab/cdef...   SHA-256 of the rest, then the data

Data is written beside its place and moved there, so several writers do no harm: the last one puts the
same bytes. What does not match its checksum counts as absent. A cache that cannot be written is no
cache, and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

from timbrel import registry

_CHECKSUM_BYTES = 32


class Cache:
    """Bytes by keys of hexadecimal digits, in one folder of the cache of TIMBREL_HOME."""

    def __init__(self, *folder: str) -> None:
        self._folder = registry.home().joinpath("cache", *folder)

    def get(self, key: str) -> bytes | None:
        """What was put under a key, if it is there and whole."""
        try:
            data = self._path(key).read_bytes()
        except OSError:
            return None
        checksum, payload = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
        return payload if hashlib.sha256(payload).digest() == checksum else None

    def put(self, key: str, payload: bytes) -> None:
        """Keeps bytes under a key, if there is room for them."""
        path = self._path(key)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(hashlib.sha256(payload).digest() + payload)
            draft.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key[2:]
