"""Overlapping windows with context: long audio is worked through piece by piece, without seams.

A window is what one step produces (`start` to `stop`) and what it may look at (`context_start` to
`context_stop`). If the context is at least the receptive field of what is applied, the joined
results equal the result on the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Window:
    """Half-open ranges of frames (or samples), counted from the start of the whole."""

    start: int
    stop: int
    context_start: int
    context_stop: int

    @property
    def inner(self) -> slice:
        """Where `start` to `stop` lies within the frames from `context_start` on."""
        return slice(self.start - self.context_start, self.stop - self.context_start)


def plan(total_frames: int, size: int, context: int) -> Iterator[Window]:
    """Windows of `size` frames that tile `total_frames`, each with up to `context` on either side.

    Raises:
        ValueError: if `size` is not positive or `context` is negative.
    """
    _check(size, context)
    for start in range(0, total_frames, size):
        stop = min(start + size, total_frames)
        yield Window(start, stop, max(0, start - context), min(total_frames, stop + context))


def overlapping(blocks: Iterable[np.ndarray], size: int, context: int) -> Iterator[tuple[Window, np.ndarray]]:
    """Cuts a stream of blocks (n, ...) of any lengths into the windows of `plan`.

    Yields each window with its frames from `context_start` to `context_stop`. Only one window and
    the block that completes it are held, and the total need not be known beforehand.

    Raises:
        ValueError: if `size` is not positive or `context` is negative.
    """
    _check(size, context)
    held: list[np.ndarray] = []
    first, end, start = 0, 0, 0  # `held` spans first..end; the next window begins at start
    for block in blocks:
        held.append(block)
        end += len(block)
        while end >= start + size + context:
            window = Window(start, start + size, max(0, start - context), start + size + context)
            joined = np.concatenate(held)
            yield window, joined[window.context_start - first : window.context_stop - first]
            start += size
            keep = max(0, start - context)
            held, first = [joined[keep - first :]], keep
    joined = np.concatenate(held) if held else np.zeros(0, dtype=np.float32)
    for rest in plan(end - start, size, context):
        window = _shift(rest, start, context)
        yield window, joined[window.context_start - first : window.context_stop - first]


def _shift(window: Window, by: int, context: int) -> Window:
    """A window planned from frame `by` on, which may now look back beyond it."""
    start = window.start + by
    return Window(start, window.stop + by, max(0, start - context), window.context_stop + by)


def _check(size: int, context: int) -> None:
    if size <= 0 or context < 0:
        raise ValueError(f"A window needs size > 0 and context >= 0, not {size} and {context}.")
