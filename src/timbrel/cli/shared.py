"""What several commands share: options, the progress line, warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel.errors import ConfigError

if TYPE_CHECKING:
    from timbrel.pipeline import VoiceConverter
    from timbrel.results import Report


class Device(StrEnum):
    """Where the networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Layout(StrEnum):
    """How a corpus is laid out; see `timbrel.corpora.layouts`."""

    AUTO = "auto"
    VCTK = "vctk"
    LIBRISPEECH = "librispeech"
    LIBRITTS = "libritts"
    COMMON_VOICE = "common-voice"
    FOLDER = "folder"
    MANIFEST = "manifest"


ModelOption = Annotated[str, typer.Option("--model", "-m", help="Name of a model or its folder.")]
DeviceOption = Annotated[Device, typer.Option(help="Where the networks run.")]
DenoiseOption = Annotated[
    bool,
    typer.Option(
        "--denoise",
        help="Take noise out of the recordings of the voice first. Brings the voice closer where they are "
        "noisy (10 dB and less), takes it farther away where they are clean. Needs the extra denoise.",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Replace an output that exists.")]

Progress = Callable[[float, float], None]


def unseen_speakers(text: str | None) -> int | tuple[str, ...] | None:
    """10 -> ten speakers; p225,p226 -> these two; "1088," -> the speaker called 1088."""
    if text is None:
        return None
    if text.strip().isdigit():
        return int(text)
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ConfigError(f"--unseen takes a number of speakers, or their names, not {text!r}.")
    return names


@contextmanager
def progress_line(description: str) -> Iterator[Progress]:
    """A progress bar with the time left on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    # Names of files may hold braces and brackets, which a format and markup would take for theirs.
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def warn(warnings: Iterable[str]) -> None:
    """Prints warnings on standard error."""
    for warning in warnings:
        typer.echo(f"timbrel: warning: {warning}", err=True)


def load_converter(model: str, device: Device) -> VoiceConverter:
    """The model, loaded."""
    from timbrel.pipeline import VoiceConverter

    return VoiceConverter.from_pretrained(model, device=device.value)


def report_lines(report: Report) -> Iterator[str]:
    """What `--report` prints of one conversion."""
    yield f"  similarity to the target  {report.similarity_to_target:6.3f}"
    yield f"  similarity to the source  {report.similarity_to_source:6.3f}"
    yield f"  duration                  {report.seconds:6.2f} s"
    yield f"  level                     {report.level_dbfs:6.1f} dBFS"
    yield f"  real-time factor          {report.real_time_factor:6.3f}"
