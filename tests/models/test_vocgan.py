"""VocGAN's generator against the published tables and an independent forward pass."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.models import published
from torch import Tensor

from timbrel.audio.mel import PRESETS
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models import Vocoder
from timbrel.models.layers import add_weight_norm, fold_weight_norm, folded_state_dict
from timbrel.models.vocgan import VocGAN, VocGANConfig, for_use

SPEC = PRESETS["vocgan-22k"]
#: 64 channels leave 32, 16, 8, 4, 2 and 1 after the stages.
SMALL = VocGANConfig(SPEC, channels=64, side_outputs=True)


def small(config: VocGANConfig = SMALL, seed: int = 0) -> VocGAN:
    torch.manual_seed(seed)
    return VocGAN(config)


def mel(frames: int, batch: int = 2) -> Tensor:
    """Values where those of speech are."""
    return torch.randn(batch, frames, 80, generator=torch.Generator().manual_seed(frames)) * 2 - 5


@pytest.mark.parametrize(
    ("side_outputs", "folded", "normed", "entries"),
    [(False, 4_706_121, 4_714_010, 252), (True, 4_707_805, 4_715_698, 264)],
)
def test_published_sizes(side_outputs: bool, folded: int, normed: int, entries: int) -> None:
    model = VocGAN(VocGANConfig(SPEC, side_outputs=side_outputs))
    assert sum(parameter.numel() for parameter in model.parameters()) == folded
    assert len(model.state_dict()) == entries * 2 // 3
    add_weight_norm(model)
    assert sum(parameter.numel() for parameter in model.parameters()) == normed
    assert len(model.state_dict()) == entries


def test_folded_names_and_shapes_are_the_published_ones() -> None:
    expected = {"start.1": (512, 80, 7), "out.2": (1, 8, 7)}
    for stage, width in enumerate((256, 128, 64, 32, 16, 8), 1):
        expected[f"upsample_{stage}.1"] = (2 * width, width, 8 if stage < 3 else 4)
        for layer in range(4):
            name = f"res_stack_{stage}.{layer}"
            expected[f"{name}.block.2"] = (width, width, 3)
            expected[f"{name}.block.4"] = expected[f"{name}.shortcut"] = (width, width, 1)
    skips = {1: (80, 64, 64), 2: (80, 32, 128), 3: (80, 16, 256), 4: (80, 8, 512)}
    expected |= {f"skip_upsample_{skip}": shape for skip, shape in skips.items()}
    state = VocGAN(VocGANConfig(SPEC)).state_dict()
    assert {f"{name}.{part}" for name in expected for part in ("weight", "bias")} == set(state)
    assert {name: tuple(state[f"{name}.weight"].shape) for name in expected} == expected


def test_forward_is_the_published_one_at_every_rate() -> None:
    model = small()
    expected = published.vocgan(model.state_dict(), mel(9))
    made = model.resolutions(mel(9))
    assert [one.shape[1] for one in made] == [9 * 16, 9 * 32, 9 * 64, 9 * 128, 9 * 256]
    assert model.config.divisors == (16, 8, 4, 2, 1)
    for one, other in zip(made, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(model(mel(9)), expected[-1], atol=1e-6, rtol=1e-5)


def test_short_input_is_silence_from_its_end_on() -> None:
    """The published network needs 7 frames; ln(1e-5) is the floor of its mel."""
    model = small()
    assert VocGAN(VocGANConfig(SPEC)).least_frames == model.least_frames == 7
    for frames in (1, 3, 6):
        silence = torch.full((2, 7 - frames, 80), -11.512925)
        filled = published.vocgan(model.state_dict(), torch.cat([mel(frames), silence], 1))
        torch.testing.assert_close(model(mel(frames)), filled[-1][:, : 256 * frames], atol=1e-6, rtol=1e-5)
        assert [one.shape[1] for one in model.resolutions(mel(frames))] == [
            frames * rate for rate in (16, 32, 64, 128, 256)
        ]


@pytest.mark.parametrize("preset", ["vocgan-22k", "hifigan-16k"])
@pytest.mark.parametrize("frames", [1, 7, 20])
def test_it_is_a_vocoder(preset: str, frames: int) -> None:
    model = small(VocGANConfig(PRESETS[preset], channels=64))
    assert isinstance(model, Vocoder)
    audio = model(mel(frames))
    assert audio.shape == (2, frames * 256)
    assert audio.abs().max() <= 1


@pytest.mark.parametrize(
    ("hop", "rates", "divisors"), [(320, (5, 4, 4, 2, 2), (16, 4, 2, 1)), (60, (3, 5, 4), (4, 1))]
)
def test_other_hops(hop: int, rates: tuple[int, ...], divisors: tuple[int, ...]) -> None:
    spec = FeatureSpec(kind="mel", sample_rate=16000, hop=hop, dim=80, n_fft=1024, window=1024, f_max=8000.0)
    model = small(VocGANConfig(spec, rates, channels=64, residual_layers=2, side_outputs=True))
    assert model.config.divisors == divisors
    assert [one.shape for one in model.resolutions(mel(9))] == [(2, 9 * hop // d) for d in divisors]


@pytest.mark.parametrize(
    ("hop", "rates", "layers"), [(16, (4, 2, 2), 3), (12, (3, 2, 2), 1), (15, (5, 3), 2)]
)
def test_receptive_field_is_exact(hop: int, rates: tuple[int, ...], layers: int) -> None:
    spec = FeatureSpec(kind="mel", sample_rate=16000, hop=hop, dim=4, n_fft=64, window=64, f_max=8000.0)
    model = small(VocGANConfig(spec, rates, channels=16, residual_layers=layers)).double()
    reach = model.receptive_field
    middle = 2 * reach + 8
    features = torch.randn(1, 2 * middle + 1, 4, dtype=torch.float64, requires_grad=True)
    model(features)[0, middle * hop : (middle + 1) * hop].square().sum().backward()
    assert features.grad is not None
    distance = (features.grad[0].abs().sum(1).nonzero()[:, 0] - middle).abs()
    assert distance.max().item() == reach


def test_loud_and_silent_mels_stay_within_range() -> None:
    model = small()
    for level in (-11.5, 0.0, 1e4):
        audio = model(torch.full((1, 8, 80), level))
        assert audio.isfinite().all()
        assert audio.abs().max() <= 1


def test_weight_norm_does_not_change_the_output() -> None:
    model = small()
    before = model(mel(8))
    add_weight_norm(model)
    torch.testing.assert_close(model(mel(8)), before)
    fold_weight_norm(model)
    torch.testing.assert_close(model(mel(8)), before)


def test_the_heads_that_only_training_needs_can_be_left_out() -> None:
    model = small()
    add_weight_norm(model)
    config, tensors = for_use(model.config, folded_state_dict(model))
    plain = VocGAN(config)
    plain.load_state_dict(tensors)
    torch.testing.assert_close(plain(mel(8)), model(mel(8)), atol=1e-6, rtol=1e-5)
    with pytest.raises(ConfigError, match="side_outputs = true"):
        plain.resolutions(mel(8))


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="hop of the input, 256"):
        VocGANConfig(SPEC, upsample_rates=(4, 4, 2, 2, 2))
    with pytest.raises(ConfigError, match="multiple of 64, to be halved by each of 6 stages, not 96"):
        VocGANConfig(SPEC, channels=96)
    with pytest.raises(ConfigError, match="residual_layers must be at least 1"):
        VocGANConfig(SPEC, residual_layers=0)
    for wrong in (replace(SPEC, log="db"), PRESETS["simple-autovc-16k"], PRESETS["autovc-16k"]):
        with pytest.raises(ConfigError, match="natural logarithms"):
            VocGANConfig(wrong)
