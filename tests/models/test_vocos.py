"""Vocos against the published sizes and an independent forward pass."""

from __future__ import annotations

import pytest
import torch
from tests.models import published

from timbrel.audio.mel import PRESETS
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models import Vocoder
from timbrel.models.vocos import Vocos, VocosConfig

SPEC = PRESETS["vocos-24k"]
SMALL = FeatureSpec(kind="learned", sample_rate=16000, hop=16, dim=6, encoder="test")


def small(blocks: int = 2, n_fft: int = 64) -> Vocos:
    torch.manual_seed(0)
    return Vocos(VocosConfig(SMALL, width=12, hidden=20, blocks=blocks, n_fft=n_fft)).eval()


def test_published_size() -> None:
    """13,531,650 as published, of which 13,005,312 in the backbone and 526,338 in the head."""
    model = Vocos(VocosConfig(SPEC))
    backbone, head = (sum(p.numel() for p in part.parameters()) for part in (model.backbone, model.head))
    assert (backbone, head) == (13_005_312, 526_338)


def test_forward_is_the_published_one() -> None:
    model = small()
    features = torch.randn(2, 11, 6)
    made = model(features)
    assert made.shape == (2, 11 * 16)
    expected = published.vocos(model.state_dict(), features, 16)
    assert expected.shape == (2, 10 * 16)
    torch.testing.assert_close(made[:, : 10 * 16], expected.clamp(-1, 1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 3, 50])
def test_it_is_a_vocoder(frames: int) -> None:
    model = small()
    assert isinstance(model, Vocoder)
    for level in (-16.1, 0.0, 1e4):
        audio = model(torch.full((2, frames, 6), level))
        assert audio.shape == (2, frames * 16)
        assert audio.isfinite().all()
        assert audio.abs().max() <= 1


@pytest.mark.parametrize(("blocks", "n_fft"), [(1, 32), (3, 64)])
def test_receptive_field_is_exact(blocks: int, n_fft: int) -> None:
    model = small(blocks, n_fft).double()
    reach = model.receptive_field
    middle = 2 * reach
    features = torch.randn(1, 4 * reach + 1, 6, dtype=torch.float64, requires_grad=True)
    # Not through the bound of 1, which has no slope beyond it.
    waveform = model.head(model.backbone(features))
    waveform[0, middle * 16 : (middle + 1) * 16].square().sum().backward()
    assert features.grad is not None
    distance = (features.grad[0].abs().sum(1).nonzero()[:, 0] - middle).abs()
    assert distance.max().item() == reach


@pytest.mark.parametrize("n_fft", [31, 63, 24])
def test_windows_that_cannot_overlap_are_refused(n_fft: int) -> None:
    with pytest.raises(ConfigError, match="n_fft"):
        small(n_fft=n_fft)
