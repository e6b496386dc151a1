"""Words of sentences that people read."""

from __future__ import annotations

from collections.abc import Sequence


def counted(count: int, noun: str) -> str:
    """1, "speaker" -> "1 speaker"; 1200, "speaker" -> "1,200 speakers"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str], most: int, between: str = ", ") -> str:
    """["a", "b", "c"], 2 -> "a, b and 1 more"; where there is room for all, "a, b, c"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more
