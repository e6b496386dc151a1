"""`timbrel verify`: is it the same person?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel.cli.shared import ForceOption, Layout, progress_line
from timbrel.cli.verification import (
    CalibrationOption,
    CohortOption,
    CorpusOption,
    EncoderOption,
    LayoutOption,
    RootOption,
    SkipMissingOption,
    SplitOption,
    ThresholdOption,
    TrialsOption,
    load_calibration,
    load_cohort,
    read_pairs,
    threshold_of,
    warn_excluded,
)
from timbrel.errors import ConfigError
from timbrel.registry import DEFAULT_MODEL
from timbrel.wording import counted

if TYPE_CHECKING:
    from timbrel.verification.calibration import Calibration
    from timbrel.verification.conversions import Verdict
    from timbrel.verification.findings import Findings
    from timbrel.verification.thresholds import Rule
    from timbrel.verification.trials import Trials

DIFFERENT = 1


@dataclass(frozen=True, slots=True)
class _Settings:
    model: str
    rule: Rule | None
    calibration: Path | None
    cohort: Path | None
    output: Path | None
    force: bool


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(verify)


def verify(
    first: Annotated[Path | None, typer.Argument(help="A recording.", metavar="A")] = None,
    second: Annotated[Path | None, typer.Argument(help="Another one.", metavar="B")] = None,
    trials: TrialsOption = None,
    corpus: CorpusOption = None,
    converted: Annotated[
        Path | None, typer.Option(help="CSV of converted speech: source,target,converted.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the report: report.html and report.json."),
    ] = None,
    threshold: ThresholdOption = None,
    calibration: CalibrationOption = None,
    model: EncoderOption = DEFAULT_MODEL,
    cohort: CohortOption = None,
    root: RootOption = None,
    skip_missing: SkipMissingOption = False,
    layout: LayoutOption = Layout.AUTO,
    split: SplitOption = None,
    force: ForceOption = False,
) -> None:
    """Say whether A and B are the same person: exit status 0 if so, 1 if not, 2 if that cannot be said.

    With --trials, --corpus or --converted, report how well that can be told of many recordings.
    """
    from timbrel.verification import thresholds

    rule = thresholds.parse(threshold) if threshold is not None else None
    settings = _Settings(model, rule, calibration, cohort, output, force)
    _check(first, second, trials, corpus, converted, output, force)
    _check_tables(first is not None, converted is not None, root, skip_missing, layout, split)
    if first is not None and second is not None:
        _compare(first, second, settings)
    elif converted is not None:
        _judge(converted, root, skip_missing, settings)
    else:
        _report(*read_pairs(corpus, trials, layout, split, root, skip_missing), settings)


def _check(
    first: Path | None,
    second: Path | None,
    trials: Path | None,
    corpus: Path | None,
    converted: Path | None,
    output: Path | None,
    force: bool,
) -> None:
    """Refuses what does not go together, and a report that could not be written."""
    from timbrel.reporting import folder
    from timbrel.verification import pictures

    pair = first is not None and second is not None
    if [pair, trials is not None, corpus is not None, converted is not None].count(True) != 1 or (
        first is not None and not pair
    ):
        raise ConfigError("Give two recordings, or one of --trials, --corpus and --converted.")
    if pair and output is not None:
        raise ConfigError("A report is of many recordings: give --trials, --corpus or --converted with it.")
    if output is not None:
        folder.check_output(output, force)
        pictures.require()


def _check_tables(
    pair: bool, conversions: bool, root: Path | None, skip_missing: bool, layout: Layout, split: str | None
) -> None:
    """Refuses options that would have no effect."""
    if pair and (root is not None or skip_missing):
        raise ConfigError("--root and --skip-missing are of a table: give --trials or --converted with them.")
    if (pair or conversions) and (layout is not Layout.AUTO or split is not None):
        raise ConfigError("--format and --split are of a corpus: give --corpus with them.")


def _compare(first: Path, second: Path, settings: _Settings) -> None:
    from timbrel.verification.findings import compare
    from timbrel.verification.hearing import Hearing

    hearing = Hearing(settings.model)
    cohort = load_cohort(settings.cohort, hearing)
    calibration = load_calibration(settings.calibration, hearing, cohort, shipped=True)
    limit, rule = threshold_of(settings.rule, calibration, hearing)
    score = compare(first, second, hearing, cohort)
    same = score >= limit
    typer.echo(f"{'same' if same else 'different'} person: score {score:.3f}, threshold {limit:.3f} ({rule})")
    typer.echo("\n".join(_reading(score, limit, calibration)))
    if not same:
        raise typer.Exit(DIFFERENT)


def _reading(score: float, limit: float, calibration: Calibration | None) -> Iterator[str]:
    """What a score means, as far as that is known."""
    if calibration is None:
        yield "  uncalibrated: nobody has measured how often this threshold errs"
        return
    accepts, rejects = calibration.rates_at(limit)
    yield f"  probability of one person, at even odds before  {calibration.probability(score):.3f}"
    yield f"  errors at the threshold: {accepts:.2%} false accepts, {rejects:.2%} false rejects"
    data = calibration.data
    speakers, pairs = counted(data.speakers, "speaker"), counted(data.same + data.different, "pair")
    yield f"  measured on {data.name}: {speakers}, {pairs}"


def _report(trials: Trials, name: str, settings: _Settings) -> None:
    from timbrel.reporting import folder
    from timbrel.verification import documents, pages
    from timbrel.verification.findings import verify as run
    from timbrel.verification.hearing import Hearing

    hearing = Hearing(settings.model)
    cohort = load_cohort(settings.cohort, hearing)
    calibration = load_calibration(settings.calibration, hearing, cohort, shipped=False)
    with progress_line("hearing") as progress:
        found = run(trials, name, hearing, settings.rule, calibration, cohort, progress)
    if settings.output is not None:
        document = documents.of_findings(found, hearing)
        folder.write(settings.output, document, pages.of_findings(found, document), settings.force)
    typer.echo("\n".join(_figures(found)))
    warn_excluded(found.vectors.problems.values())


def _figures(found: Findings) -> Iterator[str]:
    from timbrel.intervals import percent

    one, data, trials = found.evaluation, found.data, found.scored.trials
    yield f"{data.name}: {counted(data.speakers, 'speaker')}, {counted(data.recordings, 'recording')}"
    yield f"  trials            {one.same_trials:,} of one speaker, {one.different_trials:,} of two"
    if trials.left_out:
        files = counted(len(trials.missing), "missing file")
        yield f"  left out          {counted(trials.left_out, 'trial')} of {files}"
    yield f"  equal error rate  {one.equal_error_rate:.2%} at {one.equal_error_threshold:.3f}"
    yield f"  threshold         {one.threshold:.3f} ({found.threshold_origin})"
    yield f"  false accepts     {percent(one.false_accepts)}"
    yield f"  false rejects     {percent(one.false_rejects)}"
    yield from (f"  minDCF            {cost.value:.3f} ({cost.name})" for cost in one.costs)
    yield f"  Cllr              {found.cllr:.3f} bits, {found.minimum_cllr:.3f} at best"


def _judge(table: Path, root: Path | None, skip_missing: bool, settings: _Settings) -> None:
    from timbrel.reporting import folder
    from timbrel.verification import documents, pages
    from timbrel.verification.conversions import judge
    from timbrel.verification.hearing import Hearing
    from timbrel.verification.lists import read_conversions

    conversions, missing = read_conversions(table, root, skip_missing=skip_missing)
    hearing = Hearing(settings.model)
    cohort = load_cohort(settings.cohort, hearing)
    calibration = load_calibration(settings.calibration, hearing, cohort, shipped=True)
    limit, rule = threshold_of(settings.rule, calibration, hearing)
    with progress_line("hearing") as progress:
        found = judge(conversions, hearing, limit, cohort, progress)
    if settings.output is not None:
        document = documents.of_verdict(found, hearing, table.name, missing)
        folder.write(settings.output, document, pages.of_verdict(found, document), settings.force)
    typer.echo("\n".join(_verdict(found, rule, len(missing))))
    warn_excluded(found.excluded)


def _verdict(found: Verdict, rule: str, missing: int) -> Iterator[str]:
    from timbrel.intervals import percent

    yield f"{counted(len(found.rows), 'conversion')}, threshold {found.threshold:.3f} ({rule})"
    if missing:
        yield f"  left out                {counted(missing, 'missing file')}"
    yield f"  similarity to target    {found.to_target:.3f}"
    yield f"  similarity to source    {found.to_source:.3f}"
    yield f"  nearer to the target    {found.nearer:.1%}"
    yield f"  accepted as the target  {percent(found.spoofing)}"
    yield f"  accepted as the source  {percent(found.kept)}"
    yield f"  sources taken for the target as they are  {percent(found.unconverted)}"
