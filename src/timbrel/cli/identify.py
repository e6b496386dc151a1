"""`timbrel identify`: whose voice is it?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from timbrel.cli.shared import progress_line
from timbrel.cli.verification import (
    CalibrationOption,
    CohortOption,
    EncoderOption,
    ThresholdOption,
    load_calibration,
    load_cohort,
    threshold_of,
    warn_excluded,
)
from timbrel.registry import DEFAULT_MODEL
from timbrel.wording import counted

NOBODY = 1
#: Candidates that are shown unless more are asked for.
_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(identify)


def identify(
    file: Annotated[Path, typer.Argument(help="A recording.")],
    among: Annotated[
        Path,
        typer.Option(help="Folder of the known voices: folders of recordings, .voice files, recordings."),
    ],
    threshold: ThresholdOption = None,
    calibration: CalibrationOption = None,
    model: EncoderOption = DEFAULT_MODEL,
    cohort: CohortOption = None,
    top: Annotated[int, typer.Option(min=1, help="Candidates to show.")] = _SHOWN,
) -> None:
    """Rank the known voices by their likeness to FILE: exit status 0 if it is one of them, 1 if none."""
    from timbrel.verification import thresholds
    from timbrel.verification.hearing import Hearing
    from timbrel.verification.identification import chance_of_any
    from timbrel.verification.identification import identify as run

    wanted = thresholds.parse(threshold) if threshold is not None else None
    hearing = Hearing(model)
    voices = load_cohort(cohort, hearing)
    found_calibration = load_calibration(calibration, hearing, voices, shipped=True)
    limit, rule = threshold_of(wanted, found_calibration, hearing)
    with progress_line("hearing") as progress:
        found = run(file, among, hearing, voices, progress)
    best = found.candidates[0]
    known = best.score >= limit
    typer.echo(best.name if known else "none of these")
    for candidate in found.candidates[:top]:
        mark = "*" if candidate.score >= limit else " "
        heard = counted(candidate.recordings, "recording")
        typer.echo(f"  {mark} {candidate.score:6.3f}  {candidate.name} ({heard})")
    count = len(found.candidates)
    typer.echo(f"  threshold {limit:.3f} ({rule}), {counted(count, 'voice')}")
    if found_calibration is None:
        typer.echo("  uncalibrated: nobody has measured how often this threshold errs")
    else:
        chance = chance_of_any(found_calibration.rates_at(limit)[0], count)
        typer.echo(f"  a stranger would be taken for one of them in about {chance:.1%} of cases")
    warn_excluded(found.excluded)
    if not known:
        raise typer.Exit(NOBODY)
