"""`timbrel average`: the mean of checkpoints of one network, which is often better than any of them.

Weights that one training passed through, or several that began alike, can be averaged although networks
trained apart cannot (Izmailov et al. 2018; "model soups", Wortsman et al. 2022). What a network is told
beside its weights may be set anew, and the weights be stored in fewer bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from timbrel import __version__, registry, storage
from timbrel import checkpoint as checkpoints
from timbrel.checkpoint import Checkpoint
from timbrel.config import decode_config, encode_config
from timbrel.errors import CheckpointError, ConfigError
from timbrel.files import keep_apart, resolved
from timbrel.steering import check_weight
from timbrel.targets import Target
from timbrel.train.recipe import apply, differences

if TYPE_CHECKING:
    from torch import Tensor

Bits = Literal[8, 16, 32]


def average(
    shares: Sequence[Target],
    out: Path,
    *,
    overrides: Sequence[str] = (),
    bits: Bits = 32,
    force: bool = False,
) -> Path:
    """Writes the mean of checkpoints to the folder `out`, with the parts that lie in the first's.

    What a network counts or keeps of those whom it has heard is the first's as well: a mean of different
    people is nobody.

    Args:
        shares: their folders with weights, which are scaled to a sum of 1; without weights all count alike.
        overrides: "key=value" pairs of the [model] table of their config.toml.
        bits: see `storage.compress`; 32 stores weights as they are.
        force: replace a checkpoint that is there.

    Raises:
        CheckpointError: one is missing, damaged, a pipeline, or of another network than the first; `out`
            exists or cannot be written.
        OutputError: `out` lies in one of them, or the other way round.
        ConfigError: there is none, or an override cannot be.
    """
    if not shares:
        raise ConfigError("Give the checkpoints to average.")
    _check_weights(shares)
    for share in shares:
        keep_apart(out, share.path)
    found = [_changed(checkpoints.read(share.path), overrides) for share in shares]
    weights = [1.0 if share.weight is None else share.weight for share in shares]
    parts = [weight / sum(weights) for weight in weights]
    for other in found[1:]:
        _require_alike(found[0], other)
    tensors = _mean([_tensors(one) for one in found], parts, _records(found[0]))
    name = resolved(out).name
    checkpoints.write(
        out,
        family=found[0].family,
        name=name,
        config=found[0].config,
        tensors=tensors if bits == 32 else storage.compress(tensors, bits),
        provenance=_provenance(found, parts, overrides),
        card=_card(found, parts),
        parts={role: part.path for role, part in registry.parts(found[0]).items()},
        overwrite=force,
    )
    return out


def _check_weights(shares: Sequence[Target]) -> None:
    for share in shares:
        if share.weight is None and any(other.weight is not None for other in shares):
            raise ConfigError(
                f"{share.path} has no weight and others have: give all of them weights, or none."
            )
        if share.weight is not None:
            check_weight(share.weight)


def _changed(found: Checkpoint, overrides: Sequence[str]) -> Checkpoint:
    if found.family == registry.PIPELINE:
        inside = ", ".join(str(part.path) for part in registry.parts(found).values())
        raise CheckpointError(f"{found.path} is a pipeline and has no weights of its own: average {inside}.")
    cls = registry.family_class(found.family)
    where = str(found.path / checkpoints.CONFIG)
    config = encode_config(decode_config(found.config, cls.Config, name=where))  # every default stated
    for override in overrides:
        key = override.partition("=")[0].partition(".")[0]
        if key not in config:
            raise ConfigError(f"--set {override}: a {found.family} has {', '.join(config)}, and no {key}.")
        apply(config, override)
    return replace(found, config=config)


def _require_alike(one: Checkpoint, other: Checkpoint) -> None:
    if one.family != other.family:
        raise CheckpointError(
            f"{one.path} is of the family {one.family} and {other.path} of {other.family}: a mean is of one."
        )
    if changes := differences(one.config, other.config):
        raise CheckpointError(
            f"{other.path} is another network than {one.path}: {'; '.join(changes)}. What may differ can "
            "be set for all of them with --set."
        )


def _tensors(found: Checkpoint) -> dict[str, Tensor]:
    """Its weights, once they are known to fit its configuration."""
    return cast("dict[str, Tensor]", registry.build(found).state_dict())


def _records(found: Checkpoint) -> tuple[str, ...]:
    """Beginnings of the names of its tensors that are no weights."""
    records: tuple[str, ...] = getattr(registry.family_class(found.family), "records", ())
    return records


def _mean(
    all_tensors: Sequence[dict[str, Tensor]], parts: Sequence[float], records: tuple[str, ...]
) -> dict[str, Tensor]:
    """Of each tensor that weighs something; the others are the first's."""
    import torch

    mean = {}
    for name, first in all_tensors[0].items():
        if not first.is_floating_point() or name.startswith(records):
            mean[name] = first
            continue
        stacked = torch.stack([tensors[name].double() for tensors in all_tensors])
        mean[name] = torch.tensordot(torch.tensor(parts, dtype=torch.float64), stacked, 1).to(first.dtype)
        if not bool(mean[name].isfinite().all()):
            raise CheckpointError(
                f"The mean of {name} is not finite: a checkpoint is damaged, or was never good."
            )
    return mean


def _provenance(
    found: Sequence[Checkpoint], parts: Sequence[float], overrides: Sequence[str]
) -> dict[str, object]:
    licences = {str(one.provenance.get("licence", "not stated")) for one in found}
    return {
        "licence": "; ".join(sorted(licences)),
        "averaged_by": f"timbrel {__version__}",
        "mean_of": [
            {"name": one.name, "folder": resolved(one.path).name, "share": part, "provenance": one.provenance}
            for one, part in zip(found, parts, strict=True)
        ],
        "set": list(overrides),
    }


def _card(found: Sequence[Checkpoint], parts: Sequence[float]) -> str:
    """The first's, and what it is the mean of."""
    path = found[0].path / checkpoints.CARD
    card = path.read_text(encoding="utf-8") if path.is_file() else f"# {found[0].name}\n"
    if len(found) == 1:
        return card
    lines = [
        f"- {part:.0%} {one.name}, {resolved(one.path).name}" for one, part in zip(found, parts, strict=True)
    ]
    return "\n".join([card.rstrip(), "", "The mean of several checkpoints:", "", *lines, ""])
