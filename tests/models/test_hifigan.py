"""HiFi-GAN against the published tables and an independent forward pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from timbrel.audio.mel import PRESETS
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models import Vocoder
from timbrel.models.hifigan import HiFiGAN, HiFiGANConfig

SPEC = PRESETS["hifigan-22k"]
TINY = FeatureSpec(kind="learned", sample_rate=16000, hop=16, dim=6, encoder="test")


def _tiny(resblock: int = 1, rates: tuple[int, ...] = (4, 4), kernels: tuple[int, ...] = (8, 8)) -> HiFiGAN:
    torch.manual_seed(0)
    dilations = ((1, 3, 5), (1, 3, 5)) if resblock == 1 else ((1, 2), (2, 6))
    return HiFiGAN(HiFiGANConfig(TINY, rates, kernels, 16, resblock, (3, 7), dilations))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("preset", "folded", "normed", "entries"),
    [
        (HiFiGANConfig.v1, 13_926_017, 13_936_130, 234),
        (HiFiGANConfig.v2, 925_985, 928_514, 234),
        (HiFiGANConfig.v3, 1_462_273, 1_464_322, 69),
    ],
)
def test_published_sizes(
    preset: Callable[[FeatureSpec], HiFiGANConfig], folded: int, normed: int, entries: int
) -> None:
    model = HiFiGAN(preset(SPEC))
    assert sum(parameter.numel() for parameter in model.parameters()) == folded
    assert len(model.state_dict()) == entries * 2 // 3
    model.add_weight_norm()
    assert sum(parameter.numel() for parameter in model.parameters()) == normed
    assert len(model.state_dict()) == entries


def test_folded_names_and_shapes_are_the_official_ones() -> None:
    config = HiFiGANConfig.v1(SPEC)
    expected = {"conv_pre": (512, 80, 7), "conv_post": (1, 32, 7)}
    for stage, kernel in enumerate((16, 16, 4, 4)):
        before, after = 512 >> stage, 256 >> stage
        expected[f"ups.{stage}"] = (before, after, kernel)
        for branch, size in enumerate((3, 7, 11)):
            for layer in range(3):
                for kind in ("convs1", "convs2"):
                    expected[f"resblocks.{3 * stage + branch}.{kind}.{layer}"] = (after, after, size)
    model = HiFiGAN(config)
    model.add_weight_norm()
    model.fold_weight_norm()
    state = model.state_dict()
    assert {f"{name}.{part}" for name in expected for part in ("weight", "bias")} == set(state)
    assert {name: tuple(state[f"{name}.weight"].shape) for name in expected} == expected


def _published_forward(model: HiFiGAN, features: Tensor) -> Tensor:
    """The forward pass as the paper and the official code describe it, from the state dict alone."""
    state, config = model.state_dict(), model.config

    def conv(name: str, x: Tensor, dilation: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        side = (weight.shape[2] * dilation - dilation) // 2
        return functional.conv1d(x, weight, state[f"{name}.bias"], padding=side, dilation=dilation)

    x = conv("conv_pre", features.transpose(1, 2))
    for i, (rate, kernel) in enumerate(zip(config.upsample_rates, config.upsample_kernels, strict=True)):
        up = f"ups.{i}"
        x = functional.conv_transpose1d(
            functional.leaky_relu(x, 0.1),
            state[f"{up}.weight"],
            state[f"{up}.bias"],
            rate,
            (kernel - rate) // 2,
        )
        outputs = []
        for j, dilations in enumerate(config.resblock_dilations):
            y, block = x, f"resblocks.{i * len(config.resblock_kernels) + j}"
            for n, dilation in enumerate(dilations):
                z = functional.leaky_relu(y, 0.1)
                if config.resblock == 1:
                    z = functional.leaky_relu(conv(f"{block}.convs1.{n}", z, dilation), 0.1)
                    y = y + conv(f"{block}.convs2.{n}", z)
                else:
                    y = y + conv(f"{block}.convs.{n}", z, dilation)
            outputs.append(y)
        x = sum(outputs) / len(outputs)  # type: ignore[assignment]
    return torch.tanh(conv("conv_post", functional.leaky_relu(x, 0.01)))[:, 0]


@pytest.mark.parametrize("resblock", [1, 2])
def test_forward_is_the_published_one(resblock: int) -> None:
    model = _tiny(resblock)
    features = torch.randn(2, 9, 6)
    torch.testing.assert_close(model(features), _published_forward(model, features), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("rates", "kernels"), [((4, 4), (8, 8)), ((4, 4), (9, 11)), ((2, 8), (3, 16))])
@pytest.mark.parametrize("frames", [1, 2, 7, 30])
def test_every_frame_gives_a_hop_of_samples(
    rates: tuple[int, ...], kernels: tuple[int, ...], frames: int
) -> None:
    assert _tiny(1, rates, kernels)(torch.randn(2, frames, 6)).shape == (2, frames * 16)


@pytest.mark.parametrize("resblock", [1, 2])
@pytest.mark.parametrize("kernels", [(8, 8), (9, 7)])
def test_receptive_field_is_exact(resblock: int, kernels: tuple[int, ...]) -> None:
    model = _tiny(resblock, kernels=kernels).double()
    reach = model.receptive_field
    middle = 2 * reach
    features = torch.randn(1, 4 * reach + 1, 6, dtype=torch.float64, requires_grad=True)
    model(features)[0, middle * 16 : (middle + 1) * 16].square().sum().backward()
    assert features.grad is not None
    distance = (features.grad[0].abs().sum(1).nonzero()[:, 0] - middle).abs()
    assert distance.max().item() == reach


def test_weight_norm_does_not_change_the_output() -> None:
    model = _tiny()
    features = torch.randn(1, 5, 6)
    before = model(features)
    model.add_weight_norm()
    torch.testing.assert_close(model(features), before)
    model.fold_weight_norm()
    torch.testing.assert_close(model(features), before)


@pytest.mark.parametrize("hop", [128, 256, 320])
def test_sizes_exist_at_16_khz(hop: int) -> None:
    spec = FeatureSpec(kind="learned", sample_rate=16000, hop=hop, dim=8, encoder="test")
    for config in (HiFiGANConfig.v2(spec), HiFiGANConfig.v3(spec)):
        model = HiFiGAN(config)
        assert isinstance(model, Vocoder)
        assert model(torch.zeros(1, 3, 8)).shape == (1, 3 * hop)


def test_silence_and_loud_input_stay_within_range() -> None:
    model = _tiny()
    for level in (-11.5, 0.0, 1e4):
        audio = model(torch.full((1, 4, 6), level))
        assert audio.dtype == torch.float32
        assert audio.isfinite().all()
        assert audio.abs().max() <= 1


def test_a_hop_that_the_rates_do_not_give_is_refused() -> None:
    with pytest.raises(ConfigError, match="hop of the input, 16"):
        _tiny(rates=(4, 2))
    with pytest.raises(ConfigError, match="128, 256, 320 samples, not 16"):
        HiFiGANConfig.v1(TINY)
