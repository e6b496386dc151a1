"""HiFi-GAN against the published tables and an independent forward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from tests.models import published

from timbrel.audio.mel import PRESETS
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models import Vocoder
from timbrel.models.hifigan import HiFiGAN, HiFiGANConfig
from timbrel.models.layers import add_weight_norm, fold_weight_norm

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
    add_weight_norm(model)
    assert sum(parameter.numel() for parameter in model.parameters()) == normed
    assert len(model.state_dict()) == entries


def test_published_size_of_knn_vc() -> None:
    spec = FeatureSpec(kind="learned", sample_rate=16000, hop=320, dim=1024, encoder="test")
    config = HiFiGANConfig.knn_vc(spec)
    assert (config.upsample_rates, config.upsample_kernels) == ((10, 8, 2, 2), (20, 16, 4, 4))
    model = HiFiGAN(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == 16_523_393
    add_weight_norm(model)
    assert sum(parameter.numel() for parameter in model.parameters()) == 16_533_506
    assert len(model.state_dict()) == 236


def test_a_projection_is_a_linear_layer_in_front() -> None:
    torch.manual_seed(0)
    config = replace(_tiny().config, projection=3)
    model, behind = HiFiGAN(config), HiFiGAN(replace(config, spec_in=replace(TINY, dim=3), projection=0))
    weights = model.state_dict()
    weight, bias = weights.pop("lin_pre.weight"), weights.pop("lin_pre.bias")
    behind.load_state_dict(weights)
    features = torch.randn(2, 5, 6)
    torch.testing.assert_close(model(features), behind(features @ weight.T + bias))


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
    add_weight_norm(model)
    fold_weight_norm(model)
    state = model.state_dict()
    assert {f"{name}.{part}" for name in expected for part in ("weight", "bias")} == set(state)
    assert {name: tuple(state[f"{name}.weight"].shape) for name in expected} == expected


@pytest.mark.parametrize("resblock", [1, 2])
def test_forward_is_the_published_one(resblock: int) -> None:
    model = _tiny(resblock)
    config, features = model.config, torch.randn(2, 9, 6)
    expected = published.hifigan(
        model.state_dict(), features, config.upsample_rates, config.resblock_dilations
    )
    torch.testing.assert_close(model(features), expected, atol=1e-6, rtol=1e-5)


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
    add_weight_norm(model)
    torch.testing.assert_close(model(features), before)
    fold_weight_norm(model)
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


@pytest.mark.parametrize("channels", [2, 18])
def test_channels_that_cannot_be_halved_are_refused(channels: int) -> None:
    with pytest.raises(ConfigError, match="channels must be a multiple of 4"):
        replace(_tiny().config, channels=channels)
