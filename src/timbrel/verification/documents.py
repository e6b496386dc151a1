"""What was found as plain data: every figure of a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from timbrel import __version__
from timbrel.verification import calibration
from timbrel.verification.conversions import Verdict
from timbrel.verification.evaluation import Evaluation, Mistake
from timbrel.verification.findings import Findings
from timbrel.verification.hearing import Hearing

#: Similarities of more speakers than this are on the page as pictures, and nowhere as numbers.
_MOST_IN_TABLES = 200
#: Pairs of speakers that are named.
_MOST_CONFUSED = 20


def of_findings(found: Findings, hearing: Hearing) -> dict[str, Any]:
    """All figures as plain data."""
    one, trials = found.evaluation, found.scored.trials
    curve = calibration.thin(one.curve)
    small = len(one.cells.names) <= _MOST_IN_TABLES
    return {
        "timbrel": __version__,
        "encoder": {"name": hearing.name, "family": hearing.family, "fingerprint": hearing.fingerprint},
        "data": asdict(found.data),
        "excluded": list(found.vectors.problems.values()),
        "missing": {"files": list(trials.missing), "trials": trials.left_out},
        "same_content_trials": found.scored.same_content,
        "notes": list(trials.notes) + _notes(one),
        "equal_error_rate": one.equal_error_rate,
        "equal_error_threshold": one.equal_error_threshold,
        "minimum_costs": [asdict(cost) for cost in one.costs],
        "threshold": _threshold(found),
        "calibration": {
            "fitted_on": found.calibrated_by or "these trials",
            "slope": found.slope,
            "offset": found.offset,
            "cllr": found.cllr,
            "minimum_cllr": found.minimum_cllr,
        },
        "histogram": {key: getattr(one, key).tolist() for key in ("edges", "same", "different")},
        "error_curve": {
            key: getattr(curve, key).tolist() for key in ("thresholds", "false_accepts", "false_rejects")
        },
        "speakers": list(one.cells.names),
        "similarity": {
            key: getattr(one.likeness, key).tolist() if small else None
            for key in ("minimum", "mean", "maximum")
        },
        "confused_speakers": list(_confused_speakers(one)),
        "confused": [_mistake(found, mistake) for mistake in one.confused],
        "missed": [_mistake(found, mistake) for mistake in one.missed],
    }


def of_verdict(found: Verdict, hearing: Hearing, name: str, missing: Sequence[str]) -> dict[str, Any]:
    """Converted speech, as plain data."""
    return {
        "timbrel": __version__,
        "encoder": {"name": hearing.name, "family": hearing.family, "fingerprint": hearing.fingerprint},
        "data": name,
        "threshold": found.threshold,
        "excluded": list(found.excluded),
        "missing": list(missing),
        "conversions": len(found.rows),
        "similarity_to_target": found.to_target,
        "similarity_to_source": found.to_source,
        "nearer_to_target": found.nearer,
        "spoofing_success": asdict(found.spoofing),
        "still_accepted_as_source": asdict(found.kept),
        "source_accepted_as_target": asdict(found.unconverted),
        "rows": [
            {
                **{key: str(path) for key, path in asdict(row.conversion).items()},
                "to_target": row.to_target,
                "to_source": row.to_source,
                "source_to_target": row.between,
            }
            for row in found.rows
        ],
    }


def _threshold(found: Findings) -> dict[str, Any]:
    one = found.evaluation
    return {
        "value": one.threshold,
        "rule": one.rule,
        "origin": found.threshold_origin,
        "false_accepts": asdict(one.false_accepts),
        "false_rejects": asdict(one.false_rejects),
    }


def _notes(one: Evaluation) -> list[str]:
    count, cells = len(one.cells.of_speaker), len(one.cells.names)
    if not one.cells.grouped:
        return []
    return [
        f"The {count:,} speakers are shown, and drawn for the intervals, in {cells} groups in alphabetical "
        "order. Pairs of two speakers of one group count as errors but are in no cell of the heatmaps."
    ]


def _confused_speakers(one: Evaluation) -> Iterator[dict[str, Any]]:
    """Pairs of speakers by their mean score, the highest first."""
    if one.cells.grouped:
        return
    first, second = np.triu_indices(len(one.cells.names), 1)
    means = one.likeness.mean[first, second]
    order = np.argsort(-np.where(np.isnan(means), -np.inf, means), kind="stable")[:_MOST_CONFUSED]
    for row, column in zip(first[order], second[order], strict=True):
        if np.isfinite(one.likeness.mean[row, column]):
            yield {
                "first": one.cells.names[row],
                "second": one.cells.names[column],
                "minimum": float(one.likeness.minimum[row, column]),
                "mean": float(one.likeness.mean[row, column]),
                "maximum": float(one.likeness.maximum[row, column]),
            }


def _mistake(found: Findings, one: Mistake) -> dict[str, Any]:
    paths = found.scored.trials.paths
    return {"first": str(paths[one.first]), "second": str(paths[one.second]), "score": one.score}
