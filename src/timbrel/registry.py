"""A name finds a checkpoint, and a family finds its class.

Names are looked up as a path, then in TIMBREL_HOME, then among the bundled ones, then among those
other packages bring. Other packages register families, "module:Class", in the entry-point group
`timbrel.models`, and checkpoint folders, "package:folder", in `timbrel.checkpoints`.
"""

from __future__ import annotations

import importlib
import importlib.resources
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timbrel import checkpoint as checkpoints
from timbrel.checkpoint import Checkpoint
from timbrel.config import decode_config
from timbrel.contract import EmbeddingSpec, FeatureSpec
from timbrel.errors import CheckpointError, ConfigError, ContractError
from timbrel.wording import listed

if TYPE_CHECKING:
    from torch import nn

DEFAULT_MODEL = "timbrel-one"

#: The family of a checkpoint made of other checkpoints; `timbrel.pipeline` joins them.
PIPELINE = "pipeline"

#: What the roles of its parts are called.
ROLES = {
    "converter": "converter",
    "speaker": "speaker encoder",
    "content": "content encoder",
    "vocoder": "vocoder",
}

FAMILIES = {
    "autovc": "timbrel.models.autovc:AutoVC",
    "converter": "timbrel.models.converter:Converter",
    "convgru-embedder": "timbrel.models.convgru_embedder:ConvGRUEmbedder",
    "d-vector": "timbrel.models.ge2e:DVector",
    "griffin_lim": "timbrel.models.griffin_lim:GriffinLim",
    "gru-embedder": "timbrel.models.gru_embedder:GRUEmbedder",
    "hifigan": "timbrel.models.hifigan:HiFiGAN",
    "istft": "timbrel.models.istft:ISTFT",
    "knn": "timbrel.models.knn:KNN",
    "linear": "timbrel.models.linear:Linear",
    "phonetic": "timbrel.models.phonetic:PhoneticEncoder",
    "speaker": "timbrel.models.speaker:ConvSpeakerEncoder",
    "vocgan": "timbrel.models.vocgan:VocGAN",
    "vocos": "timbrel.models.vocos:Vocos",
    "vqvc": "timbrel.models.vqvc:VQVC",
    "wavlm": "timbrel.models.wavlm:WavLM",
}


@dataclass(frozen=True, slots=True)
class Installed:
    """One line of `timbrel models`.

    Fields:
        kind: the checkpoint's family, or "broken".
        contract: what goes in and comes out, one sentence a joint; what is wrong if it is broken.
    """

    name: str
    path: Path
    kind: str
    bytes: int
    licence: str = ""
    measured: dict[str, Any] = field(default_factory=dict)
    contract: tuple[str, ...] = ()


def home() -> Path:
    """Folder of what the user added: $TIMBREL_HOME, by default ~/.local/share/timbrel."""
    return Path(os.environ.get("TIMBREL_HOME") or Path.home() / ".local" / "share" / "timbrel")


def find(name_or_path: str | Path) -> Path:
    """The checkpoint directory of that name or path.

    Raises:
        CheckpointError: there is none; the message lists the names that exist.
    """
    path = Path(name_or_path)
    if (path / checkpoints.CONFIG).is_file():
        return path
    if isinstance(name_or_path, Path) or len(path.parts) != 1 or path.is_dir():
        return checkpoints.read(path).path  # or it says what is wrong
    by_name = dict(_shelf())
    if path.name in by_name:
        return by_name[path.name]
    raise CheckpointError(
        f'There is no model "{name_or_path}": give a folder or one of {", ".join(sorted(by_name)) or "none"}.'
    )


def installed() -> list[Installed]:
    """All checkpoints that have a name, in the order of the names; imports no torch."""
    return [_describe(name, path) for name, path in sorted(_shelf())]


def contracts(config: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, FeatureSpec]]:
    """Pairs of a dotted key and the `FeatureSpec` it holds, anywhere in the tables of a config."""
    for key, value in config.items():
        if not isinstance(value, Mapping):
            continue
        if {"kind", "sample_rate", "hop", "dim"} <= value.keys():
            yield f"{where}{key}", decode_config(value, FeatureSpec, name=f"{where}{key}")
        else:
            yield from contracts(value, f"{where}{key}.")


def contract_lines(checkpoint: Checkpoint) -> Iterator[str]:
    """What goes in and comes out of a checkpoint and its parts, one line a joint."""
    for key, spec in contracts(checkpoint.config):
        yield f"{key}: {_describe_spec(spec)}"
    for role, part in parts(checkpoint).items():
        for key, spec in contracts(part.config):
            yield f"{role} {key}: {_describe_spec(spec)}"


def parts(checkpoint: Checkpoint) -> dict[str, Checkpoint]:
    """The parts of a pipeline by role; of any other family, the checkpoints that lie in its directory.

    A model that is of no use without another, such as AutoVC without its speaker encoder, brings it along.

    Raises:
        CheckpointError: a part is missing, broken or outside the directory.
    """
    if checkpoint.family != PIPELINE:
        return {folder.name: checkpoints.read(folder) for folder in _checkpoints_in(checkpoint.path)}
    return {role: checkpoints.read(_part_path(checkpoint, role)) for role in checkpoint.config}


def find_part(name_or_path: str | Path, role: str) -> Checkpoint:
    """A checkpoint by name or folder; of a pipeline, its part of that role.

    Raises:
        CheckpointError: there is none.
    """
    found = checkpoints.read(find(name_or_path))
    if found.family != PIPELINE:
        return found
    inside = parts(found)
    if role not in inside:
        raise CheckpointError(f'The pipeline "{name_or_path}" has no {ROLES[role]} among its parts.')
    return inside[role]


def family_class(family: str) -> Any:
    """The class of a family, imported now.

    Raises:
        CheckpointError: nobody knows the family; the message lists those that exist.
    """
    if family in FAMILIES:
        module, _, name = FAMILIES[family].partition(":")
        return getattr(importlib.import_module(module), name)
    others = {entry.name: entry for entry in entry_points(group="timbrel.models")}
    if family in others:
        return others[family].load()
    known = ", ".join(sorted({*FAMILIES, *others}))
    raise CheckpointError(f'There is no model family "{family}": those that exist are {known}.')


def build(checkpoint: Checkpoint) -> nn.Module:
    """The network of a checkpoint with its weights, ready for use (`eval`), on the CPU.

    Raises:
        CheckpointError: the family is unknown, or the weights are missing or do not fit it.
        ConfigError: the family does not know a key of the configuration.
    """
    cls = family_class(checkpoint.family)
    config = decode_config(checkpoint.config, cls.Config, name=str(checkpoint.path / checkpoints.CONFIG))
    try:
        model: nn.Module = cls(config)
    except (MemoryError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{checkpoint.path / checkpoints.CONFIG} asks for a {checkpoint.family} that cannot be built "
            f"here: {reason}."
        ) from error
    if model.state_dict():
        _load_strictly(model, checkpoint)
    _sign(model)
    return model.eval()


def _sign(model: nn.Module) -> None:
    """Writes the fingerprint of its weights into what an encoder says of its output."""
    spec: Any = getattr(model, "spec_out", None)
    learned = isinstance(spec, FeatureSpec) and spec.kind == "learned"
    if learned or isinstance(spec, EmbeddingSpec):
        signed: Any = replace(spec, encoder=checkpoints.fingerprint(model.state_dict()))
        model.spec_out = signed


def _load_strictly(model: nn.Module, checkpoint: Checkpoint) -> None:
    tensors, wanted = checkpoints.load_tensors(checkpoint), model.state_dict()
    problems = [f"{name} is missing" for name in sorted(wanted.keys() - tensors.keys())]
    problems += [f"{name} is not part of it" for name in sorted(tensors.keys() - wanted.keys())]
    problems += [
        f"{name} is {tuple(tensors[name].shape)}, wanted {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & tensors.keys())
        if tensors[name].shape != wanted[name].shape
    ]
    if problems:
        raise CheckpointError(
            f"The weights of {checkpoint.path} do not fit the family {checkpoint.family}: "
            f"{listed(problems, 5, '; ')}."
        )
    model.load_state_dict(tensors)


def _checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoint directories right below `folder`; one half-written has a dot before its name."""
    return sorted(
        path
        for path in folder.iterdir()
        if (path / checkpoints.CONFIG).is_file() and not path.name.startswith(".")
    )


def _part_path(pipeline: Checkpoint, role: str) -> Path:
    folder = pipeline.config[role]
    if not isinstance(folder, str) or not folder or Path(folder).name != folder:
        raise CheckpointError(
            f"{pipeline.path / checkpoints.CONFIG}: {role} must name a folder inside it, not {folder!r}."
        )
    return pipeline.path / folder


def _shelf() -> Iterator[tuple[str, Path]]:
    """Every checkpoint that has a name; one found earlier hides a later one of the same name."""
    seen: set[str] = set()
    for name, path in _everything():
        if name not in seen and (path / checkpoints.CONFIG).is_file():
            seen.add(name)
            yield name, path


def _everything() -> Iterator[tuple[str, Path]]:
    bundled = Path(__file__).parent / "weights"
    for shelf in (home() / "models", bundled):
        for path in sorted(shelf.iterdir()) if shelf.is_dir() else []:
            yield path.name, path
    for entry in entry_points(group="timbrel.checkpoints"):
        yield entry.name, Path(str(importlib.resources.files(entry.module) / entry.attr))


def _describe(name: str, path: Path) -> Installed:
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    try:
        checkpoint = checkpoints.read(path)
        contract = tuple(contract_lines(checkpoint))
    except (CheckpointError, ConfigError, ContractError) as error:
        return Installed(name, path, "broken", size, contract=(str(error),))
    measured = checkpoint.provenance.get("measured")
    measured = measured if isinstance(measured, dict) else {}
    licence = str(checkpoint.provenance.get("licence", "not stated"))
    return Installed(name, path, checkpoint.family, size, licence, measured, contract)


def _describe_spec(spec: FeatureSpec) -> str:
    frames = f"{spec.dim} values, {spec.frame_rate:g} frames/s of {spec.sample_rate} Hz"
    if spec.kind == "learned":
        return f"learned, {frames}, by {spec.encoder or 'unnamed weights'}"
    if spec.kind == "waveform":
        return f"waveform at {spec.sample_rate} Hz"
    return f"mel {spec.f_min:g} to {spec.f_max:g} Hz, {spec.log}, {frames}"
