"""What families of vocoders share: weights without weight norm, and the mel that a file does not state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from timbrel.audio.mel import PRESETS
from timbrel.contract import FeatureSpec
from timbrel.errors import CheckpointError
from timbrel.interop.containers import Stored
from timbrel.interop.family import Options, front_end, weights
from timbrel.interop.weight_norm import fold

#: How names of convolutions end in each spelling of weight norm; see `weight_norm`.
_DIRECTIONS = (".weight_v", ".parametrizations.weight.original1")


@dataclass(frozen=True, slots=True)
class Plain:
    """Weights without weight norm.

    Fields:
        tensors: by name within the network.
        published: the file's name for one of them, or what it would be.
    """

    tensors: dict[str, Tensor]
    published: Callable[[str], str]

    def size(self, name: str, dimension: int = 0) -> int:
        """The size of a tensor, from which a size of the network follows.

        Raises:
            CheckpointError: there is no such tensor, or it has fewer dimensions.
        """
        if name not in self.tensors:
            raise CheckpointError(f"{self.published(name)} is missing.")
        if self.tensors[name].dim() <= dimension:
            raise CheckpointError(f"{self.describe(name)}, which has too few dimensions.")
        return self.tensors[name].shape[dimension]

    def describe(self, name: str) -> str:
        """What the file calls a tensor, and its shape."""
        return f"{self.published(name)} is {tuple(self.tensors[name].shape)}"


def plain_weights(stored: Stored, section: str) -> Plain:
    """The tensors of that section of the file, or all of them if it has none, weight norm folded.

    Raises:
        CheckpointError: half of a weight-normed tensor is missing or does not fit the other half.
    """
    given = weights(stored.tensors, section)
    name = next(iter(given), "")
    prefix = next((whole.removesuffix(name) for whole in stored.tensors if whole.endswith(name)), "")
    try:
        tensors = fold(given)
    except CheckpointError as error:
        raise CheckpointError(f"{prefix}{error}") from error
    ending = next((end for end in _DIRECTIONS if any(each.endswith(end) for each in given)), ".weight")

    def published(name: str) -> str:
        if name in given or not name.endswith(".weight"):
            return prefix + name
        return prefix + name.removesuffix(".weight") + ending

    return Plain(tensors, published)


def stated_or(default: FeatureSpec, options: Options, why: str) -> tuple[FeatureSpec, str]:
    """The mel that the user states, or the default; and the sentence that says which it is.

    Args:
        why: what speaks for the default, such as "which the published files read".

    Raises:
        ConfigError: there is no front end of the stated name.
    """
    if options.mel is not None:
        return front_end(options, options.mel), f"It reads the mel {options.mel}, as stated."
    return default, (
        f"The file does not say which mel it reads: taken is {_described(default)}, {why}; "
        "another is stated with --mel."
    )


def _described(spec: FeatureSpec) -> str:
    name = next((name for name, preset in PRESETS.items() if preset == spec), "the mel")
    return f"{name} ({spec.sample_rate} Hz, hop {spec.hop}, {spec.f_min:g} to {spec.f_max:g} Hz, {spec.log})"
