"""Content hashes of files, each read once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from timbrel.errors import EvaluationError
from timbrel.files import content_hash


@dataclass(frozen=True, slots=True)
class Hashes:
    """Files are known by path from their first reading on, so they must not change meanwhile."""

    known: dict[Path, str] = field(default_factory=dict)

    def of(self, path: Path) -> str:
        """SHA-256 of a file.

        Raises:
            EvaluationError: it cannot be read.
        """
        if path not in self.known:
            try:
                self.known[path] = content_hash(path)
            except OSError as error:
                raise EvaluationError(f"{path} cannot be read: {error.strerror}.") from error
        return self.known[path]
