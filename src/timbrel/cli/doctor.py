"""`timbrel doctor`: why it sounds wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timbrel.wording import counted

if TYPE_CHECKING:
    from timbrel.doctor.examine import Diagnosis
    from timbrel.doctor.findings import Finding
    from timbrel.doctor.recording import Recording


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(doctor)


def doctor(
    parts: Annotated[
        list[str] | None,
        typer.Argument(
            help="Checkpoints, pipelines, .voice and .npy files; by default the bundled model.",
            metavar="[PART]...",
        ),
    ] = None,
    audio: Annotated[Path | None, typer.Option("--audio", "-a", help="Recording to try them on.")] = None,
    reference: Annotated[
        Path | None, typer.Option("--reference", "-r", help="Recording of the wanted voice.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything that was seen, as JSON.")] = False,
) -> None:
    """Say what is wrong with parts and recordings, the most likely cause of bad sound first.

    Exit status: 0 when all is sound, 1 when something was found, 2 when something cannot be looked at.
    """
    from timbrel.doctor.examine import examine

    seen = examine(parts or [], audio, reference)
    typer.echo(_json(seen) if as_json else "\n".join(_lines(seen)))
    if seen.findings:
        raise typer.Exit(1)


def _lines(seen: Diagnosis) -> Iterator[str]:
    for role, part in seen.parts.items():
        yield f"{role:<10} {part}"
    for line in seen.joints:
        yield f"joint      {line}"
    for heard in seen.recordings:
        yield from _recording_lines(heard)
    for path, kind in seen.features.items():
        yield f"features   {path}: {kind}"
    for copy in seen.copies.values():
        errors = ", ".join(f"{name} {error:.2f}" for name, error in copy.errors.items())
        yield f"vocoder    copy of the recording, nats from it by what it was given: {errors}"
    if seen.reconstruction is not None:
        yield f"converter  says its own input: correlation {seen.reconstruction.correlation:.2f}"
    if seen.conversion is not None:
        tried = seen.conversion
        yield f"conversion to the target {tried.to_target:.2f}, to the source {tried.to_source:.2f}"
    yield ""
    if not seen.findings:
        yield "Nothing is wrong."
    for number, finding in enumerate(seen.findings, 1):
        yield from _finding_lines(number, finding)


def _recording_lines(heard: Recording) -> Iterator[str]:
    channels = counted(heard.channels, "channel")
    yield f"recording  {heard.path}: {heard.sample_rate} Hz, {channels}, {heard.waveform.duration:.1f} s"
    found = heard.condition
    if found is not None:
        yield (
            f"           {found.speech_seconds:.1f} s of speech, {found.snr_db:.0f} dB above the noise, "
            f"{found.level_dbfs:.1f} dBFS, {heard.loudness_lufs:.1f} LUFS, peak {heard.peak_dbfs:.1f} dBFS"
        )
        yield (
            f"           up to {found.bandwidth_hz / 1000:.1f} kHz, {found.clipped_share:.2%} clipped, "
            f"DC {found.dc_offset:+.4f}, pitch {heard.pitch_hz:.0f} Hz"
        )


def _finding_lines(number: int, finding: Finding) -> Iterator[str]:
    yield f"{number}. {finding.severity}: {finding.subject}"
    yield f"   {finding.what}"
    yield f"   {finding.why}"
    yield f"   -> {finding.remedy}"


def _json(seen: Diagnosis) -> str:
    import json
    from dataclasses import asdict, replace

    from timbrel.audio.io import Waveform

    # The samples themselves are of no use in a report.
    silent = tuple(
        replace(one, waveform=Waveform(one.waveform.samples[:0], one.sample_rate)) for one in seen.recordings
    )
    return json.dumps(_plain(asdict(replace(seen, recordings=silent))), indent=2, ensure_ascii=False)


def _plain(value: object) -> object:
    """JSON's types: no samples, paths as text, and no numbers that JSON has not."""
    import math

    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key != "waveform"}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
