"""What was found as a page: the figures of a document, the pictures, and words between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from timbrel.intervals import percent
from timbrel.reporting import page
from timbrel.verification import pictures
from timbrel.verification.conversions import Verdict
from timbrel.verification.evaluation import Evaluation
from timbrel.verification.findings import Findings
from timbrel.wording import counted


def of_findings(found: Findings, document: Mapping[str, Any]) -> str:
    """The same to look at."""
    one, usable = found.evaluation, found.vectors.usable
    trials = found.scored.trials
    shown = pictures.voice_map(found.vectors.values[usable], trials.speakers[usable], trials.names)
    mistakes = ("first", "second", "score")
    return page.page(
        f"Speaker verification: {found.data.name}",
        [
            page.section("In short", page.table(("figure", "value"), _summary(found, document))),
            page.section("Left out", page.items(document["excluded"]), _left_out(document)),
            page.section(
                "Who is like whom",
                page.pictures(pictures.heatmaps(one)),
                page.paragraph(
                    "On the diagonal, different recordings of one speaker; off it, of two. No recording is "
                    "compared with itself. A cell is empty where there are no trials."
                ),
            ),
            page.section(
                "Errors", page.pictures([pictures.histogram(one), pictures.error_tradeoff(one)]), _costs(one)
            ),
            page.section(
                "Most confused speakers",
                page.table(
                    ("speaker", "speaker", "minimum", "mean", "maximum"), _rows(document["confused_speakers"])
                ),
            ),
            page.section(
                "Different speakers who score highest", page.table(mistakes, _rows(document["confused"]))
            ),
            page.section("One speaker who scores lowest", page.table(mistakes, _rows(document["missed"]))),
            page.section("The voices", page.pictures([shown])),
            page.section("Notes", page.items(document["notes"])),
        ],
    )


def of_verdict(found: Verdict, document: Mapping[str, Any]) -> str:
    """The same to look at."""
    to_target = np.array([row.to_target for row in found.rows])
    to_source = np.array([row.to_source for row in found.rows])
    summary: list[tuple[str, page.Cell]] = [
        ("conversions", len(found.rows)),
        ("similarity to the target, mean", found.to_target),
        ("similarity to the source, mean", found.to_source),
        ("nearer to the target than to the source", f"{found.nearer:.1%}"),
        (f"accepted as the target from {found.threshold:.3f} on (spoofing success)", percent(found.spoofing)),
        ("still accepted as the source", percent(found.kept)),
        ("sources accepted as the target as they are", percent(found.unconverted)),
    ]
    rows = [
        (row["converted"], row["source"], row["target"], row["to_target"], row["to_source"])
        for row in document["rows"]
    ]
    return page.page(
        f"Converted speech: {document['data']}",
        [
            page.section("In short", page.table(("figure", "value"), summary)),
            page.section(
                "Left out", page.items([*document["excluded"], *map(_missing, document["missing"])])
            ),
            page.section(
                "Between source and target",
                page.pictures([pictures.score_pairs(to_target, to_source, found.threshold)]),
            ),
            page.section(
                "Conversions", page.table(("converted", "source", "target", "to target", "to source"), rows)
            ),
        ],
    )


def _summary(found: Findings, document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    one, data = found.evaluation, found.data
    encoder = document["encoder"]
    yield "encoder", f"{encoder['name']} ({encoder['family']}, {encoder['fingerprint']})"
    speakers, recordings = counted(data.speakers, "speaker"), counted(data.recordings, "recording")
    yield "data", f"{speakers}, {recordings} ({data.hash})"
    yield "trials", f"{one.same_trials:,} of one speaker, {one.different_trials:,} of two"
    yield "equal error rate", f"{one.equal_error_rate:.2%} at {one.equal_error_threshold:.3f}"
    yield f"threshold ({document['threshold']['origin']})", f"{one.threshold:.4f}"
    yield "false accepts there, 95 % interval over speakers", percent(one.false_accepts)
    yield "false rejects there, 95 % interval over speakers", percent(one.false_rejects)
    yield (
        f"Cllr, calibrated on {document['calibration']['fitted_on']}",
        f"{found.cllr:.3f} bits, {found.minimum_cllr:.3f} at best",
    )


def _left_out(document: Mapping[str, Any]) -> str:
    missing, copies = document["missing"], document["same_content_trials"]
    counted = [
        (len(document["excluded"]), "recordings that cannot be compared, named above"),
        (missing["trials"], f"trials of {len(missing['files'])} missing files"),
        (copies, "trials of a recording with itself or a copy of itself"),
    ]
    said = ", ".join(f"{count:,} {what}" for count, what in counted if count)
    return page.paragraph(f"Left out: {said}." if said else "Nothing.") + page.items(
        [*map(_missing, missing["files"])]
    )


def _missing(name: str) -> str:
    return f"{name} is missing."


def _costs(one: Evaluation) -> str:
    heading = ("minDCF, normalised", "P(target)", "C(miss)", "C(false accept)", "value")
    rows = [
        (c.name, f"{c.target_share:g}", f"{c.miss_cost:g}", f"{c.accept_cost:g}", c.value) for c in one.costs
    ]
    return page.table(heading, rows)


def _rows(found: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    return [list(row.values()) for row in found]
