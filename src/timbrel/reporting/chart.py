"""Means with their intervals as a drawing inside a page: SVG, so it needs no library and stays sharp."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _NAMES, _RIGHT, _ROW, _AXIS = 640, 200, 20, 24, 28
_MOST_TICKS = 10


@dataclass(frozen=True, slots=True)
class Point:
    """A value, its name, and the limits of its interval if it has one."""

    name: str
    value: float
    span: tuple[float, float] | None


def points(title: str, groups: Mapping[str, Sequence[Point]], scale: tuple[float, float]) -> str:
    """A row for each point, below the name of its group; the figures are said in words for screen readers.

    Args:
        scale: the values at the left and the right end.
    """
    rows = sum(len(group) + 1 for group in groups.values())
    height = rows * _ROW + _AXIS
    words = "; ".join(f"{group} {_words(point)}".strip() for group, own in groups.items() for point in own)
    drawing = "".join([*_axis(scale, rows * _ROW), *_rows(groups, scale)])
    return (
        f'<figure><svg role="img" aria-label="{escape(f"{title}: {words}")}" viewBox="0 0 {_WIDTH} {height}"'
        f' style="max-width: {_WIDTH}px; width: 100%; font-size: 13px">{drawing}</svg>'
        f"<figcaption>{escape(title)}</figcaption></figure>"
    )


def _words(point: Point) -> str:
    limits = f" ({point.span[0]:.2f} to {point.span[1]:.2f})" if point.span else ""
    return f"{point.name} {point.value:.2f}{limits}"


def _place(value: float, scale: tuple[float, float]) -> float:
    """Where a value lies from left to right; beyond the scale, at its end."""
    share = (value - scale[0]) / (scale[1] - scale[0])
    return _NAMES + min(1.0, max(0.0, share)) * (_WIDTH - _NAMES - _RIGHT)


def _axis(scale: tuple[float, float], bottom: float) -> Iterator[str]:
    for tick in _ticks(scale):
        x = _place(tick, scale)
        yield f'<line x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>'


def _ticks(scale: tuple[float, float]) -> list[float]:
    """Round numbers within the scale, 1, 2 or 5 times a power of ten apart."""
    least = (scale[1] - scale[0]) / _MOST_TICKS
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * 0.999)
    first, last = math.ceil(scale[0] / step - 1e-9), math.floor(scale[1] / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _rows(groups: Mapping[str, Sequence[Point]], scale: tuple[float, float]) -> Iterator[str]:
    y = _ROW / 2
    for name, group in groups.items():
        yield f'<text x="0" y="{y + 4}" font-weight="bold">{escape(name)}</text>'
        y += _ROW
        for point in group:
            yield f'<text x="{_NAMES - 12}" y="{y + 4}" text-anchor="end">{escape(point.name)}</text>'
            if point.span:
                low, high = (_place(end, scale) for end in point.span)
                yield f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="#1b1b1b"/>'
            yield f'<circle cx="{_place(point.value, scale):.1f}" cy="{y}" r="4" fill="#0b5cad"/>'
            y += _ROW
