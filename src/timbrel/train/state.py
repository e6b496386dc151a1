"""Checkpoints of a run: each is a usable model with what training needs to go on beside it.

    OUT/step-00001000/       a checkpoint directory, and in it
        training.safetensors    all networks and the state of their optimizers
        state.json              step, best figure, recipe: `Progress`
    OUT/last, best, final    links to such folders

A folder is written under a temporary name and renamed, a link replaced in one operation, so neither
a kill nor a full disk harms what was there. No state of random generators is kept: each step seeds
its own (`timbrel.train.loop`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn, optim

from timbrel import checkpoint
from timbrel.config import decode_config
from timbrel.errors import CheckpointError, ConfigError, TrainingError
from timbrel.files import flush, resolved
from timbrel.train.recipe import differences
from timbrel.train.tasks import Export

TENSORS, STATE = "training.safetensors", "state.json"
LINKS = ("last", "best", "final")


@dataclass(slots=True)
class Progress:
    """How far a run has come.

    Fields:
        step: steps done.
        best: the best monitored figure so far; None before the first validation.
        best_step: where it was reached.
        stale: validations since then.
        seconds: spent so far, over all resumed runs.
        recipe: as tables, see `recipe.to_tables`.
        scaler: of mixed precision with fp16.
    """

    step: int = 0
    best: float | None = None
    best_step: int = 0
    stale: int = 0
    seconds: float = 0.0
    recipe: dict[str, Any] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)


def start(
    out: Path, recipe: dict[str, Any], resume: bool, accept_changes: bool
) -> tuple[Progress, Path | None]:
    """The progress to start from and the checkpoint it is that of: the newest in `out`, or none.

    Raises:
        TrainingError: there is nothing to resume, or something that is not to be, or it was made
            with another recipe and changes are not accepted.
    """
    checkpoints = found(out)
    if resume and not checkpoints:
        raise TrainingError(f"{out} holds no checkpoint to resume: start without --resume.")
    if checkpoints and not resume:
        raise TrainingError(
            f"{out} holds a run already, at step {checkpoints[-1][1]}: go on with --resume, "
            "or choose another folder."
        )
    if not checkpoints:
        return Progress(recipe=recipe), None
    newest = checkpoints[-1][0]
    progress = read(newest)
    changes = differences(progress.recipe, recipe)
    if changes and not accept_changes:
        raise TrainingError(
            f"The recipe is not the one that {out} was made with: {'; '.join(changes)}; "
            "resume with the old values, or with --accept-changes."
        )
    if progress.recipe["run"]["monitor"] != recipe["run"]["monitor"]:
        progress.best, progress.stale = None, 0
    progress.recipe = recipe
    return progress, newest


def prepare(out: Path) -> None:
    """Makes the folder of a run and removes what a killed one left half-written.

    Raises:
        TrainingError: it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for draft in (*out.glob(".step-*"), *out.glob("..step-*")):
            shutil.rmtree(draft)
    except OSError as error:
        raise TrainingError(f"{out} cannot be written: {error.strerror or error}.") from error


def save(
    out: Path,
    name: str,
    export: Export,
    tensors: Mapping[str, Tensor],
    progress: Progress,
    provenance: Mapping[str, Any],
) -> None:
    """Writes the checkpoint of `progress.step` and points `last` to it.

    Raises:
        CheckpointError: it cannot be written; earlier ones are untouched.
    """
    path = out / f"step-{progress.step:08d}"
    draft = out / f".{path.name}"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        checkpoint.write(
            draft,
            family=export.family,
            name=name,
            config=export.config,
            tensors=export.tensors,
            provenance=provenance,
            card=export.card,
            parts=export.parts,
        )
        save_file({key: t.detach().cpu().contiguous().clone() for key, t in tensors.items()}, draft / TENSORS)
        (draft / STATE).write_text(json.dumps(asdict(progress), indent=2) + "\n", encoding="utf-8")
        _settle(draft, path)
    except (OSError, SafetensorError, CheckpointError) as error:
        why = error.__cause__ or error  # of a CheckpointError, which names the draft
        raise CheckpointError(f"{path} cannot be written: {why}; earlier checkpoints are intact.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    link(out, "last", path)


def link(out: Path, name: str, target: Path) -> None:
    """Points OUT/name to a checkpoint folder beside it."""
    draft = out / f".{name}.link"
    draft.unlink(missing_ok=True)
    draft.symlink_to(target.name, target_is_directory=True)
    draft.replace(out / name)


def prune(out: Path, keep: int) -> None:
    """Removes all but the newest `keep` checkpoints and those that a link points to."""
    linked = {resolved(out / name) for name in LINKS if (out / name).is_symlink()}
    for path, _ in found(out)[:-keep]:
        if resolved(path) not in linked:
            # A kill meanwhile must not leave half of it under a checkpoint's name.
            doomed = path.rename(out / f".step-{path.name}")
            shutil.rmtree(doomed)


def found(out: Path) -> list[tuple[Path, int]]:
    """The complete checkpoints in `out` with the step each states in its state.json, oldest first."""
    folders = (
        [path for path in out.iterdir() if path.is_dir() and not path.is_symlink()] if out.is_dir() else []
    )
    states = [path for path in folders if not path.name.startswith(".") and (path / STATE).is_file()]
    return sorted(((path, read(path).step) for path in states), key=lambda pair: pair[1])


def read(path: Path) -> Progress:
    """How far the run of a checkpoint had come.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    file = path / STATE
    try:
        return decode_config(json.loads(file.read_text(encoding="utf-8")), Progress, name=str(file))
    except (OSError, ValueError, ConfigError) as error:
        raise CheckpointError(f"{file} is missing or damaged ({error}); remove {path}.") from error


def collect(
    networks: Mapping[str, nn.Module], optimizers: Mapping[str, optim.Optimizer]
) -> dict[str, Tensor]:
    """All tensors of training by name: network/NAME/KEY and optimizer/NAME/PARAMETER/KEY."""
    tensors = {
        f"network/{name}/{key}": value
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    for name, optimizer in optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{name}/{index}/{key}": value for key, value in state.items()}
    return tensors


def restore(path: Path, networks: Mapping[str, nn.Module], optimizers: Mapping[str, optim.Optimizer]) -> None:
    """Puts the tensors of `collect` back.

    Raises:
        CheckpointError: the file is missing or damaged.
        TrainingError: it is of other networks.
    """
    try:
        tensors = load_file(path / TENSORS)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path / TENSORS} is missing or damaged ({error}); remove {path}.") from error
    for name, network in networks.items():
        try:
            network.load_state_dict(_below(tensors, f"network/{name}/"))
        except RuntimeError as error:
            # The first line is a heading; one of those below it says enough.
            first = str(error).split("\n")[1].strip()
            raise TrainingError(f"{path} was trained with another {name}: {first}") from error
    for name, optimizer in optimizers.items():
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(tensors, f"optimizer/{name}/").items():
            index, _, field_name = key.partition("/")
            states.setdefault(int(index), {})[field_name] = value
        optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _settle(draft: Path, path: Path) -> None:
    """Gives a draft its name, once all of it has reached the disk."""
    for file in (draft / TENSORS, draft / STATE, draft):
        flush(file)
    shutil.rmtree(path, ignore_errors=True)
    draft.rename(path)
    flush(path.parent)
