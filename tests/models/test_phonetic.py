"""The bundled content encoder: shapes, where it looks, and its attention against torch's own."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from timbrel.errors import ConfigError
from timbrel.models import ContentEncoder
from timbrel.models.phonetic import (
    HOP,
    PhoneticConfig,
    PhoneticEncoder,
    Stem,
    attend_near,
    rotate,
    rotations,
)

TINY = PhoneticConfig(width=16, layers=2, heads=2, rotary=4, reach=3)


@pytest.fixture
def model() -> PhoneticEncoder:
    torch.manual_seed(0)
    return PhoneticEncoder(TINY).eval()


def noise(samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(1, samples, 1, generator=torch.Generator().manual_seed(samples))


@pytest.mark.parametrize("samples", [1, 255, 256, 257, 16000, 16128])
def test_a_frame_for_each_256_samples_begun(model: PhoneticEncoder, samples: int) -> None:
    content = model(noise(samples).expand(2, -1, -1))
    assert isinstance(model, ContentEncoder)
    assert content.shape == (2, math.ceil(samples / 256), 16)
    assert content.isfinite().all()
    assert model.spec_out.frame_rate == 62.5


@pytest.mark.parametrize("offset", [0, 1, 64, 127, 128, 200, 255])
def test_a_sample_changes_only_frames_within_the_context(model: PhoneticEncoder, offset: int) -> None:
    waveform = noise(256 * 60)
    nudged = waveform.clone()
    nudged[0, 256 * 30 + offset] += 1.0
    changed = torch.nonzero((model(waveform) - model(nudged)).abs().amax(dim=(0, 2)) > 1e-7).flatten()
    # Frames whose convolutions reach the sample, 447 on either side, and three more for each layer.
    place = 256 * 30 + offset
    first, last = math.ceil((place - 447) / 256) - 6, (place + 447) // 256 + 6
    assert (int(changed.min()), int(changed.max())) == (first, last)
    assert max(30 - first, last - 30) <= model.context


def test_windows_with_context_give_what_the_whole_gives(model: PhoneticEncoder) -> None:
    waveform = noise(256 * 300 + 100)
    whole = model(waveform)
    for start, stop in ((0, 90), (90, 200), (200, 301)):
        first, last = max(0, start - model.context), min(301, stop + model.context)
        window = model(waveform[:, 256 * first : 256 * last])
        inner = window[:, start - first : stop - first]
        torch.testing.assert_close(inner, whole[:, start:stop], atol=1e-5, rtol=0)


def test_a_frame_later_is_the_same_frame(model: PhoneticEncoder) -> None:
    waveform = noise(256 * 80)
    later = torch.cat([torch.zeros(1, 256 * 5, 1), waveform], dim=1)
    inner = slice(model.context, None)
    torch.testing.assert_close(model(later)[:, 5:][:, inner], model(waveform)[:, inner], atol=1e-5, rtol=0)


def test_the_convolutions_see_what_the_published_strides_see() -> None:
    torch.manual_seed(0)
    stem = Stem(16)
    waveform = noise(384 * 2 * 20 + 894)
    # As published: strides 64, 3 and 2, no padding, so frame i is centred on sample 384 i + 447.
    hidden = torch.tanh(functional.conv1d(waveform.transpose(1, 2), stem.conv1.weight, stride=64))
    hidden = functional.gelu(functional.conv1d(hidden, stem.conv2.weight, stem.conv2.bias, stride=3))
    published = functional.gelu(functional.conv1d(hidden, stem.conv3.weight, stem.conv3.bias, stride=2))
    # Ours is centred on 256 k: the same places where 256 k = 384 i, if ours starts 447 samples later.
    ours = stem(waveform[:, 447:])[0]
    for i in range(4, 30, 2):
        torch.testing.assert_close(ours[3 * i // 2], published[0, :, i], atol=1e-5, rtol=0)


@pytest.mark.parametrize("frames", [1, 5, 63, 64, 65, 200])
@pytest.mark.parametrize("reach", [0, 3, 100])
def test_attention_to_what_is_near_is_torchs_with_a_band(frames: int, reach: int) -> None:
    parts = torch.randn(3, 2, 4, frames, 8, generator=torch.Generator().manual_seed(frames))
    query, key, value = (part.clone().requires_grad_() for part in parts)
    place = torch.arange(frames)
    band = (place[:, None] - place).abs() <= reach
    expected = functional.scaled_dot_product_attention(*parts, attn_mask=band)
    found = attend_near(query, key, value, reach)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    found.sum().backward()
    assert all(part.grad is not None and part.grad.isfinite().all() for part in (query, key, value))


def test_positions_turn_pairs_by_the_recognisers_steps() -> None:
    heads = torch.randn(1, 1, 7, 6)
    turned = rotate(heads, rotations(7, 4))
    # Pairs as complex numbers, by angles of 256 / 384 of a frame at rates 1 and 1 / 100.
    pairs = torch.view_as_complex(heads[..., :4].reshape(1, 1, 7, 2, 2).contiguous())
    angles = torch.outer(torch.arange(7) * 2 / 3, torch.tensor([1.0, 0.01]))
    expected = torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)
    torch.testing.assert_close(turned[..., :4], expected)
    assert torch.equal(turned[..., 4:], heads[..., 4:])


def test_what_is_said_is_standardised(model: PhoneticEncoder) -> None:
    before = model(noise(4096))
    model.mean.fill_(0.5)
    model.deviation.fill_(0.25)
    torch.testing.assert_close(model(noise(4096)), (before - 0.5) / 0.25)


def detailed(**changes: int) -> PhoneticEncoder:
    torch.manual_seed(0)
    model = PhoneticEncoder(replace(TINY, detail=5, **changes)).eval()
    model.detail_mean.normal_()
    model.detail_map.normal_()
    return model


@pytest.mark.parametrize("layer", [1, 2])
def test_detail_is_read_behind_its_layer(layer: int) -> None:
    model, heard = detailed(detail_after=layer), []
    model.layers[layer - 1].register_forward_hook(lambda *call: heard.append(call[2]))
    content = model(noise(5000))
    assert content.shape[-1] == model.spec_out.dim == 21
    expected = torch.einsum("btw,wd->btd", heard[0] - model.detail_mean, model.detail_map)
    torch.testing.assert_close(content[..., 16:], expected)


def test_detail_leaves_what_is_said_and_its_windows_alone(model: PhoneticEncoder) -> None:
    other = detailed(detail_after=1)
    shared = {name: tensor for name, tensor in other.state_dict().items() if "detail" not in name}
    model.load_state_dict(shared)
    waveform = noise(256 * 60)
    assert torch.equal(other(waveform)[..., :16], model(waveform))
    window = other(waveform[:, : 256 * 40])
    torch.testing.assert_close(window[:, :30], other(waveform)[:, :30], atol=1e-5, rtol=0)


@pytest.mark.parametrize("sizes", [{"detail": 17}, {"detail": 4, "detail_after": 3}])
def test_detail_that_cannot_be_is_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="detail must be 0 to the width, 16, and detail_after 1 to"):
        replace(TINY, **sizes)


def test_beginnings_are_the_stem_and_the_first_layer(model: PhoneticEncoder) -> None:
    waveform = noise(3000)
    stem = model.stem(waveform)
    first = model.layers[0](stem, rotations(stem.shape[1], 4))
    torch.testing.assert_close(model.beginnings(waveform), torch.cat([stem, first], dim=-1))


def test_the_default_sizes_are_those_of_the_published_encoder() -> None:
    model = PhoneticEncoder(PhoneticConfig())
    # Moonshine tiny's encoder: three convolutions, the norm's scale and shift, six layers, the last norm.
    stem = 288 * 127 + 2 * 288 + (576 * 288 * 7 + 576) + (288 * 576 * 3 + 288)
    layer = 4 * 288**2 + 2 * 288 * 1152 + 1152 + 288 + 2 * 288
    assert sum(weight.numel() for weight in model.parameters()) == stem + 6 * layer + 288
    assert model.context == 6 * 24 + 2
    assert HOP == 256


@pytest.mark.parametrize("sizes", [{"heads": 7}, {"rotary": 5}, {"rotary": 38}])
def test_heads_and_positions_that_do_not_go_together(sizes: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="width must divide by heads, and rotary be even"):
        PhoneticConfig(**sizes)
