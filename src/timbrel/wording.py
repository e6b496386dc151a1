"""Words of sentences that people read."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """1, "speaker" -> "1 speaker"; 1200, "speaker" -> "1,200 speakers"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
