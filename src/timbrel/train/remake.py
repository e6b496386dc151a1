"""`timbrel remake`: every part of timbrel-one again, from the corpus, by commands one could type.

Each is a process of its own, run in the folder of the whole: what it used is free again when it ends, and
what it made is there if the next one fails. A second run does only what is missing, and training goes on
where it stopped.
"""

from __future__ import annotations

import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from timbrel.corpora import layouts
from timbrel.corpora.prepared import INDEX
from timbrel.errors import ConfigError, TrainingError
from timbrel.files import resolved
from timbrel.train import state
from timbrel.train.control import stop_signals
from timbrel.train.recipe import load

#: What the converter is told beside its weights, see `ConverterConfig`, as that of timbrel-one is but for
#: `beyond`. Of a guide's 0.5 one of 0.3 was learned (docs/experiments.md).
_TOLD = ("beyond=0.3", "guidance=0", "restore=0.8", "adopt=1.0", "contrast=0.4", "articulate=0.3")
#: Of the last training, the newest that are averaged.
_AVERAGED = 3
_PREPARED = "prepared"
#: Clips that a process needs, to say one in the voice of another.
_LEAST_SHARE = 2


@dataclass(frozen=True, slots=True)
class Size:
    """How much is trained, beside what the recipes say.

    Fields:
        batch: times as large.
        steps: times as many; what is due every so many steps comes as much oftener.
    """

    batch: float = 1.0
    steps: float = 1.0


#: "cpu" is the recipes' own. "gpu" hears twice as much in a quarter of the steps.
SIZES = {"cpu": Size(), "gpu": Size(batch=8.0, steps=0.25)}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is made, of what, and how.

    Fields:
        corpus: a corpus, or one that was prepared.
        out: folder of everything that is made.
        moonshine, resemblyzer: files of the teachers.
        processes: that train together.
        cpu: whether to train on the CPU even where there is a GPU.
        minutes: to train for in all, this time.
        overrides: "key=value" for every recipe.
    """

    corpus: Path
    out: Path
    moonshine: Path
    resemblyzer: Path
    size: Size = Size()
    processes: int = 1
    cpu: bool = False
    minutes: float = math.inf
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for teacher in (self.moonshine, self.resemblyzer):
            if not teacher.is_file():
                raise ConfigError(f"{teacher}: there is no such file of a teacher.")
        if resolved(self.corpus) == resolved(self.out):
            raise ConfigError(f"{self.out} is the corpus itself: give another folder for what is made.")
        if self.processes < 1 or not self.minutes > 0:
            raise ConfigError("Processes and minutes must be above 0.")


@dataclass(frozen=True, slots=True)
class Stage:
    """One command.

    Fields:
        made: what is there once it is done, below the plan's folder; "" if nothing shows it.
        command: its words after "timbrel", given the minutes left.
        together: whether as many processes as the plan says share it.
    """

    made: str
    command: Callable[[float], list[str]]
    together: bool = False


Say = Callable[[str], None]


def remake(plan: Plan, say: Say) -> Path | None:
    """The folder of the finished model, or None if the minutes were over or somebody stopped it.

    Raises:
        CorpusError: there is no corpus.
        ConfigError: an override cannot be.
        TrainingError: a command failed; what was made before is kept.
    """
    until = time.monotonic() + 60 * plan.minutes
    all_stages = stages(plan)
    plan.out.mkdir(parents=True, exist_ok=True)
    for stage in all_stages:
        if stage.made and (plan.out / stage.made).exists():
            say(f"{stage.made} is there")
            continue
        left = (until - time.monotonic()) / 60
        if left <= 0:
            say("the minutes are over; the same command goes on")
            return None
        words = stage.command(left)
        say(shlex.join(["timbrel", *words]))
        command = _launched(plan, stage, words)
        stopped, status = _run(command, plan.out, max(1, (os.cpu_count() or 1) // plan.processes))
        if stopped:
            say("stopped; the same command goes on")
            return None
        if status != 0:
            raise TrainingError(
                f"timbrel {words[0]} ended with {status}; what was made before is kept, and the same command "
                "goes on from there."
            )
        if not (plan.out / stage.made).exists():  # its minutes were over
            say("the minutes are over; the same command goes on")
            return None
    return plan.out / "timbrel-one"


def stages(plan: Plan) -> list[Stage]:
    """All commands in their order.

    The converter is trained on the content encoder as it is stored, in 8 bits: another rounding would be
    another encoder to it.
    """
    content = ["settings.student=content", "settings.speaker=speaker"]
    teacher = f"settings.resemblyzer={resolved(plan.resemblyzer)}"
    return [
        *_corpus(plan),
        _training(plan, "timbrel-content", [f"settings.moonshine={resolved(plan.moonshine)}"]),
        _averaging("content", partial(_final, "timbrel-content"), ["--bits", "8"]),
        _training(plan, "timbrel-speaker", []),
        _averaging("speaker", partial(_final, "timbrel-speaker"), ["--bits", "16"]),
        _training(plan, "timbrel-converter-start", content[:1]),
        _training(plan, "timbrel-converter", [*content, teacher]),
        _training(plan, "timbrel-converter-guided", [*content, teacher]),
        _averaging(
            "converter",
            partial(_newest, plan, "timbrel-converter-guided"),
            [*(word for key in _TOLD for word in ("--set", key)), "--bits", "16"],
        ),
        Stage("timbrel-one", lambda _: _composing()),
    ]


def _corpus(plan: Plan) -> Iterator[Stage]:
    workers = ["--workers", str(os.cpu_count() or 1)]
    corpus = resolved(plan.corpus)
    layout = layouts.detect(corpus)
    if layout != layouts.PREPARED:
        # Its index is the last thing that preparing writes.
        words = ["prepare", layout, str(corpus), _PREPARED, *workers]
        yield Stage(f"{_PREPARED}/{INDEX}", lambda _: words)
    teachers = {"--moonshine": plan.moonshine, "--resemblyzer": plan.resemblyzer}
    options = [word for name, path in teachers.items() for word in (name, str(resolved(path)))]
    yield Stage("", lambda _: ["teach", _heard(plan), *options, *workers])


def _heard(plan: Plan) -> str:
    """The prepared corpus."""
    corpus = resolved(plan.corpus)
    return str(corpus) if layouts.detect(corpus) == layouts.PREPARED else _PREPARED


def _training(plan: Plan, recipe: str, settings: Sequence[str]) -> Stage:
    changes = [f"data.corpus={_heard(plan)}", *settings, *_sized(plan.size, recipe), *plan.overrides]
    # What cannot be is refused before hours of work.
    batch = load(recipe, changes).data.batch
    if batch % plan.processes or batch < _LEAST_SHARE * plan.processes:
        raise ConfigError(
            f"{recipe} works on {batch} clips at a time, which {plan.processes} processes cannot share, each "
            f"with {_LEAST_SHARE} or more: give fewer --processes, or another data.batch with --set."
        )
    words = ["train", recipe, *(word for change in changes for word in ("--set", change))]

    def command(minutes: float) -> list[str]:
        more = ["--resume"] if state.found(plan.out / "runs" / recipe) else []
        limit = [] if math.isinf(minutes) else ["--minutes", f"{minutes:.2f}"]
        return [*words, *more, *limit, *(["--cpu"] if plan.cpu else [])]

    return Stage(f"runs/{recipe}/final", command, together=True)


def _sized(size: Size, recipe: str) -> Iterator[str]:
    usual = load(recipe)
    if size.batch != 1:
        yield f"data.batch={round(usual.data.batch * size.batch)}"
    if size.steps != 1:
        for key in ("steps", "save_every", "validate_every", "log_every"):
            yield f"run.{key}={max(1, round(getattr(usual.run, key) * size.steps))}"
        for name, optimizer in usual.optimizer.items():
            yield f"optimizer.{name}.warmup={round(optimizer.warmup * size.steps)}"
        for name in ("voice_after", "discriminators_alone"):
            if name in usual.settings:
                yield f"settings.{name}={round(usual.settings[name] * size.steps)}"


def _averaging(name: str, checkpoints: Callable[[], list[str]], options: Sequence[str]) -> Stage:
    return Stage(name, lambda _: ["average", *checkpoints(), "-o", name, *options])


def _final(recipe: str) -> list[str]:
    return [f"runs/{recipe}/final"]


def _newest(plan: Plan, recipe: str) -> list[str]:
    """The newest first, whose crowd it is."""
    run = Path("runs") / recipe
    return [str(run / path.name) for path, _ in reversed(state.found(plan.out / run)[-_AVERAGED:])]


def _composing() -> list[str]:
    parts = ("converter", "content", "speaker")
    options = {"converter": "--converter", "content": "--content", "speaker": "--speaker-encoder"}
    return ["compose", *(word for part in parts for word in (options[part], part)), "-o", "timbrel-one"]


def _launched(plan: Plan, stage: Stage, words: Sequence[str]) -> list[str]:
    alone = ["-m", "timbrel", *words]
    if plan.processes == 1 or not stage.together:
        return [sys.executable, *alone]
    several = ["--multi_gpu", "--num_processes", str(plan.processes)]
    return [sys.executable, "-m", "accelerate.commands.launch", *several, *alone]


def _run(command: Sequence[str], folder: Path, threads: int) -> tuple[bool, int]:
    """Whether it was stopped from outside, and its exit status.

    Ctrl-C reaches the command by itself, which then saves what it has; SIGTERM is passed on, once: a second
    one would end what waits for several processes to save.
    """
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
    told = False
    with stop_signals() as stopping, subprocess.Popen(command, cwd=folder, env=environment) as process:
        while True:
            try:
                return bool(stopping), process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                if signal.SIGTERM in stopping and not told:
                    process.terminate()
                    told = True
