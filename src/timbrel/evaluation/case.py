"""What is judged: one converted recording, and what it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Case:
    """One conversion by one system.

    Fields:
        target: the recording of the wanted voice that the system was given.
        text: what the source says, where that is known.
        parallel: the target's speaker saying the source's words, where there is such a recording.
        language: as in the list of pairs, such as "en"; None if it is not said.
    """

    source: Path
    target: Path
    converted: Path
    text: str | None
    parallel: Path | None
    language: str | None
