"""The bundled networks: shapes, receptive fields, what a voice's tokens may and may not change."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
import torch

from timbrel.audio.mel import PRESETS
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models import SpeakerEncoder
from timbrel.models.converter import (
    Converter,
    ConverterConfig,
    Prosody,
    ReferenceAttention,
    mel_pairs,
)
from timbrel.models.crowd import Crowd
from timbrel.models.speaker import ConvSpeakerEncoder, SpeakerConfig
from timbrel.models.voice_tokens import VoiceTokens

CONTENT = FeatureSpec(kind="learned", sample_rate=16000, hop=256, dim=12, encoder="test")
TINY = ConverterConfig(
    CONTENT, width=16, blocks=2, reference_width=16, reference_blocks=1, attend_after=(0,), crowd=2
)


def _converter() -> Converter:
    torch.manual_seed(0)
    return Converter(TINY).eval()


def _prosody(frames: int) -> Prosody:
    return Prosody(torch.full((1, frames), 120.0), torch.ones(1, frames), torch.zeros(1, frames, 2))


def _voice(model: Converter, frames: int = 20, seed: int = 1) -> VoiceTokens:
    generator = torch.Generator().manual_seed(seed)
    content = torch.randn(1, frames, 12, generator=generator)
    mel = torch.randn(1, frames, 160, generator=generator) - 5
    return model.reference(content, mel, torch.ones(1, frames, dtype=torch.bool))


def _changed_frames(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Indices of the frames (B, T, ...) that differ."""
    return torch.nonzero((before - after).abs().flatten(2).amax(dim=(0, 2)) > 1e-7).flatten()


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_the_converter_gives_two_hops_a_frame_less_one(frames: int) -> None:
    model = _converter()
    samples = 128 * (2 * frames - 1)
    source = torch.randn(1, samples)
    made = model(torch.randn(1, frames, 12), _prosody(frames), _voice(model), source, source)
    assert made.shape == (1, samples)
    assert made.isfinite().all()


def test_the_content_seen_by_a_frame_is_what_context_says() -> None:
    model = _converter()
    content = torch.randn(1, 60, 12)
    nudged = content.clone()
    nudged[0, 30] += 1.0
    prosody, voice = _prosody(60), _voice(model)
    changed = (
        _changed_frames(model.filters(content, prosody, voice), model.filters(nudged, prosody, voice)) // 2
    )
    trunk = model.context - 2  # the rest of `context` is for the inverse STFT
    assert (int(changed.min()), int(changed.max())) == (30 - trunk, 30 + trunk)


def test_what_is_found_goes_away_from_what_the_attempt_has() -> None:
    look, plain = (ReferenceAttention(16, 16, 2, contrast=share) for share in (0.5, 0.0))
    plain.load_state_dict(look.state_dict())
    model, frames = _converter(), torch.randn(1, 9, 16)
    voice, attempt = _voice(model, seed=1), _voice(model, frames=30, seed=2)
    found, there = (plain(frames, one) - frames for one in (voice, attempt))
    made = look(frames, replace(voice, attempt=attempt)) - frames
    torch.testing.assert_close(made, found + 0.5 * (found - there))
    assert torch.equal(look(frames, voice), plain(frames, voice))
    assert (found - there).abs().max() > 1e-3


def test_frames_that_are_masked_out_do_not_matter() -> None:
    model = _converter()
    content, mel = torch.randn(1, 30, 12), torch.randn(1, 30, 160)
    mask = torch.ones(1, 30, dtype=torch.bool)
    mask[:, 20:] = False
    other_content, other_mel = content.clone(), mel.clone()
    other_content[:, 24:], other_mel[:, 24:] = 9.0, 9.0
    said, prosody = torch.randn(1, 10, 12), _prosody(10)
    one = model.filters(said, prosody, model.reference(content, mel, mask))
    two = model.filters(said, prosody, model.reference(other_content, other_mel, mask))
    torch.testing.assert_close(one, two)


def test_another_voice_gives_other_filters() -> None:
    model = _converter()
    said, prosody = torch.randn(1, 10, 12), _prosody(10)
    one = model.filters(said, prosody, _voice(model, seed=1))
    two = model.filters(said, prosody, _voice(model, seed=2))
    assert (one - two).abs().max() > 1e-4


def test_guidance_goes_on_from_what_is_common_beyond_the_wanted_voice() -> None:
    """Half as far again as the wanted voice lies, in the two log-amplitudes and not in the phase."""
    model = _converter()
    content, prosody, source = torch.randn(1, 9, 12), _prosody(9), torch.randn(1, 128 * 17)
    wanted, common = _voice(model, seed=1), _voice(model, seed=2)
    there, here = (model.filters(content, prosody, voice) for voice in (wanted, common))
    beyond = 1.5 * there - 0.5 * here
    expected = model.synthesis(source, source, beyond[:, :, 0], there[:, :, 1], beyond[:, :, 2])
    guided = partial(model, content, prosody, wanted, source, source, guidance=0.5)
    torch.testing.assert_close(guided(common), expected)
    plain = model(content, prosody, wanted, source, source)
    assert (expected - plain).abs().max() > 1e-4
    # Where there is nothing to keep away from, nothing is guided.
    torch.testing.assert_close(guided(), plain)
    torch.testing.assert_close(guided(wanted), plain)


def test_without_the_guidance_it_has_learned_a_converter_is_as_far_from_the_crowd_as_before() -> None:
    model = _converter()
    content, prosody = torch.randn(1, 9, 12), _prosody(9)
    wanted, common = _voice(model, seed=1), _voice(model, seed=2)
    plain = model.filters(content, prosody, wanted)
    learned = model.guided(plain, content, prosody, common, 0.5)
    torch.testing.assert_close(model.unguided(learned, content, prosody, common), learned)
    model.config = replace(model.config, beyond=0.5, crowd=3)
    found = model.unguided(learned, content, prosody, common)
    assert (plain - learned).abs().max() > 1e-4
    torch.testing.assert_close(found, plain)
    assert model.unguided(learned, content, prosody, None) is learned


@pytest.mark.parametrize("name", ["guidance", "beyond"])
def test_guidance_without_a_crowd_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} needs a crowd .* crowd must be above 0"):
        replace(TINY, crowd=0, **{name: 0.4})


def test_what_a_crowd_has_in_common_is_of_those_who_speak_about_so_high() -> None:
    crowd = Crowd(people=3, each=2, width=4)
    assert crowd.at(torch.tensor([5.0])) is None
    generator = torch.Generator().manual_seed(0)
    low, high = (torch.randn(3, 4, generator=generator) for _ in range(2))  # two tokens and a summary
    crowd.admit(0, low[:2], low[2], math.log(110))
    crowd.admit(2, high[:2], high[2], math.log(220))
    for log_f0, near in ((math.log(110), low), (math.log(220), high)):
        common = crowd.at(torch.tensor([log_f0]))
        assert common is not None
        assert common.tokens.shape == (1, 4, 4)
        torch.testing.assert_close(common.summary[0], near[2], atol=1e-3, rtol=0)
    between = crowd.at(torch.tensor([math.log(110 * 2**0.5)]))
    assert between is not None
    torch.testing.assert_close(between.summary[0], (low[2] + high[2]) / 2)
    # An octave lies at 0.69, nearly five of its widths: e^-12 of the attention.
    lower = crowd.at(torch.tensor([math.log(110)]))
    assert lower is not None
    apart = float(lower.mask[0, 2] - lower.mask[0, 0])
    assert apart == pytest.approx(-0.5 * (math.log(2) / 0.14) ** 2)


def test_far_from_everybody_the_nearest_are_the_crowd() -> None:
    crowd = Crowd(people=2, each=1, width=3)
    crowd.admit(0, torch.zeros(1, 3), torch.zeros(3), math.log(100))
    crowd.admit(1, torch.ones(1, 3), torch.ones(3), math.log(300))
    common = crowd.at(torch.tensor([math.log(5000)]))
    assert common is not None and bool(common.mask.isfinite().all())
    torch.testing.assert_close(common.summary, torch.ones(1, 3))


def test_gradients_reach_every_weight() -> None:
    model = _converter()
    source = torch.randn(1, 128 * 15)
    model(torch.randn(1, 8, 12), _prosody(8), _voice(model), source, source).square().sum().backward()
    idle = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert idle == []


def test_mel_pairs_put_two_frames_side_by_side() -> None:
    mel = torch.arange(12.0).reshape(1, 6, 2)
    pairs, energy = mel_pairs(mel, 2)
    assert pairs.tolist() == [[[0, 1, 2, 3], [4, 5, 6, 7]]]
    torch.testing.assert_close(energy[0, 1, 0], torch.log(torch.exp(torch.tensor([4.0, 5.0])).sum()))


def test_voices_are_selected_by_row() -> None:
    voice = VoiceTokens(*(torch.arange(3.0).view(3, 1, 1) for _ in range(3)))
    other = voice.select(torch.tensor([2, 0]))
    assert all(getattr(other, name).flatten().tolist() == [2, 0] for name in ("tokens", "mask", "summary"))
    assert other.attempt is None
    again = replace(voice, attempt=voice).select(torch.tensor([1])).attempt
    assert again is not None and again.tokens.flatten().tolist() == [1]


def test_the_speaker_encoder_gives_unit_vectors_at_any_length() -> None:
    model = ConvSpeakerEncoder(SpeakerConfig(width=16, blocks=1)).eval()
    assert isinstance(model, SpeakerEncoder)
    for frames in (1, 7, 200):
        vector = model(torch.randn(3, frames, 80))
        assert vector.shape == (3, 256)
        torch.testing.assert_close(vector.norm(dim=-1), torch.ones(3))


def test_the_converter_names_the_content_it_was_trained_on() -> None:
    assert _converter().spec_in == CONTENT
    assert replace(TINY, width=24).mel == PRESETS["timbrel-16k"]


@pytest.mark.parametrize("sizes", [{"kernel": 4}, {"n_fft": 511}, {"heads": 3}])
def test_sizes_that_do_not_go_together(sizes: dict[str, int]) -> None:
    with pytest.raises(
        ConfigError, match="kernel must be odd, n_fft even, and reference_width divide by heads"
    ):
        ConverterConfig(CONTENT, **sizes)
