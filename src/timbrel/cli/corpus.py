"""`timbrel corpus`: what there is in a corpus, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel.cli.engines import AddressOption, EngineName, EngineOption, WorkersOption, open_engine
from timbrel.cli.shared import ForceOption, Layout, ModelOption, progress_line, warn
from timbrel.files import check_output, write_text
from timbrel.registry import DEFAULT_MODEL
from timbrel.wording import counted

if TYPE_CHECKING:
    from timbrel.inspection.check import CorpusReport, Figures, Sound

#: Lines of the table; the report in JSON has all speakers.
_SHOWN = 120
_HEADING = "sex  clips     min  seconds: 5 %  median   95 %  silence  SNR dB   kHz   dBFS  clipped"


def register(app: typer.Typer) -> None:
    """Adds the commands to `app`."""
    corpus = typer.Typer(no_args_is_help=True)
    corpus.callback()(_group)  # so that a single command keeps its name
    corpus.command("check")(check)
    app.add_typer(corpus, name="corpus")


def _group() -> None:
    """Look at a corpus before training on it."""


def check(
    source: Annotated[Path, typer.Argument(help="The corpus, raw or prepared.", metavar="DIR")],
    layout: Annotated[Layout, typer.Option("--format", help="Which corpus it is; auto looks.")] = Layout.AUTO,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write all figures here, as JSON.")
    ] = None,
    force: ForceOption = False,
    workers: WorkersOption = None,
    engine: EngineOption = EngineName.LOCAL,
    address: AddressOption = None,
    clips: Annotated[int, typer.Option(min=0, help="Clips of each speaker to listen to; 0 for all.")] = 20,
    microphone: Annotated[int | None, typer.Option(min=1, max=2, help="Of VCTK 0.92; by default 1.")] = None,
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Say how much of whom a corpus holds, how it sounds, and whether anybody is in it twice."""
    from timbrel.corpora import layouts
    from timbrel.inspection.check import check as run
    from timbrel.inspection.findings import warnings

    if output is not None:
        check_output(output, force)
    name = layouts.named(layout.value, source)
    utterances = layouts.read(name, source, microphone)
    with open_engine(engine, address, workers) as crew, progress_line("listening") as advance:
        report = run(utterances, model, clips=clips, engine=crew, progress=advance)
    found = warnings(report)
    if output is not None:
        _write(output, {"corpus": str(source), "layout": name, "model": model, "warnings": found}, report)
    typer.echo("\n".join([*_table(report, _SHOWN), *_voice_lines(report)]))
    warn(found)


def _write(output: Path, facts: dict[str, object], report: CorpusReport) -> None:
    import json
    from dataclasses import asdict

    from timbrel.reporting.folder import rounded

    found = rounded({**facts, **asdict(report)}, digits=4)
    write_text(output, json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _table(report: CorpusReport, most: int) -> Iterator[str]:
    """A line per speaker, of at most so many, and one for all."""
    width = max(12, *(len(name) for name in list(report.speakers)[:most]))
    yield f"{'':<{width}} {_HEADING}"
    for name, own in list(report.speakers.items())[:most]:
        yield _row(name, own, width)
    if len(report.speakers) > most:
        yield f"and {counted(len(report.speakers) - most, 'more speaker')}"
    yield _row(counted(len(report.speakers), "speaker"), report.total, width)


def _row(name: str, own: Figures, width: int) -> str:
    lengths = own.clip_seconds
    return (
        f"{name:<{width}} {own.sex or '-':<3} {own.clips:>6} {own.minutes:>7.1f} "
        f"{lengths['5 %']:>13.1f} {lengths['median']:>7.1f} {lengths['95 %']:>6.1f} {_cells(own.sound)}"
    )


def _cells(sound: Sound | None) -> str:
    if sound is None:
        return "  not measured"
    return (
        f"{sound.silence_share:>8.0%} {sound.snr_db:>7.0f} {sound.bandwidth_hz / 1000:>5.1f} "
        f"{sound.level_dbfs:>6.1f} {sound.clipped_share:>8.2%}"
    )


def _voice_lines(report: CorpusReport) -> Iterator[str]:
    voices = report.voices
    if voices.closest:
        pairs = ", ".join(f"{' and '.join(pair.speakers)} {pair.cosine:.3f}" for pair in voices.closest)
        yield f"most alike: {pairs}"
    known = voices.calibrated_on
    basis = f"halves of {counted(known, 'speaker')}" if known else "a fixed value"
    yield f"one voice from {voices.twin_threshold:.3f} on, by {basis}"
