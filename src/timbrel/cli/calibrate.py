"""`timbrel calibrate`: a threshold, and what scores mean, from the user's own speech."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from timbrel.cli.shared import ForceOption, Layout, progress_line
from timbrel.cli.verification import (
    CohortOption,
    CorpusOption,
    EncoderOption,
    LayoutOption,
    RootOption,
    SkipMissingOption,
    SplitOption,
    ThresholdOption,
    TrialsOption,
    load_cohort,
    read_pairs,
    warn_excluded,
)
from timbrel.errors import ConfigError
from timbrel.files import check_output
from timbrel.registry import DEFAULT_MODEL
from timbrel.wording import counted


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(calibrate)


def calibrate(
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, JSON.")],
    corpus: CorpusOption = None,
    trials: TrialsOption = None,
    threshold: ThresholdOption = None,
    model: EncoderOption = DEFAULT_MODEL,
    cohort: CohortOption = None,
    root: RootOption = None,
    skip_missing: SkipMissingOption = False,
    layout: LayoutOption = Layout.AUTO,
    split: SplitOption = None,
    force: ForceOption = False,
) -> None:
    """Learn from recordings whose speakers are known where `verify` and `identify` draw the line."""
    from timbrel.verification import calibration, findings, thresholds
    from timbrel.verification.hearing import Hearing

    if (corpus is None) == (trials is None):
        raise ConfigError("Give one of --corpus and --trials.")
    check_output(output, force)
    rule = thresholds.parse(threshold or "eer")
    pairs, name = read_pairs(corpus, trials, layout, split, root, skip_missing)
    hearing = Hearing(model)
    voices = load_cohort(cohort, hearing)
    with progress_line("hearing") as progress:
        made, excluded = findings.calibrate(pairs, name, hearing, rule, voices, progress)
    calibration.save(made, output)
    accepts, rejects = made.rates_at(made.threshold)
    speakers, recordings = counted(made.data.speakers, "speaker"), counted(made.data.recordings, "recording")
    typer.echo(f"{output}: {made.model}, {speakers}, {recordings}")
    typer.echo(f"  equal error rate  {made.equal_error_rate:.2%}")
    typer.echo(f"  threshold         {made.threshold:.3f} ({made.rule})")
    typer.echo(f"  errors there      {accepts:.2%} false accepts, {rejects:.2%} false rejects")
    typer.echo(f"  Cllr              {made.cllr:.3f} bits, {made.minimum_cllr:.3f} at best")
    warn_excluded(excluded)
