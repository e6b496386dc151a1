"""Discriminators against the published table."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from timbrel.models.discriminators import (
    DiscriminatorSet,
    Judgement,
    MultiPeriodDiscriminator,
    MultiResolutionDiscriminator,
    MultiScaleDiscriminator,
)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _shapes(layers: nn.ModuleList) -> list[tuple[int, ...]]:
    return [tuple(layer.weight.shape) for layer in layers]  # type: ignore[arg-type]


def test_multi_period_has_the_published_size() -> None:
    discriminator = MultiPeriodDiscriminator()
    assert _parameters(discriminator) == 41_105_770
    assert len(discriminator.state_dict()) == 90
    first = discriminator.discriminators[0]
    channels = [1, 32, 128, 512, 1024, 1024]
    assert _shapes(first.convs) == [(b, a, 5, 1) for a, b in pairwise(channels)]  # type: ignore[arg-type]
    assert "discriminators.4.conv_post.bias" in discriminator.state_dict()


def test_multi_scale_has_the_published_size() -> None:
    discriminator = MultiScaleDiscriminator()
    assert _parameters(discriminator) == 29_618_821
    assert len(discriminator.state_dict()) == 80
    assert sum(buffer.numel() for buffer in discriminator.buffers()) == 18_536
    expected = [
        *((128, 1, 15), (128, 32, 41), (256, 8, 41), (512, 16, 41)),
        *((1024, 32, 41), (1024, 64, 41), (1024, 1024, 5)),
    ]
    assert _shapes(discriminator.discriminators[1].convs) == expected  # type: ignore[arg-type]


SMALL: dict[str, Callable[[], DiscriminatorSet]] = {
    "period": lambda: MultiPeriodDiscriminator(width=2),
    "scale": lambda: MultiScaleDiscriminator(width=16),
    "resolution": lambda: MultiResolutionDiscriminator(width=2),
}


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("length", [2001, 4096])
def test_judgements_of_any_length_with_gradients_to_the_audio(kind: str, length: int) -> None:
    audio = torch.randn(2, length, requires_grad=True)
    judgement = SMALL[kind]()(audio)
    assert all(score.shape[0] == 2 and score.ndim == 2 for score in judgement.scores)
    layers = {"period": 5 * 6, "scale": 3 * 8, "resolution": 3 * 6}
    assert len(judgement.features) == layers[kind]
    (gradient,) = torch.autograd.grad(torch.stack([score.mean() for score in judgement.scores]).sum(), audio)
    assert gradient.abs().max() > 0


def test_period_networks_see_the_rows_of_the_folded_waveform() -> None:
    # 10 samples at period 3: reflected to 12, folded to 4 rows, which stride 3 thins to 2.
    discriminator = MultiPeriodDiscriminator(periods=(3,), width=2)
    given: list[Tensor] = []
    first = discriminator.get_submodule("discriminators.0.convs.0")
    first.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    judgement = discriminator(torch.arange(10.0)[None])
    assert given[0][0, 0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 8, 7]]
    assert judgement.features[0].shape == (1, 2, 2, 3)


def test_a_set_joins_judgements_in_order() -> None:
    class Constant(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

        def forward(self, audio: Tensor) -> Judgement:
            return Judgement((audio * self.value,), (audio, audio))

    judgement = DiscriminatorSet([Constant(1.0), Constant(2.0)])(torch.ones(1, 1))
    assert [score.item() for score in judgement.scores] == [1.0, 2.0]
    assert len(judgement.features) == 4
