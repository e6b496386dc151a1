"""`timbrel trials`: a list of pairs to convert, from a corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel.cli.shared import ForceOption, Layout, unseen_speakers
from timbrel.errors import CorpusError
from timbrel.files import check_output, write_text
from timbrel.wording import counted

if TYPE_CHECKING:
    from timbrel.evaluation.lists import Trial


class Protocol(StrEnum):
    """How pairs are chosen; see `timbrel.evaluation.lists`."""

    BALANCED = "balanced"
    KNN_VC = "knn-vc"
    SEED_VC = "seed-vc"


class Gender(StrEnum):
    """Whose pairs are taken."""

    ANY = "any"
    SAME = "same"
    CROSS = "cross"


class Condition(StrEnum):
    """Who was heard in training, the source's speaker first."""

    SEEN_SEEN = "seen-to-seen"
    SEEN_UNSEEN = "seen-to-unseen"
    UNSEEN_SEEN = "unseen-to-seen"
    UNSEEN_UNSEEN = "unseen-to-unseen"


LayoutArgument = Annotated[Layout, typer.Argument(help="Which corpus it is; auto looks.")]
CorpusArgument = Annotated[Path, typer.Argument(help="The corpus.", metavar="ROOT")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", help="CSV to write.")]
ProtocolOption = Annotated[
    Protocol,
    typer.Option(
        help="balanced: sexes and conditions by turns; knn-vc: five sources a speaker, to everybody; "
        "seed-vc: 100 sources to each of 12 voices."
    ),
]
CountOption = Annotated[
    int | None,
    typer.Option(min=1, help="Pairs (balanced), sources (seed-vc), or sources a speaker."),
]
TargetsOption = Annotated[int, typer.Option(min=1, help="Target voices (seed-vc).")]
GenderOption = Annotated[Gender, typer.Option(help="Pairs of one sex, or of two.")]
ConditionOption = Annotated[
    list[Condition] | None, typer.Option(help="Only this; repeat it. By default all there are.")
]
ParallelOption = Annotated[
    bool, typer.Option("--parallel", help="Only if the target's speaker says the source's words too.")
]
SplitOption = Annotated[str, typer.Option(help="Splits to take, such as dev,unseen; all but train.")]
UnseenOption = Annotated[
    str | None, typer.Option(help="Unseen speakers, as timbrel prepare was told; of VCTK a tenth.")
]
HeldOutOption = Annotated[
    float | None, typer.Option(min=0, max=0.5, help="Share of clips held out, as prepare was told.")
]
SplitSeedOption = Annotated[int | None, typer.Option(help="The --seed that prepare was told.")]
SeedOption = Annotated[int, typer.Option(help="Another one chooses other pairs.")]


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(trials)


def trials(
    layout: LayoutArgument,
    corpus: CorpusArgument,
    output: OutputOption,
    protocol: ProtocolOption = Protocol.BALANCED,
    count: CountOption = None,
    targets: TargetsOption = 12,
    gender: GenderOption = Gender.ANY,
    condition: ConditionOption = None,
    parallel: ParallelOption = False,
    split: SplitOption = "",
    unseen: UnseenOption = None,
    held_out: HeldOutOption = None,
    split_seed: SplitSeedOption = None,
    seed: SeedOption = 0,
    force: ForceOption = False,
) -> None:
    """Choose pairs of different speakers to convert, for timbrel evaluate --pairs.

    The corpus is divided as timbrel prepare divides it, so that "unseen" speakers are those that a model
    trained on it never heard, and nothing is taken that it was trained on.
    """
    from timbrel.corpora import layouts
    from timbrel.corpora.splits import divide_corpus, plan_of, split_names
    from timbrel.evaluation.lists import Wanted, build

    check_output(output, force)
    name = layouts.named(layout.value, corpus)
    if name == layouts.PREPARED:
        raise CorpusError(f"{corpus} has been prepared: give the corpus it was made from, which has audio.")
    utterances = layouts.read(name, corpus)
    plan = plan_of(name, utterances, unseen_speakers(unseen), held_out, split_seed)
    utterances, _ = divide_corpus(name, utterances, plan)
    wanted = Wanted(
        protocol=protocol.value,
        count=count,
        targets=targets,
        gender=gender.value,
        conditions=tuple(one.value for one in condition or ()),
        splits=tuple(sorted(split_names(split, utterances, corpus))),
        parallel=parallel,
        seed=seed,
    )
    found = build(utterances, wanted)
    _write(found, output)
    typer.echo("\n".join(_summary(found, output)))


def _write(found: Sequence[Trial], output: Path) -> None:
    from timbrel.evaluation.lists import table

    write_text(output, table(found, output.parent))


def _summary(found: Sequence[Trial], output: Path) -> Iterator[str]:
    sources = {one.source.speaker for one in found}
    voices = {one.target.speaker for one in found}
    yield (
        f"{output}: {counted(len(found), 'pair')}, {counted(len(sources), 'source speaker')} and "
        f"{counted(len(voices), 'target speaker')}"
    )
    for condition, number in sorted(Counter(one.condition for one in found).items()):
        own = [one for one in found if one.condition == condition]
        kinds = Counter(f"{one.source.sex or '?'} to {one.target.sex or '?'}" for one in own)
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        yield f"  {condition:<18}{number:>6}: {said}"
    parallel = sum(one.parallel is not None for one in found)
    if parallel:
        yield f"  {parallel} with a parallel recording of the target's speaker"
