"""A study's results written down: on the terminal, and as a folder of a page, JSON and two tables of CSV.

REPORT/report.json    every figure
REPORT/report.html    the same to look at, one file that needs no network
REPORT/means.csv      a row for each test, condition and system
REPORT/ratings.csv    a row for each rating, those of rejected listeners marked
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timbrel.listening import tables
from timbrel.listening.effects import Interval
from timbrel.listening.results import Findings
from timbrel.listening.scales import SCALES
from timbrel.listening.study import PAIRED
from timbrel.reporting import chart, folder, page

if TYPE_CHECKING:
    from rich.console import RenderableType


def terminal(found: Findings) -> Iterator[RenderableType]:
    """What rich prints: the short table, and the rest in sentences."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    yield from map(Text, tables.counts(found))
    short = tables.summary(found)
    if short.rows:
        table = Table(*short.heading, box=box.SIMPLE_HEAD, caption=short.note, caption_justify="left")
        for row in short.rows:
            table.add_row(*map(Text, row))
        yield table
    yield from map(Text, tables.verdicts(found))
    for test, ordinal, interval in tables.agreement(found).rows:
        yield Text(f"Agreement in {test}: Krippendorff's alpha {ordinal} ordinal, {interval} interval")
    for listener, _, why in tables.rejected(found).rows:
        yield Text(f"Rejected {listener}: {why}")


def write(found: Findings, output: Path, force: bool) -> None:
    """Writes the folder, whole or not at all.

    Raises:
        OutputError: as `timbrel.reporting.folder.check_output`.
    """
    files = {"means.csv": _csv(_means(found)), "ratings.csv": _csv(_ratings(found))}
    folder.write(output, document(found), html(found), force, files)


def document(found: Findings) -> dict[str, Any]:
    """Every figure as plain data."""
    return {
        "title": found.study.title,
        "tests": list(found.study.tests),
        "conditions": list(found.study.conditions),
        "systems": [asdict(system) for system in found.study.systems],
        "listeners": {
            "joined": len(found.listeners),
            "finished": sum(one.finished for one in found.listeners),
            "headphones": {
                "passed": sum(one.headphones_passed is True for one in found.listeners),
                "failed": sum(one.headphones_passed is False for one in found.listeners),
            },
            "rejected": [asdict(one) for one in found.rejected],
        },
        "ratings": {"all": len(found.ratings), "counted": found.counted},
        "means": [asdict(cell) for cell in found.cells],
        "comparisons": [asdict(one) | {"significant": one.significant} for one in found.comparisons],
        "agreement": [asdict(one) for one in found.agreement],
    }


def html(found: Findings) -> str:
    """The page."""
    first, *others = tables.tables(found)
    return page.page(
        f"Listening test: {found.study.title}",
        [
            page.section(first.title, *map(page.paragraph, tables.counts(found)), *_shown(first)),
            page.section("Means and 95 % intervals", *_charts(found)) if found.cells else "",
            *(page.section(one.title, *_shown(one)) for one in others),
        ],
    )


def _shown(table: tables.Table) -> list[str]:
    return [page.table(table.heading, table.rows), page.paragraph(table.note)]


def _charts(found: Findings) -> Iterator[str]:
    """One for each test with a scale."""
    for test in (test for test in found.study.tests if test not in PAIRED):
        scale = SCALES[test]
        groups: dict[str, list[chart.Point]] = {}
        for cell in (cell for cell in found.cells if cell.test == test):
            limits = cell.mean.student
            span = (limits.low, limits.high) if limits else None
            groups.setdefault(cell.condition, []).append(chart.Point(cell.system, cell.mean.value, span))
        yield chart.points(f"{scale.title} ({test.upper()})", groups, (scale.least, scale.most))


def _means(found: Findings) -> list[dict[str, Any]]:
    return [
        {
            "test": cell.test,
            "condition": cell.condition,
            "system": cell.system,
            "mean": cell.mean.value,
            **_limits("t", cell.mean.student),
            **_limits("bootstrap", cell.mean.bootstrap),
            "same": cell.same.value if cell.same else "",
            **_limits("same_t", cell.same.student if cell.same else None),
            **_limits("same_bootstrap", cell.same.bootstrap if cell.same else None),
            "ratings": cell.mean.ratings,
            "listeners": cell.mean.listeners,
            "items": cell.mean.samples,
        }
        for cell in found.cells
    ]


def _limits(name: str, limits: Interval | None) -> dict[str, float | str]:
    return {
        f"{name}_low": limits.low if limits else "",
        f"{name}_high": limits.high if limits else "",
    }


def _ratings(found: Findings) -> list[dict[str, Any]]:
    out = found.left_out
    return [asdict(one) | {"rejected": int(one.listener in out)} for one in found.ratings]


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
