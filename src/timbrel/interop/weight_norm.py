"""Weight norm (Salimans & Kingma 2016) in its three spellings: W = g v / |v|.

X.weight_g, X.weight_v                              torch.nn.utils.weight_norm
X.parametrizations.weight.original0, .original1     torch.nn.utils.parametrizations.weight_norm
X.weight                                            folded
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from timbrel.errors import CheckpointError

#: Endings of the names of g and v.
_SPELLINGS = ((".weight_g", ".weight_v"), *[tuple(f".parametrizations.weight.original{i}" for i in (0, 1))])


def fold(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same with plain weights `X.weight`, in the same order; what is plain stays as it is.

    The norm of v is over the dimensions in which g has one value: all but the first, as in convolutions,
    or all but the last, as in WavLM's positional one.

    Raises:
        CheckpointError: a g or v lacks its partner, or their shapes do not fit; a clause naming it.
    """
    folded: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        partner, layer = _partner(name)
        if layer is None:
            folded[name] = tensor
            continue
        if partner not in tensors:
            raise CheckpointError(f"{partner} is missing.")
        weight = f"{layer}.weight"
        if weight not in folded:
            g, v = (tensors[key] for key in sorted((name, partner)))
            folded[weight] = _weight(g, v, name)
    return folded


def _partner(name: str) -> tuple[str, str | None]:
    """The name of v for that of g and the other way round, and the layer's; None for neither."""
    for scale, direction in _SPELLINGS:
        for ending, other in ((scale, direction), (direction, scale)):
            if name.endswith(ending):
                layer = name.removesuffix(ending)
                return layer + other, layer
    return "", None


def _weight(g: Tensor, v: Tensor, name: str) -> Tensor:
    shapes = zip(g.shape, v.shape, strict=True) if g.dim() == v.dim() else ()
    if g.dim() and not (shapes and all(one in (1, other) for one, other in shapes)):
        raise CheckpointError(f"{name} does not fit its partner: {tuple(g.shape)} scales {tuple(v.shape)}.")
    over = [index for index, size in enumerate(g.shape) if size == 1] if g.dim() else list(range(v.dim()))
    # In double precision, so that what is folded twice or elsewhere is the same.
    direction = v.double()
    norm = torch.linalg.vector_norm(direction, dim=over, keepdim=True)
    weight: Tensor = g.double() * direction / norm
    return weight.to(v.dtype)
