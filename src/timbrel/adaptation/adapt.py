"""A model of one speaker's own, from recordings to folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from timbrel import __version__, references, registry, storage
from timbrel import checkpoint as checkpoints
from timbrel.adaptation import base as bases
from timbrel.adaptation.base import Base
from timbrel.adaptation.fit import Fitted, Progress, Settings, fit
from timbrel.adaptation.material import Material, gather
from timbrel.adaptation.measure import Figures, HeldOut, Measure
from timbrel.errors import OutputError, TrainingError
from timbrel.models.converter import Converter
from timbrel.recordings import shipped
from timbrel.registry import DEFAULT_MODEL
from timbrel.voice import SUFFIX

#: Folder of the speaker's voice within the model's.
_VOICES = "voices"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an adaptation came to.

    Fields:
        material: what there was to learn from.
        fitted: how the fitting went.
        before, after: figures of the model it came from and of the new one.
        seed: of the fitting.
    """

    material: Material
    fitted: Fitted
    before: Figures
    after: Figures
    seed: int


@dataclass(frozen=True, slots=True)
class Adapted:
    """A model made for one speaker: its folder, the speaker's voice in it, and what it came to."""

    path: Path
    voice: Path
    outcome: Outcome


def adapt(
    recordings: Sequence[Path],
    out: Path,
    *,
    model: str | Path = DEFAULT_MODEL,
    minutes: float = 15.0,
    seed: int = 0,
    sources: Sequence[Path] = (),
    cpu: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Adapted:
    """Fits a model's converter to one speaker and writes it beside the other parts, with the voice enrolled.

    Args:
        recordings: of the speaker, half a minute of speech or more; a few minutes are better.
        minutes: of fitting at most; a result that the clock cut short depends on the machine.
        sources: recordings of others, converted to measure the gain; by default those of the demo.
        cpu: even where there is a GPU.
        progress: called with the share of the fitting that is done, and 1.

    Raises:
        AudioError: a recording cannot be read, there is too little speech, or two people speak.
        CheckpointError: there is no such model, its family cannot be adapted, or `out` cannot be written.
        OutputError: `out` exists and `force` is not set, or it is no place to write to.
        TrainingError: it was stopped by hand before there was anything to keep.
    """
    check_output(out, force)
    base = bases.load(model, torch.device("cuda" if torch.cuda.is_available() and not cpu else "cpu"))
    material = gather(base, recordings)
    # What could not be enrolled in the end is refused before the fitting.
    references.gather(material.recordings, base.rate, base.method.reference_seconds)
    held_out = HeldOut(base, material)
    measure = Measure(base, material, held_out, sources or shipped())
    before = measure(base.networks.converter)
    fitted = fit(
        base, material, held_out, settings=Settings(), seed=seed, seconds=60 * minutes, progress=progress
    )
    if fitted.stopped and fitted.best_step == 0:
        raise TrainingError("It was stopped before there was anything to keep: nothing is written.")
    _round(fitted.converter)
    made = Outcome(material, fitted, before, measure(fitted.converter), seed)
    return Adapted(out, _write(base, made, out, force), made)


def check_output(out: Path, force: bool) -> None:
    """Raises OutputError if the model cannot be written there, before an hour is spent on it."""
    if out.exists() and not (force and checkpoints.is_one(out)):
        other = "choose another folder" if force else "choose another folder, or use --force"
        what = "is no model that could be replaced" if force else "exists already"
        raise OutputError(f"{out} {what}: {other}.")
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise OutputError(f"{out} cannot be written: {parent} is no folder that may be written to.")


def _facts(base: Base, made: Outcome) -> dict[str, Any]:
    """The provenance."""
    provenance, fitted = base.checkpoint.provenance, made.fitted
    return {
        "licence": provenance.get("licence", "not stated"),
        "made_by": f"timbrel {__version__}",
        "measured": {
            "before": asdict(made.before),
            "after": asdict(made.after),
            "held-out loss before": fitted.loss_before,
            "held-out loss after": fitted.loss_after,
        },
        "adapted_from": {
            "name": base.checkpoint.name,
            "converter": checkpoints.fingerprint(base.networks.converter.state_dict()),
            "provenance": provenance,
        },
        "recordings": [path.name for path in made.material.recordings],
        "speech_seconds": round(made.material.speech_seconds, 1),
        "seed": made.seed,
        "steps": fitted.steps,
        "best_step": fitted.best_step,
        "ending": fitted.ending,
    }


def _round(converter: Converter) -> None:
    """Gives it the weights that will be read from its file: what is measured and enrolled is what will speak.

    A voice keeps what the converter lacks of it under the fingerprint of these very weights.
    """
    converter.load_state_dict(storage.expand(_stored(converter), name="the converter"))


def _stored(converter: Converter) -> dict[str, Tensor]:
    return storage.compress(converter.state_dict(), 16)


def _write(base: Base, made: Outcome, out: Path, force: bool) -> Path:
    """The model with its parts and the voice, whole or not at all; returns the path of the voice."""
    name, converter = out.absolute().name, made.fitted.converter
    voice = base.with_converter(converter, name).enrol(*made.material.recordings)
    facts = _facts(base, made)
    card = _card(name, made)
    with tempfile.TemporaryDirectory(prefix="timbrel-adapt-") as folder:
        parts = {role: part.path for role, part in base.parts.items()}
        parts |= {"converter": Path(folder) / "converter", _VOICES: Path(folder) / _VOICES}
        parts[_VOICES].mkdir()
        voice.save(parts[_VOICES] / f"{name}{SUFFIX}")
        checkpoints.write(
            parts["converter"],
            family=converter.family,
            name=f"{name}-converter",
            config=converter.config,
            tensors=_stored(converter),
            provenance=facts,
            card=card,
        )
        checkpoints.write(
            out,
            family=registry.PIPELINE,
            name=name,
            config={role: role for role in base.parts},
            tensors={},
            provenance=facts,
            card=card,
            parts=parts,
            overwrite=force,
        )
    return out / _VOICES / f"{name}{SUFFIX}"


def _card(name: str, made: Outcome) -> str:
    material, fitted, before, after = made.material, made.fitted, made.before, made.after
    return f"""# {name}

A model fitted to one speaker by `timbrel adapt`; from what, is in `provenance.json`. Only the converter was
trained: {fitted.best_step} steps on {material.speech_seconds:.0f} s of speech, seed {made.seed}.

Recordings: {", ".join(path.name for path in material.recordings)}.

| on speech of the speaker that was held out | before | after |
|---|--:|--:|
| mel error, dB | {before.mel_error_db:.2f} | {after.mel_error_db:.2f} |
| similarity of conversions ¹ | {before.similarity:.3f} | {after.similarity:.3f} |

¹ By the model's own speaker encoder.

The voice is in `{_VOICES}/{name}{SUFFIX}`. It is a person's: use it as they agreed, and do not pass what
it says off as their own speech.
"""
