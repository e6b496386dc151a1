"""WavLM as a content encoder: what it builds, how it cuts time, and what windows make of it."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch

from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models import ContentEncoder, content
from timbrel.models.content import content_frames
from timbrel.models.phonetic import PhoneticConfig, PhoneticEncoder
from timbrel.models.wavlm import WavLM, WavLMConfig

from .small import BASE, LARGE, wavlm

pytest.importorskip("transformers")


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def test_it_is_a_content_encoder_of_fifty_frames_a_second() -> None:
    model = wavlm()
    assert isinstance(model, ContentEncoder)
    assert model.spec_out == FeatureSpec(kind="learned", sample_rate=16000, hop=320, dim=32)
    assert model.spec_in == FeatureSpec(kind="waveform", sample_rate=16000, hop=1, dim=1)
    assert (LARGE.hop, LARGE.field) == (320, 400)


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (320, 1), (321, 2), (16000, 50), (16001, 51)])
@torch.inference_mode()
def test_frames_cover_all_samples(samples: int, frames: int) -> None:
    assert wavlm()(noise(samples)[None, :, None]).shape == (1, frames, 32)


@torch.inference_mode()
def test_zeros_follow_the_end_as_in_the_training_of_knn_vc() -> None:
    model, samples = wavlm(), noise(16000)
    # The published code appends 320 zeros to whole hops and cuts nothing: 50 frames.
    padded = torch.nn.functional.pad(samples, (0, 320))
    expected = model.network(padded[None]).last_hidden_state
    assert expected.shape[1] == 50
    torch.testing.assert_close(model(samples[None, :, None]), expected, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_only_the_layers_that_are_wanted_are_there() -> None:
    for layer in (0, 1, 3):
        model = wavlm(replace(LARGE, layer=layer))
        layers = {name.split(".")[3] for name in model.state_dict() if ".layers." in name}
        assert layers == {str(number) for number in range(layer)}
        assert model(noise(640)[None, :, None]).isfinite().all()


@pytest.mark.parametrize("config", [LARGE, BASE])
@torch.inference_mode()
def test_nothing_in_it_is_left_to_chance(config: WavLMConfig) -> None:
    model = wavlm(config)
    wave = noise(8000)[None, :, None]
    once = model(wave)
    assert torch.equal(model.train()(wave), once)


@torch.inference_mode()
def test_the_level_is_left_as_it_is() -> None:
    model, samples = wavlm(), noise(8000)
    loud = content_frames(model, samples)
    # Frames of what is softer are others, since nothing brings the waveform to one level.
    assert not torch.allclose(content_frames(model, 1e-3 * samples), loud, atol=1e-3)
    torch.testing.assert_close(content_frames(model, samples, gain=7.0), loud)


@torch.inference_mode()
def test_windows_are_nearly_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "WINDOW_SECONDS", 2.0)
    samples = noise(9 * 16000)
    for config in (LARGE, BASE):
        model = wavlm(config)
        whole = model(samples[None, :, None])[0]
        windowed = content_frames(model, samples)
        difference = (windowed - whole).norm() / whole.norm()
        # Attention sees all it is given, so equal they cannot be: 0.2 % was measured with these weights.
        assert 1e-6 < difference < 0.01


@torch.inference_mode()
def test_windows_bound_what_is_heard_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, heard = wavlm(), list[int]()
    model.register_forward_pre_hook(lambda _, given: heard.append(given[0].shape[1]))
    monkeypatch.setattr(content, "WINDOW_SECONDS", 1.0)
    frames = content_frames(model, noise(20 * 16000 + 7), dtype=torch.float16)
    assert frames.shape == (1001, 32)
    assert frames.dtype == torch.float16
    assert max(heard) == 16000 * 5  # a second, and two on either side
    assert len(heard) == 21


@torch.inference_mode()
def test_windows_of_an_encoder_with_a_finite_reach_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = PhoneticEncoder(PhoneticConfig(width=16, layers=2, heads=2, rotary=4, reach=5)).eval()
    # Its positions count from the window's start, and turn queries and keys alike.
    monkeypatch.setattr(content, "WINDOW_SECONDS", 1.0)
    samples = noise(5 * 16000 + 100)
    whole = model(samples[None, :, None])[0]
    torch.testing.assert_close(content_frames(model, samples, gain=1.0), whole, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_the_bundled_kind_hears_all_at_one_level() -> None:
    model = PhoneticEncoder(PhoneticConfig(width=16, layers=1, heads=2, rotary=4, reach=3)).eval()
    samples = noise(16000)
    soft = content_frames(model, 0.01 * samples)
    torch.testing.assert_close(soft, content_frames(model, samples), atol=1e-4, rtol=1e-4)


def test_without_transformers_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'timbrel\[wavlm\]'"):
        WavLM(LARGE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": -1}, "layer must be at least 0, not -1"),
        ({"heads": 5}, "width must divide by heads"),
        ({"position_groups": 5}, "width must divide by heads and position_groups"),
        ({"conv_strides": (5, 2)}, "one value for each convolution"),
        ({"final_norm": True, "norm_first": False}, "final_norm belongs to norm_first"),
        ({"spec_in": FeatureSpec(kind="learned", sample_rate=16000, hop=320, dim=4)}, "must be a waveform"),
    ],
)
def test_impossible_sizes_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(LARGE, **changes)  # type: ignore[arg-type]
