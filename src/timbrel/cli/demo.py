"""`timbrel demo`: the shipped pair of recordings, each in the other's voice."""

from __future__ import annotations

from pathlib import Path

import typer

from timbrel.cli.shared import Device, DeviceOption, load_converter, progress_line, report_lines, warn
from timbrel.files import make_folder
from timbrel.registry import DEFAULT_MODEL

FOLDER = Path("timbrel-demo")


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(demo)


def demo(device: DeviceOption = Device.AUTO) -> None:
    """Convert the shipped pair of recordings both ways into ./timbrel-demo/."""
    from timbrel.recordings import shipped

    first, second = shipped()
    make_folder(FOLDER.absolute())
    converter = load_converter(DEFAULT_MODEL, device)
    typer.echo(f"model {converter.name}, loaded in {converter.load_seconds:.2f} s")
    typer.echo(f"the recordings: {first}\n                {second}")
    for source, target in ((first, second), (second, first)):
        output = FOLDER.absolute() / f"{source.stem}-as-{target.stem}.wav"
        voice = converter.enrol(target)
        warn(voice.warnings)
        with progress_line(output.name) as progress:
            summary = converter.convert_file(source, voice, output, force=True, progress=progress)
        typer.echo(f"\n{output}")
        typer.echo("\n".join(report_lines(converter.report(output, source, voice, summary))))
