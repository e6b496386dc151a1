"""What is compared: models, what other systems made, and two controls."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from timbrel import checkpoint, registry
from timbrel.corpora import is_file_name
from timbrel.errors import EvaluationError
from timbrel.files import content_hash

#: The controls: nothing converted at all, and a vocoder's copy of it.
SOURCE, COPY = "source", "copy-synthesis"
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Speed:
    """What converting cost.

    Fields:
        real_time_factor: seconds of computing for a second of audio, over all pairs.
        peak_memory_mib: the most that a process held which did nothing else, Python and PyTorch included.
        peak_gpu_memory_mib: of the graphics card, where one was used.
        workers: how many processes shared the machine.
    """

    real_time_factor: float
    peak_memory_mib: float
    peak_gpu_memory_mib: float | None
    workers: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A system to be scored.

    Fields:
        model: name or folder of a model that converts.
        folder: where the files lie that another system made.
    """

    name: str
    model: str | None = None
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class System:
    """A system with what it made.

    Fields:
        files: by the pairs' ids; pairs that it could not convert are missing.
        made_by: fingerprint of the model, or "".
        problems: why pairs are missing, by their ids.
    """

    name: str
    kind: Literal["model", "files", "control"]
    files: Mapping[str, Path]
    made_by: str = ""
    speed: Speed | None = None
    problems: Mapping[str, str] = field(default_factory=dict)


def name_models(texts: Iterable[str]) -> list[Wanted]:
    """Models as they are written: a name, a folder, or NAME=MODEL to call it something else.

    Raises:
        CheckpointError: there is no such model.
    """
    wanted = []
    for text in texts:
        name, sign, model = text.partition("=")
        if not sign or Path(text).is_dir():
            name, model = "", text
        found = checkpoint.read(registry.find(model))
        wanted.append(Wanted(name or found.name, model=model))
    return wanted


def check_names(wanted: Iterable[Wanted]) -> None:
    """Raises EvaluationError if a name cannot be that of a folder, is a control's, or is there twice."""
    seen = {SOURCE, COPY}
    for system in wanted:
        name = system.name
        if not is_file_name(name) or len(name) > _LONGEST_NAME or name != name.strip():
            raise EvaluationError(
                f"A system cannot be called {name[:40]!r}: use letters and digits, at most {_LONGEST_NAME}."
            )
        if name.casefold() in seen:
            raise EvaluationError(
                f'Two systems would be called "{name}": name one with --model NAME=MODEL or --system NAME.'
            )
        seen.add(name.casefold())


def model_fingerprint(model: str) -> str:
    """16 hexadecimal digits that name a model's weights and settings, those of its parts included."""
    folder = registry.find(model)
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".toml", ".safetensors") and path.name != "training.safetensors":
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(bytes.fromhex(content_hash(path)))
    return digest.hexdigest()[:16]
