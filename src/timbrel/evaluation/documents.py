"""Everything that was found, as plain data: results.json and scores.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from timbrel import __version__
from timbrel.evaluation.summary import better_of

if TYPE_CHECKING:
    from timbrel.evaluation.pairs import Pair
    from timbrel.evaluation.run import Evaluation
    from timbrel.evaluation.systems import System
    from timbrel.evaluation.voices import Spoofing

#: What scores.csv says of a pair.
_PAIR = ("id", "source", "target", "source_speaker", "target_speaker", "condition", "direction", "language")


def results(found: Evaluation) -> dict[str, Any]:
    """results.json: every figure of every system."""
    columns = {column.name: column for column in found.scores.columns}
    return {
        "timbrel": __version__,
        "pairs": {"table": found.table.name, "hash": found.list_hash, "count": len(found.pairs)},
        "speakers": {
            "source": len(set(found.scores.sources.tolist())),
            "target": len(set(found.scores.targets.tolist())),
        },
        "systems": {system.name: _system(system) for system in found.systems},
        "metrics": {
            metric.name: {
                "fingerprint": metric.fingerprint,
                "columns": [asdict(one) for one in metric.columns],
            }
            for metric in found.metrics
        },
        "metrics_left_out": dict(found.missing),
        "figures": {
            group: {
                system: {name: asdict(figure) for name, figure in own.items()} for system, own in rows.items()
            }
            for group, rows in found.summary.figures.items()
        },
        "comparisons": [
            {**asdict(one), "better": better_of(one, columns[one.column])}
            for one in found.summary.comparisons
        ],
        "equal_error_rates": [asdict(one) for one in found.equal_errors],
        "verification": _verification(found.spoofing),
        "cases": [_case(pair) for pair in found.pairs],
        "problems": list(found.problems),
    }


def scores_csv(found: Evaluation) -> str:
    """scores.csv: a row for each pair and system, with every number."""
    keys = list(next(iter(found.scores.values.values()), {}))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["system", *_PAIR, "converted", *keys])
    for system in found.systems:
        values = found.scores.values[system.name]
        for place, pair in enumerate(found.pairs):
            cells = [_number(values[key][place]) for key in keys]
            converted = system.files.get(pair.id, "")
            writer.writerow([system.name, *(getattr(pair, key) for key in _PAIR), converted, *cells])
    return text.getvalue()


def _case(pair: Pair) -> dict[str, str | None]:
    paths = {"source": str(pair.source), "target": str(pair.target)}
    return {key: getattr(pair, key) for key in _PAIR} | paths


def _number(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""


def _system(system: System) -> dict[str, Any]:
    return {
        "kind": system.kind,
        "made_by": system.made_by,
        "converted": len(system.files),
        "speed": asdict(system.speed) if system.speed else None,
        "problems": dict(system.problems),
    }


def _verification(found: Spoofing) -> dict[str, Any]:
    return {
        "encoder": found.encoder,
        "threshold": found.threshold,
        "problem": found.problem,
        "systems": dict(_verdicts(found)),
    }


def _verdicts(found: Spoofing) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for system, verdict in found.verdicts.items():
        yield (
            system,
            {
                "conversions": len(verdict.rows),
                "spoofing_success": asdict(verdict.spoofing),
                "still_accepted_as_source": asdict(verdict.kept),
                "nearer_to_target": verdict.nearer,
                "similarity_to_target": verdict.to_target,
                "similarity_to_source": verdict.to_source,
                "excluded": list(verdict.excluded),
            },
        )
