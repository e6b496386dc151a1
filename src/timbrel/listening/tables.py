"""The tables of a study's results, as texts: for the terminal and for the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from timbrel.listening.effects import Interval, Mean
from timbrel.listening.results import Cell, Findings
from timbrel.listening.significance import Comparison
from timbrel.listening.study import PAIRED
from timbrel.wording import counted

#: A column of the short table.
_SAME = "same speaker"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts below a heading; `note` says how to read them."""

    title: str
    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


def tables(found: Findings) -> list[Table]:
    """Every table that has rows, the one that answers the question first."""
    makers = (summary, differences, choices, means, same_speaker, agreement, rejected)
    return [table for table in (make(found) for make in makers) if table.rows]


def summary(found: Findings) -> Table:
    """A row for each system in each condition; a column for each test, and one for "same speaker"."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    figures = dict.fromkeys(figure for one in found.cells for figure in _figures(one))
    for one in found.cells:
        names = {"condition": one.condition, "system": _titled(found, one.system)}
        row = rows.setdefault((one.condition, one.system), names | dict.fromkeys(figures, "–"))
        row.update(_figures(one))
    note = "± is half of the 95 % interval by Student's t, over listeners and items."
    if _SAME in figures:
        note += f' "{_SAME}" is how often that is said, sure or not, with its bootstrap interval.'
    return _table("In short", rows.values(), note)


def _figures(cell: Cell) -> dict[str, str]:
    """What the short table has of a cell, by its columns."""
    figures = {cell.test.upper(): _short(cell.mean)}
    if cell.same is not None:
        figures[_SAME] = _percent(cell.same)
    return figures


def means(found: Findings) -> Table:
    """Everything about each mean."""
    rows = [
        {
            "test": one.test.upper(),
            "condition": one.condition,
            "system": _titled(found, one.system),
            "mean": f"{one.mean.value:.2f}",
            "95 % by t": _interval(one.mean.student),
            "95 % by bootstrap": _interval(one.mean.bootstrap),
            "ratings": f"{one.mean.ratings:,}",
            "listeners": f"{one.mean.listeners}",
            "items": f"{one.mean.samples}",
            "s of listeners": _number(one.mean.of_listeners),
            "s of items": _number(one.mean.of_samples),
            "s of the rest": _number(one.mean.of_rest),
        }
        for one in found.cells
    ]
    note = "s is the standard deviation that listeners, items and the rest each bring to a single rating."
    return _table("Means", rows, note)


def differences(found: Findings) -> Table:
    """Of the tests with a scale, each pair of systems."""
    rows = [
        _pair(found, one)
        | {
            "difference": f"{one.difference.value:+.2f}",
            "95 % by t": _interval(one.difference.student, "+"),
            "95 % by bootstrap": _interval(one.difference.bootstrap, "+"),
        }
        | _chances(one)
        for one in found.comparisons
        if one.test not in PAIRED
    ]
    note = "First minus second, as the same listener rated both for the same item."
    return _table("Differences between systems", rows, note)


def choices(found: Findings) -> Table:
    """AB and ABX."""
    rows = [
        _pair(found, one)
        | {
            "of answers": "prefer the first" if one.test == "ab" else "are right",
            "share": f"{one.difference.value:.1%}",
            "95 % by t": _share(one.difference.student),
            "95 % by bootstrap": _share(one.difference.bootstrap),
        }
        | _chances(one)
        for one in found.comparisons
        if one.test in PAIRED
    ]
    note = "p is that of the exact binomial test against chance, 50 %: two-sided for AB, one-sided for ABX."
    return _table("Choices", rows, note)


def same_speaker(found: Findings) -> Table:
    """Of SMOS4, how often it is said to be the same speaker."""
    rows = [
        {
            "condition": one.condition,
            "system": _titled(found, one.system),
            "share": f"{one.same.value:.1%}",
            "95 % by t": _share(one.same.student),
            "95 % by bootstrap": _share(one.same.bootstrap),
            "answers": f"{one.same.ratings:,}",
        }
        for one in found.cells
        if one.same is not None
    ]
    note = "Share of the answers to SMOS4 that say so, sure or not, as in the Voice Conversion Challenges."
    return _table("Same speaker", rows, note)


def agreement(found: Findings) -> Table:
    """Krippendorff's alpha of each test."""
    rows = [
        {
            "test": one.test.upper(),
            "alpha, ordinal": _number(one.ordinal),
            "alpha, interval": _number(one.interval),
        }
        for one in found.agreement
    ]
    note = "Krippendorff's alpha: 1 is perfect agreement, 0 that of chance."
    return _table("Agreement of listeners", rows, note)


def rejected(found: Findings) -> Table:
    """Who is left out, and why."""
    rows = [
        {"listener": one.listener, "ratings": f"{one.ratings:,}", "why": "; ".join(one.reasons)}
        for one in found.rejected
    ]
    return _table("Rejected listeners", rows, "No figure has their ratings in it.")


def counts(found: Findings) -> Iterator[str]:
    """How many took part, in sentences."""
    finished = sum(one.finished for one in found.listeners)
    yield (
        f"{counted(len(found.listeners), 'listener')} joined, {finished} finished, {len(found.rejected)} "
        f"rejected; {found.counted:,} of {len(found.ratings):,} ratings count."
    )
    checked = [one.headphones_passed for one in found.listeners if one.headphones_passed is not None]
    if checked:
        yield f"{sum(checked)} of {len(checked)} passed the headphone check."
    if any(math.isnan(one.mean.error) for one in found.cells):
        yield "Means over fewer than three listeners or items have no interval."


def verdicts(found: Findings) -> Iterator[str]:
    """What the comparisons say, a sentence each."""
    for one in found.comparisons:
        first, second = _titled(found, one.first), _titled(found, one.second)
        limits, value = one.difference.student, one.difference.value
        if one.test == "ab":
            said = f"{value:.1%} prefer {first} to {second} ({_share(limits)})"
        elif one.test == "abx":
            said = f"{value:.1%} tell {first} from {second} rightly ({_share(limits)})"
        else:
            said = f"{first} minus {second} is {value:+.2f} ({_interval(limits, '+')})"
        place = ", ".join(filter(None, (one.test.upper(), one.condition)))
        verdict = "they differ" if one.significant else "no difference is shown"
        yield f"{place}: {said}, p {_chance(one.adjusted)} after Holm: {verdict}"


def _table(title: str, rows: Iterable[Mapping[str, str]], note: str) -> Table:
    listed = list(rows)
    heading = tuple(listed[0]) if listed else ()
    return Table(title, heading, tuple(tuple(row.values()) for row in listed), note)


def _pair(found: Findings, one: Comparison) -> dict[str, str]:
    return {
        "test": one.test.upper(),
        "condition": one.condition,
        "first": _titled(found, one.first),
        "second": _titled(found, one.second),
    }


def _chances(one: Comparison) -> dict[str, str]:
    return {
        "answers": f"{one.difference.ratings:,}",
        "p": _chance(one.p),
        "p after Holm": _chance(one.adjusted),
        "differ": "yes" if one.significant else "not shown",
    }


def _titled(found: Findings, name: str) -> str:
    system = found.study.system(name)
    shown = system.title or name
    return shown if system.role == "system" else f"{shown} ({system.role})"


def _short(mean: Mean) -> str:
    if mean.student is None:
        return f"{mean.value:.2f}"
    return f"{mean.value:.2f} ± {mean.student.high - mean.value:.2f}"


def _percent(share: Mean) -> str:
    if share.bootstrap is None:
        return f"{100 * share.value:.0f} %"
    low, high = 100 * share.bootstrap.low, 100 * share.bootstrap.high
    return f"{100 * share.value:.0f} % ({low:.0f} to {high:.0f})"


def _interval(limits: Interval | None, sign: str = "") -> str:
    return "–" if limits is None else f"{limits.low:{sign}.2f} to {limits.high:{sign}.2f}"


def _share(limits: Interval | None) -> str:
    return "–" if limits is None else f"{limits.low:.1%} to {limits.high:.1%}"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _chance(p: float | None) -> str:
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
