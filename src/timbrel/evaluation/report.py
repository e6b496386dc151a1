"""report.html: tables, what differs, plots, and recordings to listen to, in a page that needs no network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from timbrel.evaluation.metrics import Column, Metric
from timbrel.evaluation.players import FOLDER, SECONDS, Players
from timbrel.evaluation.summary import ALL, Comparison, Figure, better_of
from timbrel.intervals import percent
from timbrel.reporting import chart
from timbrel.reporting import page as html
from timbrel.reporting.chart import Point
from timbrel.wording import counted

if TYPE_CHECKING:
    from timbrel.evaluation.converting import Progress
    from timbrel.evaluation.run import Evaluation

#: Pairs that the list of problems names.
_MOST_PROBLEMS = 100
_ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}


def page(found: Evaluation, out: Path, audio_mb: float, audio_files: bool, progress: Progress) -> str:
    """The whole page."""
    files = out / FOLDER if audio_files else None
    sections = [
        html.section("Systems", _systems(found)),
        *(html.section(metric.name, *_metric(found, metric)) for metric in found.metrics),
        html.section("Voices before a machine", *_voices(found)),
        html.section("What differs", *_differences(found)),
        *(html.section(f"In groups: {group}", _group(found, group)) for group in _groups(found)),
        html.section("Plots", "".join(_plots(found))),
        html.section("Listen", *_listening(found, Players(audio_mb * 1e6, files), audio_mb, progress)),
        html.section("Left out", html.items(_left_out(found))),
        html.section("How to read this", html.items(_NOTES)),
    ]
    return html.page(f"Evaluation: {found.table.name}", sections)


_NOTES = (
    "Behind each figure stands its 95 % interval over speakers, source and target speakers both: what other "
    "speakers might have given. Without one there are too few. Arrows say which direction is better.",
    "Rates such as word errors are those of all pairs together, not means of rates.",
    "Two systems are compared on the pairs that both converted: the interval is that of their difference, p "
    "is of Wilcoxon's signed-rank test over speakers, the larger of that over source and that over target "
    "speakers. It is then corrected by Holm's method, once for all pairs of systems that a figure compares, "
    "once for all comparisons on this page. The more figures are looked at, the more the last column counts.",
    "The source unconverted and its copy by a vocoder are controls: the first shows what a system gets that "
    "changes nothing, the second what is lost without any conversion.",
)


def _systems(found: Evaluation) -> str:
    heading = (
        "system",
        "kind",
        "made by",
        "pairs",
        "real-time factor",
        "peak memory, MiB",
        "on the GPU, MiB",
    )
    rows = []
    for system in found.systems:
        speed = system.speed
        gpu = speed.peak_gpu_memory_mib if speed else None
        rows.append(
            (
                system.name,
                system.kind,
                system.made_by,
                len(system.files),
                f"{speed.real_time_factor:.3f}" if speed else "",
                f"{speed.peak_memory_mib:,.0f}" if speed else "",
                f"{gpu:,.0f}" if gpu is not None else "",
            )
        )
    speakers = len(set(found.scores.sources.tolist())), len(set(found.scores.targets.tolist()))
    said = (
        f"{counted(len(found.pairs), 'pair')} of {counted(speakers[0], 'source speaker')} and "
        f"{counted(speakers[1], 'target speaker')}."
    )
    return html.paragraph(said) + html.table(heading, rows)


def _metric(found: Evaluation, metric: Metric) -> tuple[str, str]:
    papers = dict.fromkeys(column.paper for column in metric.columns if column.paper)
    return html.paragraph("; ".join(papers)), _table(found, ALL, metric.columns)


def _table(found: Evaluation, group: str, columns: Sequence[Column]) -> str:
    heading = ["system", *(_heading(column) for column in columns)]
    own = found.summary.figures[group]
    rows = [[name, *(_said(row[column.name], column) for column in columns)] for name, row in own.items()]
    return html.table(heading, rows)


def _heading(column: Column) -> str:
    unit = f", {column.unit}" if column.unit else ""
    return f"{column.title}{unit}{_ARROWS[column.better]}"


def _said(figure: Figure, column: Column) -> str:
    """ "6.2 (3.9 to 8.1)", or a dash."""
    if not math.isfinite(figure.value):
        return "–"
    digits = _digits(column)
    if figure.low is None or figure.high is None:
        return f"{figure.value:.{digits}f}"
    return f"{figure.value:.{digits}f} ({figure.low:.{digits}f} to {figure.high:.{digits}f})"


def _digits(column: Column) -> int:
    return 1 if column.unit in ("%", "cents", "Hz") else 3


def _voices(found: Evaluation) -> Iterator[str]:
    encoders = list(dict.fromkeys(one.metric for one in found.equal_errors))
    if encoders:
        rates = {(one.system, one.metric): one.rate for one in found.equal_errors}
        known = {system for system, _ in rates}
        yield html.paragraph(
            "Equal error rates as in kNN-VC (Baas et al. 2023): true recordings of a target speaker against "
            "conversions to it. 50 % cannot be told apart."
        )
        yield html.table(
            ("system", *(f"EER by {name} ↑" for name in encoders)),
            [
                (
                    one.name,
                    *(
                        percent(rates[one.name, name]) if (one.name, name) in rates else "–"
                        for name in encoders
                    ),
                )
                for one in found.systems
                if one.name in known
            ],
        )
    fooled = found.spoofing
    if fooled.verdicts:
        yield html.paragraph(
            f"timbrel verify with the encoder {fooled.encoder}, which accepts from {fooled.threshold:.3f} on."
        )
        yield html.table(
            ("system", "accepted as the target", "still accepted as the source", "nearer to the target"),
            [
                (name, percent(one.spoofing), percent(one.kept), f"{one.nearer:.1%}")
                for name, one in fooled.verdicts.items()
            ],
        )


def _differences(found: Evaluation) -> Iterator[str]:
    columns = {column.name: column for column in found.scores.columns}
    shown = [one for one in found.summary.comparisons if columns[one.column].better != "neither"]
    if not shown:
        yield html.paragraph("There is one system, so nothing to compare it with but the controls above.")
        return
    heading = ("figure", "first", "second", "first minus second", "better", "p", "Holm, figure", "Holm, all")
    yield html.table(heading, [_comparison(one, columns[one.column]) for one in shown])


def _comparison(one: Comparison, column: Column) -> tuple[str, ...]:
    chances = (one.p, one.p_figure, one.p_all)
    return (
        _heading(column),
        one.first,
        one.second,
        _said(one.difference, column),
        better_of(one, column) if one.p_figure is not None and one.p_figure < 0.05 else "",
        *("too few speakers" if p is None else f"{p:.4f}" for p in chances),
    )


def _groups(found: Evaluation) -> list[str]:
    return [group for group in found.summary.figures if group != ALL]


def _group(found: Evaluation, group: str) -> str:
    return _table(found, group, [one for one in found.scores.columns if one.better != "neither"])


def _plots(found: Evaluation) -> Iterator[str]:
    for column in found.scores.columns:
        points = [
            Point(system, own[column.name].value, _span(own[column.name]))
            for system, own in found.summary.figures[ALL].items()
            if math.isfinite(own[column.name].value)
        ]
        if column.better != "neither" and points:
            yield chart.points(_heading(column), {"": points}, _scale(points))


def _span(figure: Figure) -> tuple[float, float] | None:
    return None if figure.low is None or figure.high is None else (figure.low, figure.high)


def _scale(points: Sequence[Point]) -> tuple[float, float]:
    """The ends of all intervals, and a little more."""
    ends = [end for point in points for end in (point.span or (point.value, point.value))]
    margin = 0.05 * (max(ends) - min(ends)) or 0.5
    return min(ends) - margin, max(ends) + margin


def _listening(found: Evaluation, players: Players, audio_mb: float, progress: Progress) -> Iterator[str]:
    shown = []
    for place, pair in enumerate(found.pairs):
        progress(place, len(found.pairs))
        made = players.pair(pair, found.systems)
        if made is None:
            break
        shown.append(made)
    said = (
        "All pairs."
        if len(shown) == len(found.pairs)
        else (
            f"The first {len(shown)} of {len(found.pairs)} pairs, as many as fit into {audio_mb:g} MB "
            "(--audio-mb says how much)."
        )
    )
    yield html.paragraph(f"{said} Audio is Opus; of longer recordings it is the first {SECONDS:g} seconds.")
    yield from shown


def _left_out(found: Evaluation) -> list[str]:
    missing = [f"Metric {name}: {why}" for name, why in found.missing.items()]
    problems = list(found.problems)
    more = [f"And {len(problems) - _MOST_PROBLEMS} more, in results.json."] * (len(problems) > _MOST_PROBLEMS)
    return [*missing, *problems[:_MOST_PROBLEMS], *more] or ["Nothing."]
