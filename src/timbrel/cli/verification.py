"""What `verify`, `identify` and `calibrate` share: options, what is loaded, what is printed of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel.cli.shared import Layout, progress_line, warn
from timbrel.errors import ConfigError

if TYPE_CHECKING:
    from timbrel.verification.calibration import Calibration
    from timbrel.verification.hearing import Hearing
    from timbrel.verification.scoring import Cohort
    from timbrel.verification.thresholds import Rule
    from timbrel.verification.trials import Trials

#: Recordings that could not be used and are named on the screen; all of them stand in the report.
_SHOWN = 20

EncoderOption = Annotated[
    str, typer.Option("--model", "-m", help="Speaker encoder, or a model with one: its name or folder.")
]
CohortOption = Annotated[
    Path | None, typer.Option(help="Corpus of other speakers to normalise scores with (AS-norm).")
]
CalibrationOption = Annotated[
    Path | None, typer.Option("--calibration", help="File that timbrel calibrate has written.")
]
CorpusOption = Annotated[
    Path | None, typer.Option(help="Every pair of the recordings of a corpus, a folder per speaker.")
]
TrialsOption = Annotated[
    Path | None, typer.Option(help='List of pairs: lines "1 a.wav b.wav", or CSV: label,first,second.')
]
RootOption = Annotated[
    Path | None, typer.Option(help="What the paths of a list are relative to; by default its folder.")
]
SkipMissingOption = Annotated[
    bool, typer.Option("--skip-missing", help="Leave out what a list names and is not there.")
]
LayoutOption = Annotated[Layout, typer.Option("--format", help="Which corpus it is; auto looks.")]
SplitOption = Annotated[str | None, typer.Option(help="Take only this split of the corpus.")]
ThresholdOption = Annotated[
    str | None, typer.Option(help='A score, or "eer", or "far=0.01" for a false-accept rate.')
]


def load_cohort(root: Path | None, hearing: Hearing) -> Cohort | None:
    """The cohort, heard, if there is one."""
    from timbrel.verification.findings import hear_cohort

    if root is None:
        return None
    with progress_line("hearing the cohort") as progress:
        return hear_cohort(root, hearing, progress)


def load_calibration(
    file: Path | None, hearing: Hearing, cohort: Cohort | None, *, shipped: bool
) -> Calibration | None:
    """The calibration of that file; without one, that which ships for this encoder, if `shipped` is set."""
    from timbrel.verification import calibration

    data = cohort.data if cohort else ""
    if file is None:
        return calibration.bundled(hearing.fingerprint) if shipped and not data else None
    found = calibration.load(file)
    found.require(hearing.fingerprint, hearing.name, data)
    return found


def threshold_of(wanted: Rule | None, calibration: Calibration | None, hearing: Hearing) -> tuple[float, str]:
    """The threshold where there are no trials to read it from, and the rule it follows."""
    if calibration is not None:
        if wanted is None:
            return calibration.threshold, calibration.rule
        return wanted.of(calibration.curve), str(wanted)
    if wanted is None or wanted.kind != "score":
        raise ConfigError(
            f"The speaker encoder {hearing.name} ({hearing.fingerprint}) has no calibration for this: make "
            "one with timbrel calibrate and give it with --calibration, or give a score with --threshold."
        )
    return wanted.number, "as given"


def read_pairs(
    corpus: Path | None,
    trials: Path | None,
    layout: Layout,
    split: str | None,
    root: Path | None,
    skip_missing: bool,
) -> tuple[Trials, str]:
    """The trials of a corpus or a list, and what they are called."""
    from timbrel.verification.findings import read_corpus
    from timbrel.verification.lists import read_trials

    if corpus is not None:
        if root is not None or skip_missing:
            raise ConfigError("--root and --skip-missing are for lists: give one with --trials.")
        name = f"{corpus.name}, split {split}" if split else corpus.name
        return read_corpus(corpus, layout.value, split), name
    assert trials is not None
    if split is not None or layout is not Layout.AUTO:
        raise ConfigError("--split and --format are for a corpus: give one with --corpus.")
    return read_trials(trials, root, skip_missing=skip_missing), trials.name


def warn_excluded(excluded: Iterable[str]) -> None:
    """Names the recordings that were left out, the first of them on the screen."""
    sentences = list(excluded)
    warn(f"left out: {sentence}" for sentence in sentences[:_SHOWN])
    if len(sentences) > _SHOWN:
        warn([f"{len(sentences) - _SHOWN} more recordings were left out."])
