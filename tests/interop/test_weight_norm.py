"""Weight norm as torch computes it itself, in its three spellings."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from timbrel.errors import CheckpointError
from timbrel.interop.weight_norm import fold

LAYERS = [
    nn.Conv1d(5, 4, 3),
    nn.ConvTranspose1d(5, 4, 8, 4),
    nn.Conv1d(5, 1, 7),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
@pytest.mark.parametrize("dim", [0, -1, None])
def test_both_ways_fold_to_the_weight_in_use(layer: nn.Module, norm: object, dim: int | None) -> None:
    if dim == -1:
        dim = layer.weight.dim() - 1  # type: ignore[union-attr,operator]  # as in WavLM's positional convolution
    made = norm(copy.deepcopy(layer), dim=dim)  # type: ignore[operator]
    for name, values in made.named_parameters():
        torch.manual_seed(len(name))
        values.data = torch.randn_like(values) + 2
    state = made.state_dict()
    made(torch.randn(2, 7, 5).mT)  # the old spelling makes the weight when it is used
    folded = fold(
        {f"ups.0.{name}": values for name, values in state.items()} | {"other.weight": torch.ones(2)}
    )
    assert sorted(folded) == ["other.weight", "ups.0.bias", "ups.0.weight"]
    torch.testing.assert_close(folded["ups.0.weight"], made.weight.detach(), atol=1e-6, rtol=1e-6)
    assert torch.equal(folded["other.weight"], torch.ones(2))


def test_plain_weights_stay_as_they_are() -> None:
    plain = {"conv.weight": torch.randn(2, 3, 4), "conv.bias": torch.randn(2)}
    assert all(fold(plain)[name] is tensor for name, tensor in plain.items())


def test_half_a_pair_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"conv_pre\.weight_v is missing"):
        fold({"conv_pre.weight_g": torch.ones(2, 1, 1)})
    with pytest.raises(CheckpointError, match=r"up\.parametrizations\.weight\.original0 is missing"):
        fold({"up.parametrizations.weight.original1": torch.ones(2, 1, 1)})


@pytest.mark.parametrize("shape", [(3, 1, 1), (2, 1), (2, 2, 1)])
def test_a_pair_that_does_not_fit_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(CheckpointError, match=r"conv\.weight_g does not fit its partner"):
        fold({"conv.weight_g": torch.ones(shape), "conv.weight_v": torch.ones(2, 5, 3)})
