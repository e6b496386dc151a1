"""From a published file to a checkpoint of ours, checked name by name."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from timbrel import __version__, registry
from timbrel import checkpoint as checkpoints
from timbrel.errors import CheckpointError, ConfigError
from timbrel.files import content_hash
from timbrel.interop import FAMILIES
from timbrel.interop.containers import Stored, read_tensors
from timbrel.interop.family import Family, Imported, Options

#: The family to be found by the names of the tensors.
AUTO = "auto"
#: Nothing stated.
DEFAULTS = Options()


@dataclass(frozen=True, slots=True)
class Report:
    """What was imported.

    Fields:
        family: as published; `registry_family` as ours.
        path: of the checkpoint that was written.
        parameters: learned values.
        notes: sentences for the user.
    """

    family: str
    registry_family: str
    path: Path
    parameters: int
    sha256: str
    licence: str
    notes: tuple[str, ...]


def import_checkpoint(
    path: Path, family: str = AUTO, out: Path | None = None, options: Options = DEFAULTS, force: bool = False
) -> Report:
    """Writes a published checkpoint as one of ours; nothing in the file is run.

    Args:
        family: a name of `FAMILIES`, or "auto".
        out: the folder to write; by default one among the installed models, named after family and file.
        force: replace a checkpoint that is there.

    Raises:
        CheckpointError: the file cannot be read or does not fit the family, or `out` exists.
        ConfigError: an option makes no sense for the family.
    """
    stored = read_tensors(path)
    chosen = recognise(stored) if family == AUTO else find_family(family)
    _check_options(chosen, options)
    imported = _convert(chosen, stored, options)
    network = _empty_network(imported)
    tensors = _fitting(imported, network.state_dict(), stored, chosen)
    parameters = sum(weight.numel() for weight in network.parameters())
    digest, target = content_hash(stored.path), out or _default_folder(chosen, path)
    checkpoints.write(
        target,
        family=imported.family,
        name=target.name,
        config=imported.config,
        tensors=tensors,
        provenance=_provenance(chosen, imported, stored, digest, parameters),
        card=_card(chosen, imported, stored, target.name),
        overwrite=force,
    )
    return Report(chosen.name, imported.family, target, parameters, digest, imported.licence, imported.notes)


def find_family(name: str) -> Family:
    """The family of that name.

    Raises:
        CheckpointError: there is none; the message lists those that exist.
    """
    if name not in FAMILIES:
        near = difflib.get_close_matches(name, FAMILIES, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else "."
        raise CheckpointError(f'There is no family "{name}" to import: known are {", ".join(FAMILIES)}{hint}')
    family: Family = importlib.import_module(FAMILIES[name]).FAMILY
    return family


def recognise(stored: Stored) -> Family:
    """The one family that knows these tensors by their names.

    Raises:
        CheckpointError: none does, or several do.
    """
    found = [family for family in map(find_family, FAMILIES) if family.recognise(stored.tensors)]
    ours = [family for family in found if family.container in ("", stored.container)]
    found = [family for family in ours if family.container] or ours
    if len(found) == 1:
        return found[0]
    if found:
        raise CheckpointError(
            f"{stored.path} may be {' or '.join(family.name for family in found)}, which look alike: "
            "name the family."
        )
    first = next(iter(stored.tensors), None)
    what = f"its first tensor is {first}" if first is not None else "it holds no tensors"
    raise CheckpointError(
        f"{stored.path} is of no family that Timbrel knows ({', '.join(FAMILIES)}): {what}."
    )


def _check_options(family: Family, options: Options) -> None:
    for item in fields(options):
        if getattr(options, item.name) is not None and item.name not in family.options:
            allowed = ", ".join(family.options) or "none"
            raise ConfigError(
                f"{item.name} means nothing to {family.name}; what can be stated of it: {allowed}."
            )


def _convert(family: Family, stored: Stored, options: Options) -> Imported:
    try:
        return family.convert(stored, options)
    except CheckpointError as error:
        raise _misfit(stored, family, str(error).rstrip(".")) from error


def _empty_network(imported: Imported) -> nn.Module:
    """Our network without values, so that a file of absurd sizes takes no memory."""
    with torch.device("meta"):
        network: nn.Module = registry.family_class(imported.family)(imported.config)
    return network


def _fitting(
    imported: Imported, wanted: Mapping[str, Tensor], stored: Stored, family: Family
) -> dict[str, Tensor]:
    """The tensors in single precision, if they are exactly those that the network has.

    Raises:
        CheckpointError: naming the first that is missing, misshapen, unknown or not finite.
    """
    given, name_of = imported.tensors, imported.published
    for name, place in wanted.items():
        if name not in given:
            raise _misfit(stored, family, f"{name_of(name)} is missing")
        if given[name].shape != place.shape:
            shapes = f"{tuple(given[name].shape)}, wanted {tuple(place.shape)}"
            raise _misfit(stored, family, f"{name_of(name)} is {shapes}")
        if not bool(given[name].isfinite().all()):
            raise _misfit(stored, family, f"{name_of(name)} holds values that are not finite")
    for name in given:
        if name not in wanted:
            raise _misfit(stored, family, f"{name_of(name)} is not part of it")
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in given.items()}


def _misfit(stored: Stored, family: Family, problem: str) -> CheckpointError:
    return CheckpointError(f"{stored.path} does not fit the family {family.name}: {problem}.")


def _default_folder(family: Family, path: Path) -> Path:
    """Among the installed models, named after the family and the file."""
    stem = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")
    name = stem if not stem or stem.startswith(family.name) else f"{family.name}-{stem}"
    return registry.home() / "models" / (name or family.name)


def _provenance(
    family: Family, imported: Imported, stored: Stored, digest: str, parameters: int
) -> dict[str, Any]:
    return {
        "licence": imported.licence,
        "source": imported.source,
        "made_by": f"timbrel {__version__}",
        "made_on": datetime.now(UTC).date().isoformat(),
        "imported": {
            "family": family.name,
            "file": stored.path.name,
            "bytes": stored.path.stat().st_size,
            "sha256": digest,
            "container": stored.container,
        },
        "parameters": parameters,
        "notes": list(imported.notes),
    }


def _card(family: Family, imported: Imported, stored: Stored, name: str) -> str:
    notes = "".join(f"- {note}\n" for note in imported.notes)
    return (
        f"# {name}\n\n{family.summary}\n\n"
        f"Imported from `{stored.path.name}` ({stored.container}), which others published: "
        f"{imported.source}. Licence: {imported.licence}.\n\n{notes}"
    )
