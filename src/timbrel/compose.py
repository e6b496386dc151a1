"""`timbrel compose`: parts that were made apart become one pipeline, or are refused with every reason.

The joints are those that converting checks (`methods/joints.py`). The parts are copied, so the pipeline
is whole wherever it is moved to. A loss that was allowed is written down in its provenance: the parts
cannot change any more, so nobody is asked again at each conversion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from timbrel import __version__, registry
from timbrel import checkpoint as checkpoints
from timbrel.checkpoint import Checkpoint
from timbrel.contract import Bridge, Lossy
from timbrel.errors import CheckpointError
from timbrel.files import keep_apart, resolved
from timbrel.methods import ALLOWED_LOSSES, join_parts
from timbrel.methods.joints import Joint, losses
from timbrel.registry import ROLES


@dataclass(frozen=True, slots=True)
class Composed:
    """A pipeline that was written.

    Fields:
        parts: names of the checkpoints by role.
        joints: where they meet, one sentence each.
        losses: what is lost there, with permission.
    """

    path: Path
    parts: dict[str, str]
    joints: tuple[str, ...]
    losses: tuple[str, ...]


def compose(
    parts: Mapping[str, str | Path], output: Path, *, allow_lossy: bool = False, force: bool = False
) -> Composed:
    """Writes a pipeline of copies of `parts`: names or folders by role, "converter" among them.

    A pipeline stands for its own part of that role. What lies in the converter's folder, such as the
    speaker encoder that training put beside it, is taken where no other is named.

    Raises:
        CheckpointError: a part does not exist, is of another kind, or has no place in this pipeline.
        ContractError: parts do not fit (every field is named), or only with loss and that is not allowed.
        OutputError: the output is, holds or lies in one of the parts.
    """
    found = _collect(parts)
    for part in found.values():
        keep_apart(output, part.path)
    method = join_parts(found, torch.device("cpu"), allow_lossy)
    _require_use(found, method.joints)
    lines, lost = tuple(map(describe, method.joints)), losses(method.joints)
    name = resolved(output).name
    checkpoints.write(
        output,
        family=registry.PIPELINE,
        name=name,
        config={role: role for role in found},
        tensors={},
        provenance=_provenance(found, lines, lost),
        card=_card(name, found, lines, lost),
        parts={role: part.path for role, part in found.items()},
        overwrite=force,
    )
    return Composed(output, {role: part.name for role, part in found.items()}, lines, lost)


def describe(joint: Joint) -> str:
    """One sentence about a joint that fits."""
    match joint.verdict():
        case Bridge(scale, offset):
            how = f"bridged exactly: {scale:.6g} x {offset:+.6g}"
        case Lossy(scale, offset, reasons):
            how = f"bridged with loss: {scale:.6g} x {offset:+.6g}; {'; '.join(reasons)}"
        case _:
            how = "the same"
    return f"{joint.giver} to {joint.taker}: {how}"


def _collect(parts: Mapping[str, str | Path]) -> dict[str, Checkpoint]:
    named = {role: registry.find_part(name, role) for role, name in parts.items()}
    beside = registry.parts(named["converter"])
    found = beside | named
    return {role: found[role] for role in ROLES if role in found}


def _require_use(parts: Mapping[str, Checkpoint], found: tuple[Joint, ...]) -> None:
    used = {name for joint in found for name in (joint.giver, joint.taker)}
    for role in parts:
        if ROLES[role] not in used:
            raise CheckpointError(
                f"A converter of the family {parts['converter'].family} has no use for a {ROLES[role]}: "
                f"leave {parts[role].path} away."
            )


def _provenance(
    parts: Mapping[str, Checkpoint], joints: tuple[str, ...], losses: tuple[str, ...]
) -> dict[str, object]:
    licences = {str(part.provenance.get("licence", "not stated")) for part in parts.values()}
    return {
        "licence": "; ".join(sorted(licences)),
        "composed_by": f"timbrel {__version__}",
        "parts": {role: {"name": part.name, "family": part.family} for role, part in parts.items()},
        "joints": list(joints),
        ALLOWED_LOSSES: list(losses),
    }


def _card(
    name: str, parts: Mapping[str, Checkpoint], joints: tuple[str, ...], losses: tuple[str, ...]
) -> str:
    lines = [f"# {name}", "", "A pipeline composed of parts that were made apart.", ""]
    lines += [f"- {ROLES[role]}: {part.name}, family {part.family}" for role, part in parts.items()]
    lines += ["", "Where they meet:", "", *(f"- {line}" for line in joints)]
    if losses:
        lines += ["", "Allowed when it was composed:", "", *(f"- {line}" for line in losses)]
    return "\n".join([*lines, ""])
