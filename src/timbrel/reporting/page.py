"""The report as one page of HTML that asks nobody for anything: pictures and style are inside it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

_TEMPLATE = Path(__file__).with_name("page.html")

Cell = str | float | int


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG, its caption, and what it shows in words."""

    png: bytes
    caption: str
    words: str


def page(title: str, sections: Iterable[str]) -> str:
    """The page; `title` is text, the sections are HTML."""
    template = Template(_TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(title=escape(title), body="\n".join(sections))


def section(heading: str, *parts: str) -> str:
    """A heading, which is text, and HTML below it."""
    return "\n".join([f"<section><h2>{escape(heading)}</h2>", *parts, "</section>"])


def paragraph(text: str) -> str:
    """Text in smaller print."""
    return f'<p class="note">{escape(text)}</p>'


def items(texts: Sequence[str]) -> str:
    """Texts as a list."""
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>" if texts else ""


def table(heading: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A table of texts and numbers; floats with three digits."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heading)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def pictures(shown: Iterable[Picture | None]) -> str:
    """Pictures side by side where there is room."""
    return f'<div class="pictures">{"".join(_figure(one) for one in shown if one)}</div>'


def _cell(value: Cell) -> str:
    if isinstance(value, str):
        return f'<td class="name">{escape(value)}</td>'
    return f'<td class="number">{f"{value:.3f}" if isinstance(value, float) else f"{value:,}"}</td>'


def _figure(shown: Picture) -> str:
    data = base64.b64encode(shown.png).decode("ascii")
    return (
        f'<figure><img alt="{escape(shown.words)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(shown.caption)}</figcaption></figure>"
    )
