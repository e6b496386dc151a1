"""How weights take less space in a file: half precision, or 8 bits with a scale for each output row.

A matrix "x" in 8 bits is two tensors: "x", int8, and "x.scale", float32, one for each row of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from timbrel.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

#: Linear and one-dimensional convolution weights, (out, in) and (out, in, taps), from this size on.
_LEAST_VALUES = 4096
_DIMENSIONS = (2, 3)
_LARGEST = 127


def compress(tensors: Mapping[str, Tensor], bits: Literal[8, 16]) -> dict[str, Tensor]:
    """Weights as they are stored; what loads of them differs by half a step of the format at most.

    Args:
        bits: 16 stores floating point in half precision; 8 stores the large weights of layers in steps of a
            127th of the largest value of their row, and the rest as 16 does.
    """
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if bits == 8 and _is_large_weight(tensor):
            stored |= _in_steps(name, tensor)
        else:
            stored[name] = tensor.half() if tensor.is_floating_point() else tensor
    return stored


def expand(stored: Mapping[str, Tensor], *, name: str) -> dict[str, Tensor]:
    """What `compress` stored, as float32; other tensors as they are.

    Args:
        name: what the tensors came from, named in errors.

    Raises:
        CheckpointError: a scale is missing or cannot be one.
    """
    import torch

    scales = {f"{key}.scale" for key, tensor in stored.items() if tensor.dtype == torch.int8}
    expanded: dict[str, Tensor] = {}
    for key, tensor in stored.items():
        if tensor.dtype == torch.int8:
            expanded[key] = tensor.float() * _scale(stored, key, name)
        elif key not in scales:
            expanded[key] = tensor.float() if tensor.dtype == torch.float16 else tensor
    return expanded


def _is_large_weight(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.ndim in _DIMENSIONS and tensor.numel() >= _LEAST_VALUES


def _in_steps(name: str, tensor: Tensor) -> dict[str, Tensor]:
    rows = tensor.detach().float().flatten(1)
    # A row of zeros needs some scale, too.
    scale = rows.abs().amax(dim=1).clamp_min(1e-12) / _LARGEST
    steps = (rows / scale[:, None]).round().char()
    return {name: steps.view(tensor.shape), f"{name}.scale": scale}


def _scale(stored: Mapping[str, Tensor], key: str, name: str) -> Tensor:
    """Of each row of the tensor `key`, in a shape that multiplies it."""
    import torch

    scale, rows = stored.get(f"{key}.scale"), stored[key].shape[:1]
    if scale is None:
        raise CheckpointError(f"{name} is damaged: {key} is in 8 bits and has no {key}.scale.")
    positive = bool((scale.isfinite() & (scale > 0)).all())
    if scale.dtype != torch.float32 or scale.shape != rows or not positive:
        raise CheckpointError(
            f"{name} is damaged: {key}.scale must hold {rows.numel()} positive numbers, one for each row."
        )
    return scale.view(-1, *[1] * (stored[key].ndim - 1))
