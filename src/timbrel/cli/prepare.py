"""`timbrel prepare`: make a corpus ready for training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel.cli.engines import AddressOption, EngineName, EngineOption, WorkersOption, open_engine
from timbrel.cli.shared import progress_line, warn
from timbrel.errors import ConfigError, CorpusError
from timbrel.files import resolved
from timbrel.wording import counted

if TYPE_CHECKING:
    from timbrel.corpora import Utterance
    from timbrel.corpora.splits import Plan
    from timbrel.train.prepare import Report

#: Skipped files shown on the screen; all of them stand in the report.
_SHOWN = 10


class Layout(StrEnum):
    """How a corpus is laid out; see `timbrel.corpora.layouts`."""

    AUTO = "auto"
    VCTK = "vctk"
    LIBRISPEECH = "librispeech"
    LIBRITTS = "libritts"
    COMMON_VOICE = "common-voice"
    FOLDER = "folder"
    MANIFEST = "manifest"


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
    from timbrel.train.prepare import REPORT, Wanted, divided_otherwise
    from timbrel.train.prepare import prepare as run

    if not 8000 <= sample_rate <= 48000:
        raise ConfigError(f"--sample-rate must lie between 8000 and 48000 Hz, not {sample_rate}.")
    name = layouts.detect(source) if layout is Layout.AUTO else layout.value
    if name == layouts.PREPARED:
        raise CorpusError(f"{source} has been prepared already: give the corpus it was made from.")
    if resolved(out) == resolved(source):
        raise ConfigError(f"{out} is the corpus itself: give another folder for what is prepared from it.")
    utterances = _of_splits(layouts.read(name, source, microphone), split, source)
    plan = plan_of(name, utterances, unseen, held_out, seed)
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


def split_names(split: str, utterances: Iterable[Utterance], source: Path) -> set[str]:
    """The splits that were named, none if all are meant; raises CorpusError if the corpus lacks one."""
    names = {name.strip() for name in split.split(",")} if split else set()
    known = {utterance.split for utterance in utterances}
    if names - known:
        raise CorpusError(
            f"{source} has no split {', '.join(sorted(names - known))}: it has {', '.join(sorted(known))}."
        )
    return names


def _of_splits(utterances: list[Utterance], split: str, source: Path) -> list[Utterance]:
    names = split_names(split, utterances, source)
    return [utterance for utterance in utterances if not names or utterance.split in names]


def plan_of(
    name: str, utterances: list[Utterance], unseen: str | None, held_out: float | None, seed: int | None
) -> Plan | None:
    """How to divide the corpus; None keeps its own splits."""
    from timbrel.corpora.layouts import LAYOUTS
    from timbrel.corpora.splits import Plan

    share = LAYOUTS[name].unseen_share
    if not share and all(option is None for option in (unseen, held_out, seed)):
        return None
    usual = int(share * len({one.speaker for one in utterances}))
    return Plan(
        unseen=usual if unseen is None else _unseen(unseen),
        held_out=0.05 if held_out is None else held_out,
        seed=seed or 0,
    )


def _unseen(text: str) -> int | tuple[str, ...]:
    """10 -> ten speakers; p225,p226 -> these two; "1088," -> the speaker called 1088."""
    if text.strip().isdigit():
        return int(text)
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ConfigError(f"--unseen takes a number of speakers, or their names, not {text!r}.")
    return names


def divide_corpus(
    name: str, utterances: list[Utterance], plan: Plan | None
) -> tuple[list[Utterance], dict[str, object]]:
    """The corpus in splits, and the rule they follow."""
    from dataclasses import asdict

    from timbrel.corpora.splits import divide

    if plan is None:
        return utterances, {"layout": name, "splits": "the corpus's own"}
    return divide(utterances, plan), {"layout": name, "splits": "by hash", **asdict(plan)}


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
