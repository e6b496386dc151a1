"""`timbrel train`: train a model by a recipe."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel.errors import TrainingError

if TYPE_CHECKING:
    from rich.progress import Progress

    from timbrel.train.log import Screen


MinutesOption = Annotated[
    float, typer.Option(help="Save and stop after so many, to go on another time.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(train)


def train(
    recipe: Annotated[str, typer.Argument(help="A .toml file, or the name of a shipped recipe.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe: run.steps=2000."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for checkpoints and logs; by default runs/NAME."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Resume although the recipe has changed.")
    ] = False,
    cpu: Annotated[bool, typer.Option("--cpu", help="Train on the CPU even where there is a GPU.")] = False,
    minutes: MinutesOption = math.inf,
) -> None:
    """Train a model by a recipe; Ctrl-C saves and stops."""
    require_extra()
    from timbrel.train import loop
    from timbrel.train.recipe import load

    settings = load(recipe, overrides or [])
    folder = out or Path("runs") / settings.name
    with _screen() as screen:
        path = loop.run(
            settings,
            folder,
            resume=resume,
            accept_changes=accept_changes,
            cpu=cpu,
            minutes=minutes,
            screen=screen,
        )
    typer.echo(f"{path}")


def require_extra() -> None:
    """Raises TrainingError where the packages that training needs are missing."""
    try:
        import accelerate  # noqa: F401
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise TrainingError(
            f'Training needs the package {error.name}: install it with pip install "timbrel[train]".'
        ) from error


@contextmanager
def _screen() -> Iterator[Screen]:
    """A progress line with steps a second and the time left; messages above it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        yield _Line(bar)


class _Line:
    """Shows the loop's messages on a rich progress bar."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None, speed="", figures="")
        self._first: int | None = None

    def say(self, text: str) -> None:
        self._bar.console.print(f"timbrel: {text}", markup=False, highlight=False, soft_wrap=True)

    def step(self, done: int, steps: int, figures: Mapping[str, float]) -> None:
        if self._first is None:
            # A resumed run starts in the middle; its speed counts from here.
            self._first = done
            self._bar.reset(self._task, total=steps, completed=done)
        speed = self._bar.tasks[0].speed
        self._bar.update(
            self._task,
            completed=done,
            speed=f"{speed:.2f} steps/s" if speed else "",
            figures=f"loss {figures['loss']:.4g}" if "loss" in figures else "",
        )
