"""What a family of published checkpoints is to `timbrel import`, and what families share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timbrel.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from timbrel.contract import FeatureSpec
    from timbrel.interop.containers import Stored


@dataclass(frozen=True, slots=True)
class Options:
    """What files do not say and may be stated; None takes the family's default, which it names.

    Fields:
        freq: mel frames in a code of AutoVC.
        mel: name of a front end, of `timbrel.audio.mel.PRESETS`.
        layer: of WavLM.
        sample_rate: Hz.
        mel_stats: file with mean and deviation of each mel band, .npy (2, bands).
    """

    freq: int | None = None
    mel: str | None = None
    layer: int | None = None
    sample_rate: int | None = None
    mel_stats: Path | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """A published checkpoint as Timbrel stores it.

    Fields:
        family: of the registry.
        config: of that family.
        tensors: named as in our module.
        notes: sentences for the user: defaults that were taken, what must go with it.
        licence, source: of the weights, as far as it is stated, and the paper or repository.
        published: the file's name for a tensor of ours, for messages.
    """

    family: str
    config: Any
    tensors: dict[str, Tensor]
    notes: tuple[str, ...]
    licence: str
    source: str
    published: Callable[[str], str] = field(default=str)


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of published checkpoint.

    Fields:
        name: as the command has it.
        summary: one line for people.
        recognise: whether tensors with these dotted names are of this family.
        convert: makes ours of it; raises CheckpointError with a clause that names the first key that
            does not fit, such as "lstm.weight_ih_l0 is missing.".
        options: names of the `Options` that mean something to it.
        container: the kind of file, of `Stored.container`, by which it is told from a family of the same
            names; empty for any.
    """

    name: str
    summary: str
    recognise: Callable[[Mapping[str, Tensor]], bool]
    convert: Callable[[Stored, Options], Imported]
    options: tuple[str, ...] = ()
    container: str = ""


def weights(tensors: Mapping[str, Tensor], *sections: str) -> dict[str, Tensor]:
    """The network's tensors: those of the first section that there is, or all of them.

    `module.`, which DataParallel puts before every name, is taken away.
    """
    for section in sections:
        found = below(tensors, section)
        if found:
            return without_module(found)
    return without_module(tensors)


def below(tensors: Mapping[str, Tensor], section: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `section` and a dot, without that beginning."""
    start = f"{section}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def without_module(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without DataParallel's `module.`, if every name begins with it."""
    if tensors and all(name.startswith("module.") for name in tensors):
        return below(tensors, "module")
    return dict(tensors)


def rows(
    tensors: Mapping[str, Tensor], key: str, dimension: int = 0, called: Callable[[str], str] = str
) -> int:
    """The size of a tensor, from which a size of the network follows.

    Args:
        called: what its publisher calls it, for errors.

    Raises:
        CheckpointError: there is no such tensor, or it has fewer dimensions.
    """
    if key not in tensors:
        raise CheckpointError(f"{called(key)} is missing.")
    if tensors[key].dim() <= dimension:
        raise CheckpointError(f"{called(key)} is {tuple(tensors[key].shape)}, which has too few dimensions.")
    return tensors[key].shape[dimension]


def front_end(options: Options, default: str) -> FeatureSpec:
    """The mel that was stated, or the family's default, a name of `timbrel.audio.mel.PRESETS`.

    Raises:
        ConfigError: there is no front end of the stated name.
    """
    from timbrel.audio.mel import PRESETS

    name = options.mel or default
    if name not in PRESETS:
        raise ConfigError(f'There is no mel "{name}": those that exist are {", ".join(PRESETS)}.')
    return PRESETS[name]
