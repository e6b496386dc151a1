"""`timbrel info`: what an audio file, a voice or a checkpoint is."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from timbrel.wording import counted

#: The condition of longer recordings is left out, since it takes the whole recording in memory.
LONGEST_ASSESSED = 600.0
#: Characters of a provenance that are shown; a recipe of training has thousands.
_WIDEST = 300


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(info)


def info(
    path: Annotated[Path, typer.Argument(help="An audio file, a .voice file or a checkpoint folder.")],
) -> None:
    """Say what a file or folder is: its format, condition, contract and provenance."""
    if path.is_dir():
        lines = _checkpoint_lines(path)
    elif path.suffix == ".voice":
        lines = _voice_lines(path)
    else:
        lines = _audio_lines(path)
    typer.echo("\n".join(lines))


def _checkpoint_lines(path: Path) -> Iterator[str]:
    from timbrel import checkpoint, registry

    found = checkpoint.read(path)
    yield f"{path}: checkpoint {found.name}, family {found.family}"
    for role, part in registry.parts(found).items():
        yield f"  part        {role}: {part.name}, family {part.family}"
    for line in registry.contract_lines(found):
        yield f"  contract    {line}"
    for key, value in found.provenance.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        shown = textwrap.shorten(text, _WIDEST, placeholder=" ... (whole in provenance.json)")
        yield f"  provenance  {key}: {shown}"


def _voice_lines(path: Path) -> Iterator[str]:
    import math

    from timbrel.voice import Voice

    voice = Voice.load(path)
    yield f"{path}: voice, enrolled with {voice.model}"
    yield f"  speech      {voice.seconds:.1f} s"
    if voice.log_f0_mean > 0:
        semitones = voice.log_f0_std * 12 / math.log(2)
        yield f"  pitch       {math.exp(voice.log_f0_mean):.0f} Hz, deviation {semitones:.1f} semitones"
    for encoder, embedding in voice.embeddings.items():
        yield f"  embedding   {embedding.shape[-1]} values by speaker encoder {encoder}"
    for source in voice.sources:
        yield f"  source      {source}"


def _audio_lines(path: Path) -> Iterator[str]:
    from timbrel.audio import condition
    from timbrel.audio.io import probe, read, read_metadata

    audio = probe(path)
    yield f"{path}: {audio.format}, {audio.duration:.2f} s"
    yield f"  format      {audio.sample_rate} Hz, {counted(audio.channels, 'channel')}, {audio.frames} frames"
    for name, text in read_metadata(path).items():
        yield f"  {name:<10}  {text}"
    if audio.duration > LONGEST_ASSESSED:
        yield f"  condition   not assessed: longer than {LONGEST_ASSESSED:.0f} s"
        return
    found = condition.assess(read(path))
    yield f"  speech      {found.speech_seconds:.1f} s, {100 * found.silence_share:.0f} % silence"
    yield f"  level       {found.level_dbfs:.1f} dBFS, {100 * found.clipped_share:.2f} % clipped"
    yield f"  noise       {found.snr_db:.0f} dB signal to noise"
    yield f"  bandwidth   {found.bandwidth_hz:.0f} Hz"
    for warning in condition.warnings(found):
        yield f"  warning     {warning}"
