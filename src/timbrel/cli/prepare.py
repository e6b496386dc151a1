"""`timbrel prepare`: make a corpus ready for training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel.cli.engines import AddressOption, EngineName, EngineOption, WorkersOption, open_engine
from timbrel.cli.shared import Layout, progress_line, unseen_speakers, warn
from timbrel.errors import ConfigError, CorpusError
from timbrel.files import resolved
from timbrel.wording import counted

if TYPE_CHECKING:
    from timbrel.corpora import Utterance
    from timbrel.train.prepare import Report

#: Skipped files shown on the screen; all of them stand in the report.
_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(prepare)


def prepare(
    layout: Annotated[Layout, typer.Argument(help="Which corpus it is; auto looks.")],
    source: Annotated[Path, typer.Argument(help="The corpus.", metavar="SRC")],
    out: Annotated[Path, typer.Argument(help="Folder for the prepared corpus.", metavar="OUT")],
    workers: WorkersOption = None,
    engine: EngineOption = EngineName.LOCAL,
    address: AddressOption = None,
    sample_rate: Annotated[int, typer.Option(help="Sample rate in Hz.")] = 16000,
    trim: Annotated[
        bool | None,
        typer.Option(
            "--trim/--no-trim",
            help="Cut silence at both ends, all but 0.2 s; by default not of folder and manifest.",
        ),
    ] = None,
    shortest: Annotated[float, typer.Option(min=0.3, help="Skip what is shorter, in seconds.")] = 0.3,
    need_text: Annotated[bool, typer.Option("--need-text", help="Skip what has no transcript.")] = False,
    microphone: Annotated[int | None, typer.Option(min=1, max=2, help="Of VCTK 0.92; by default 1.")] = None,
    split: Annotated[str, typer.Option(help="Splits to take, such as train,dev; by default all.")] = "",
    unseen: Annotated[
        str | None,
        typer.Option(help="Speakers for the split unseen: how many, or which (p225,p226); of VCTK a tenth."),
    ] = None,
    held_out: Annotated[
        float | None,
        typer.Option(min=0, max=0.5, help="Share of the other speakers' clips for the split dev [0.05]."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another one divides otherwise [0].")] = None,
) -> None:
    """Resample a corpus, track its pitch and divide it; a second run does only what is missing."""
    from timbrel.corpora import layouts
    from timbrel.corpora.splits import divide_corpus, plan_of
    from timbrel.train.prepare import REPORT, Wanted, divided_otherwise
    from timbrel.train.prepare import prepare as run

    if not 8000 <= sample_rate <= 48000:
        raise ConfigError(f"--sample-rate must lie between 8000 and 48000 Hz, not {sample_rate}.")
    name = layouts.named(layout.value, source)
    if name == layouts.PREPARED:
        raise CorpusError(f"{source} has been prepared already: give the corpus it was made from.")
    if resolved(out) == resolved(source):
        raise ConfigError(f"{out} is the corpus itself: give another folder for what is prepared from it.")
    utterances = _of_splits(layouts.read(name, source, microphone), split, source)
    plan = plan_of(name, utterances, unseen_speakers(unseen), held_out, seed)
    utterances, rule = divide_corpus(name, utterances, plan)
    wanted = Wanted(sample_rate, layouts.LAYOUTS[name].trims if trim is None else trim, shortest, need_text)
    warn(filter(None, [divided_otherwise(utterances, out, rule)]))
    with open_engine(engine, address, workers) as crew, progress_line("preparing") as advance:
        report = run(utterances, out, wanted=wanted, rule=rule, engine=crew, progress=advance)
    for skipped in report.skipped[:_SHOWN]:
        typer.echo(f"timbrel: skipped {skipped.path}: {skipped.reason}", err=True)
    if len(report.skipped) > _SHOWN:
        typer.echo(f"timbrel: and {len(report.skipped) - _SHOWN} more, see {out / REPORT}", err=True)
    typer.echo("\n".join([*_summary(out, report), *_split_lines(out)]))


def _of_splits(utterances: list[Utterance], split: str, source: Path) -> list[Utterance]:
    from timbrel.corpora.splits import split_names

    names = split_names(split, utterances, source)
    return [utterance for utterance in utterances if not names or utterance.split in names]


def _summary(out: Path, report: Report) -> Iterator[str]:
    kinds = ", ".join(f"{count} {kind}" for kind, count in report.reasons.items())
    yield (
        f"{out}: {counted(report.made, 'clip')} made, {report.kept} kept, {len(report.skipped)} skipped"
        f"{f' ({kinds})' if kinds else ''}; {report.seconds / 3600:.2f} hours"
    )
    if report.cut_seconds:
        yield f"  {report.cut_seconds / 60:.1f} min of silence cut off the ends"
    if report.without_text:
        yield f"  {counted(report.without_text, 'clip')} without a transcript"


def _split_lines(out: Path) -> Iterator[str]:
    import json

    from timbrel.train.prepare import SPLITS

    for name, split in json.loads((out / SPLITS).read_text(encoding="utf-8"))["splits"].items():
        sexes = list(split["speakers"].values())
        yield (
            f"  {name:<8} {counted(split['clips'], 'clip'):>12} of {counted(len(sexes), 'speaker')} "
            f"({sexes.count('F')} F, {sexes.count('M')} M)"
        )
