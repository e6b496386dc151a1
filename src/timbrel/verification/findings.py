"""From trials to all that is said of them, and to a calibration: the way each command goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from timbrel import __version__
from timbrel.corpora import layouts
from timbrel.detection import error_curve
from timbrel.errors import AudioError, CorpusError
from timbrel.verification import calibration as calibrations
from timbrel.verification import trials as trial
from timbrel.verification.calibration import Calibration, Data
from timbrel.verification.evaluation import Evaluation, evaluate, require_both_kinds
from timbrel.verification.hearing import Hearing, Progress, Vectors
from timbrel.verification.scoring import Cohort, Scored, Scorer, data_hash, score
from timbrel.verification.thresholds import EQUAL_ERRORS, Rule
from timbrel.verification.trials import Trials


@dataclass(frozen=True, slots=True)
class Findings:
    """Scored trials and what they say.

    Fields:
        calibrated_by: where the threshold's rule and the probabilities come from: the data of a
            calibration, or "" for these very trials.
        threshold_origin: in words, the rule and the data that the threshold comes from.
        slope, offset: ln(likelihood ratio) = slope * score + offset.
        cllr, minimum_cllr: bits per trial that these lose, and that the best of its kind would.
    """

    vectors: Vectors
    scored: Scored
    evaluation: Evaluation
    data: Data
    calibrated_by: str
    threshold_origin: str
    slope: float
    offset: float
    cllr: float
    minimum_cllr: float


def read_corpus(root: Path, layout: str = layouts.AUTO, split: str | None = None) -> Trials:
    """Every pair of a corpus, or of one of its splits.

    Raises:
        CorpusError: it has no layout that is known, or the split has no recordings.
    """
    name = layouts.named(layout, root)
    utterances = [one for one in layouts.read(name, root) if not one.problem]
    kept = [one for one in utterances if split in (None, one.split)]
    if not kept and utterances:
        there = ", ".join(sorted({one.split for one in utterances}))
        raise CorpusError(f'{root} has no split "{split}": those it has are {there}.')
    return trial.of_corpus(kept)


def hear_cohort(root: Path, hearing: Hearing, progress: Progress | None = None) -> Cohort:
    """The voices of a corpus, for the normalisation of scores.

    Raises:
        CorpusError: it is no corpus, or has too few speakers.
    """
    found = read_corpus(root)
    return Cohort.of(found, hearing.hear(found.paths, progress))


def compare(first: Path, second: Path, hearing: Hearing, cohort: Cohort | None = None) -> float:
    """The score of two recordings.

    Raises:
        AudioError: one of them cannot be compared, or both are the same recording.
    """
    vectors = hearing.hear([first, second])
    if vectors.problems:
        raise AudioError(" ".join(vectors.problems.values()))
    if vectors.contents[0] == vectors.contents[1]:
        raise AudioError(f"{first} and {second} are the same recording: give two different ones.")
    pair = np.array([0]), np.array([1])
    return float(Scorer(vectors.values, cohort)(*pair)[0])


def verify(
    trials: Trials,
    name: str,
    hearing: Hearing,
    rule: Rule | None = None,
    calibration: Calibration | None = None,
    cohort: Cohort | None = None,
    progress: Progress | None = None,
) -> Findings:
    """Hears, scores and counts.

    Args:
        name: of the data.
        rule: of the threshold; by default what the calibration chose, else that of equal errors.
        calibration: where the rule is read; by default on these trials.

    Raises:
        CorpusError: there are fewer than two speakers, or no pairs of one kind.
        ConfigError: the rule cannot be read off so few trials.
    """
    vectors = hearing.hear(trials.paths, progress)
    scored = score(trials, vectors, cohort)
    chosen = rule or (Rule("score", calibration.threshold) if calibration else EQUAL_ERRORS)
    source = calibration.data.name if calibration else "these trials"
    followed = calibration.rule if calibration and rule is None else str(chosen)
    given = rule is not None and rule.kind == "score"
    found = evaluate(scored, chosen, calibration.curve if calibration else None)
    same, different = scored.of_same, scored.of_different
    if calibration:
        slope, offset = calibration.slope, calibration.offset
    else:
        slope, offset = calibrations.fit(same, different)
    return Findings(
        vectors=vectors,
        scored=scored,
        evaluation=found,
        data=_data(name, scored, vectors),
        calibrated_by=calibration.data.name if calibration else "",
        threshold_origin="as given" if given else f"{followed}, from {source}",
        slope=slope,
        offset=offset,
        cllr=calibrations.cllr(slope * same + offset, slope * different + offset),
        minimum_cllr=calibrations.minimum_cllr(same, different),
    )


def calibrate(
    trials: Trials,
    name: str,
    hearing: Hearing,
    rule: Rule = EQUAL_ERRORS,
    cohort: Cohort | None = None,
    progress: Progress | None = None,
) -> tuple[Calibration, Sequence[str]]:
    """A threshold and a calibration from trials, and which recordings were left out.

    Raises:
        CorpusError: there are fewer than two speakers, no pairs of one kind, or the scores tell nothing.
        ConfigError: the rule cannot be read off so few trials.
    """
    vectors = hearing.hear(trials.paths, progress)
    scored = score(trials, vectors, cohort)
    require_both_kinds(scored)
    same, different = scored.of_same, scored.of_different
    curve = error_curve(same, different)
    thinned = calibrations.thin(curve)
    slope, offset = calibrations.fit(same, different)
    made = Calibration(
        encoder=hearing.fingerprint,
        model=hearing.name,
        cohort=cohort.data if cohort else "",
        data=_data(name, scored, vectors),
        threshold=rule.of(curve),
        rule=str(rule),
        equal_error_rate=curve.equal_error_rate(),
        slope=slope,
        offset=offset,
        cllr=calibrations.cllr(slope * same + offset, slope * different + offset),
        minimum_cllr=calibrations.minimum_cllr(same, different),
        thresholds=tuple(thinned.thresholds.tolist()),
        false_accepts=tuple(thinned.false_accepts.tolist()),
        false_rejects=tuple(thinned.false_rejects.tolist()),
        timbrel=__version__,
        made=datetime.now(UTC).date().isoformat(),
    )
    return made, tuple(vectors.problems.values())


def _data(name: str, scored: Scored, vectors: Vectors) -> Data:
    heard = scored.trials.speakers[vectors.usable]
    return Data(
        name=name,
        hash=data_hash(scored.trials, vectors),
        speakers=len(set(heard.tolist())),
        recordings=len(heard),
        same=len(scored.of_same),
        different=len(scored.of_different),
    )
