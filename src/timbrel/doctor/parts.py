"""The parts that somebody names, sorted: checkpoints by role, voices, features, published files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from timbrel import checkpoint as checkpoints
from timbrel import registry
from timbrel.checkpoint import Checkpoint
from timbrel.contract import EmbeddingSpec, FeatureSpec
from timbrel.doctor import weights
from timbrel.doctor.files import SUFFIXES
from timbrel.doctor.findings import Area, Finding, Severity
from timbrel.errors import CheckpointError, ConfigError, ContractError
from timbrel.methods import METHODS
from timbrel.registry import ROLES
from timbrel.voice import SUFFIX as VOICE


@dataclass(slots=True)
class Bench:
    """What was named.

    Fields:
        checkpoints, networks: by role; a checkpoint that cannot be loaded has no network.
        arrays: .npy files, features or vectors.
        published: files that others published.
    """

    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    networks: dict[str, Any] = field(default_factory=dict)
    voices: list[Path] = field(default_factory=list)
    arrays: list[Path] = field(default_factory=list)
    published: list[Path] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def gather(named: Sequence[str | Path]) -> Bench:
    """Sorts and loads what was named; what is wrong with weights goes into the findings.

    Raises:
        CheckpointError: there is no such checkpoint, or no such file.
        ConfigError: two parts have one role.
    """
    bench = Bench()
    for one in named:
        path = Path(one)
        if path.suffix in (VOICE, ".npy") or path.suffix in SUFFIXES or path.is_file():
            if not path.is_file():
                raise CheckpointError(f"{path}: no such file; check its name and folder.")
            _pile(bench, path).append(path)
        else:
            _add(bench, checkpoints.read(registry.find(one)))
    return bench


def _pile(bench: Bench, path: Path) -> list[Path]:
    if path.suffix == VOICE:
        return bench.voices
    return bench.arrays if path.suffix == ".npy" else bench.published


def _add(bench: Bench, checkpoint: Checkpoint) -> None:
    inside = registry.parts(checkpoint)
    if checkpoint.family == registry.PIPELINE:
        for role, part in inside.items():
            _place(bench, role, part, _loaded(bench, part))
        return
    network = _loaded(bench, checkpoint)
    role = role_of(network) if network is not None else _role_by_family(checkpoint.family)
    _place(bench, role, checkpoint, network)
    for role, part in inside.items():  # what training puts beside its model
        if role in ROLES and role not in bench.checkpoints:
            _place(bench, role, part, _loaded(bench, part))


def _place(bench: Bench, role: str, checkpoint: Checkpoint, network: nn.Module | None) -> None:
    if role in bench.checkpoints:
        raise ConfigError(
            f"{bench.checkpoints[role].path} and {checkpoint.path} are both a {ROLES.get(role, role)}: "
            "name one of each kind."
        )
    bench.checkpoints[role] = checkpoint
    if network is not None:
        bench.networks[role] = network


def role_of(network: Any) -> str:
    """Which place in a pipeline a network has."""
    spec = getattr(network, "spec_out", None)
    if network.family in METHODS:
        return "converter"
    if isinstance(spec, EmbeddingSpec):
        return "speaker"
    return "content" if isinstance(spec, FeatureSpec) else "vocoder"


def _role_by_family(family: str) -> str:
    return "converter" if family in METHODS else family


def _loaded(bench: Bench, checkpoint: Checkpoint) -> nn.Module | None:
    """The network, with what its weights tell; none if they do not fit it."""
    subject = str(checkpoint.path)
    try:
        stored = (
            checkpoints.load_tensors(checkpoint) if (checkpoint.path / checkpoints.WEIGHTS).is_file() else {}
        )
        bench.findings += weights.spelling(subject, stored)
        bench.findings += weights.numbers(subject, stored)
        network = registry.build(checkpoint)
    except (CheckpointError, ConfigError, ContractError) as error:
        bench.findings.append(_unloadable(subject, str(error)))
        return None
    bench.findings += _learned(subject, network)
    return network


def _learned(subject: str, network: nn.Module) -> Iterator[Finding]:
    state = network.state_dict()
    yield from weights.never_learned(subject, network)
    yield from weights.statistics(subject, state)
    yield from weights.codebooks(subject, state)


def _unloadable(subject: str, problem: str) -> Finding:
    return Finding(
        Severity.FAULT,
        Area.WEIGHTS,
        subject,
        problem,
        "Weights that find no place leave a network as random as it began, if anybody loads them by force.",
        "Import the published file with timbrel import, which checks every name and shape, or take the "
        "checkpoint of the version that wrote it.",
        (29,),
    )
