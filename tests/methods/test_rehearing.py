"""A second attempt, after a first one was heard."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from timbrel.audio.io import Waveform
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.level import REACH
from timbrel.methods.attending import AttendingMethod
from timbrel.methods.rehearing import articulated, reconsidered, speech
from timbrel.models.converter import ConverterConfig, Prosody, mel_pairs
from timbrel.models.voice_tokens import VoiceTokens
from timbrel.pipeline import VoiceConverter

from .making import attending, speechlike

CONTENT = FeatureSpec(kind="learned", sample_rate=16000, hop=256, dim=3)


def recording(seconds: float, pitch: float = 130.0) -> Waveform:
    return Waveform(torch.from_numpy(speechlike(seconds, pitch=pitch)), 16000)


def test_lost_words_are_given_back_and_detail_is_taken_over() -> None:
    wanted, heard = torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[0.5, 2.0, 7.0]]])
    told = reconsidered(wanted, heard, 2, ConverterConfig(CONTENT, restore=0.6, adopt=0.25))
    torch.testing.assert_close(told, torch.tensor([[[1.3, 2.0, 4.0]]]))
    whole = reconsidered(wanted, heard, 2, ConverterConfig(CONTENT, adopt=1.0))
    torch.testing.assert_close(whole, torch.tensor([[[1.0, 2.0, 7.0]]]))


@pytest.mark.parametrize(
    "shares",
    [{"restore": -0.1}, {"adopt": -1.0}, {"contrast": -0.5}, {"restore": 1e300}, {"adopt": math.nan}],
)
def test_shares_are_not_below_0_nor_absurd(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"^{next(iter(shares))} must be 0 to 10: it is "):
        ConverterConfig(CONTENT, **shares)


def told(
    converter: VoiceConverter, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[Tensor, dict[str, Any], Tensor]]:
    """What the network is told from now on, how, and what it makes of it."""
    method = converter._method
    assert isinstance(method, AttendingMethod)
    network, calls = method._networks.converter, []
    forward = network.forward

    def listening(content: Tensor, prosody: Prosody, voice: VoiceTokens, **rest: Any) -> Tensor:
        made = forward(content, prosody, voice, **rest)
        calls.append((content, rest | {"prosody": prosody, "voice": voice}, made))
        return made

    monkeypatch.setattr(network, "forward", listening)
    return calls


def said(
    path: Path, source: Waveform, monkeypatch: pytest.MonkeyPatch
) -> tuple[VoiceConverter, list[tuple[Tensor, dict[str, Any], Tensor]]]:
    """A model and what its network is told, how, and makes, while it says a source in a voice of its own."""
    converter = VoiceConverter.from_pretrained(path)
    voice = converter.enrol(recording(4.0))
    calls = told(converter, monkeypatch)
    converter.convert(source, voice)
    return converter, calls


def test_the_second_attempt_knows_what_is_heard_in_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = attending(tmp_path / "tiny", guidance=0.5, correction=0.8, restore=0.6, adopt=1.2)
    converter, calls = said(path, recording(2.0, pitch=180.0), monkeypatch)
    (first, plainly, attempt), (second, finally_, made) = calls
    assert isinstance(converter._method, AttendingMethod)
    networks = converter._method._networks
    with torch.inference_mode():
        heard = networks.content(functional.pad(attempt, (0, 128))[..., None])
    expected = reconsidered(first, heard, 16, networks.converter.config)
    torch.testing.assert_close(second, expected)
    # Both parts of it differ, or this would show nothing.
    assert (second - first)[..., :16].abs().max() > 1e-3
    assert (second - first)[..., 16:].abs().max() > 1e-3
    before, after = plainly["prosody"], finally_["prosody"]
    _, energy = mel_pairs(networks.mel(functional.pad(attempt, (0, 128))), first.shape[1])
    torch.testing.assert_close(after.energy, energy)
    assert (energy - before.energy).abs().max() > 0.1
    assert torch.equal(after.f0, before.f0)
    assert torch.equal(after.voicing, before.voicing)
    # Only what will be heard goes beyond the voice, which takes as long again.
    assert plainly.get("guidance", 0.0) == 0.0
    assert finally_["guidance"] == 0.5
    assert torch.equal(plainly["correction"], finally_["correction"])
    assert made.shape == attempt.shape


def test_where_nothing_is_given_back_or_taken_over_one_attempt_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, calls = said(attending(tmp_path / "tiny", correction=0.8), recording(2.0), monkeypatch)
    assert len(calls) == 1


def test_the_second_attempt_keeps_away_from_the_voice_that_the_first_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = attending(tmp_path / "tiny", contrast=0.5)
    converter, calls = said(path, recording(2.0, pitch=180.0), monkeypatch)
    (content, plainly, attempt), (again, finally_, made) = calls
    assert torch.equal(content, again)
    assert plainly["voice"].attempt is None
    first = finally_["voice"].attempt
    assert isinstance(converter._method, AttendingMethod)
    networks = converter._method._networks
    whole = functional.pad(attempt, (0, 128))
    with torch.inference_mode():
        heard = networks.content(whole[..., None])
        pairs, _ = mel_pairs(networks.mel(whole), content.shape[1])
        expected = networks.converter.reference(heard, pairs, speech(plainly["prosody"].energy))
    torch.testing.assert_close(first.tokens, expected.tokens)
    assert torch.equal(first.mask, expected.mask)
    assert 0 < int(first.mask.sum()) < first.mask.numel()  # it pauses
    assert (made - attempt).abs().max() > 1e-4


def test_a_long_source_is_attempted_once_for_what_its_voice_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By 16 s of it from its first voiced sound on."""
    speaking = recording(20.0, pitch=180.0).samples.flatten()
    source = Waveform(torch.cat([torch.zeros(16000 * 4), speaking]), 16000)
    converter, calls = said(attending(tmp_path / "tiny", contrast=0.5), source, monkeypatch)
    stretch, *windows = calls
    assert stretch[0].shape[1] == 1000
    assert len(windows) == 4  # two, each in two attempts
    attempts = [call[1]["voice"].attempt for call in windows]
    assert attempts[0] is None and attempts[2] is None
    assert attempts[1] is attempts[3]
    assert attempts[1].mask.shape[1] == 1000
    # Neither attempt says more around a window than what comes after it needs.
    assert isinstance(converter._method, AttendingMethod)
    parts = converter._method._networks
    second = REACH + 1 + parts.converter.context
    first = second + parts.content.context + parts.converter.context
    lengths = [content.shape[1] for content, _, _ in windows]
    assert lengths == [1000 + first, 1000 + second, 502 + first, 502 + second]


def test_without_any_voice_there_is_nothing_to_keep_away_from(tmp_path: Path) -> None:
    converter = VoiceConverter.from_pretrained(attending(tmp_path / "tiny", contrast=0.5))
    hiss = torch.from_numpy(np.random.default_rng(0).standard_normal(24000).astype(np.float32)) * 0.01
    made = converter.convert(Waveform(hiss, 16000), converter.enrol(recording(4.0))).waveform
    assert made.shape == hiss.shape
    assert bool(made.isfinite().all())


@pytest.mark.parametrize("seconds", [2.5, 18.0])
def test_windows_of_second_attempts_give_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    shares = {"restore": 0.6, "adopt": 1.2, "contrast": 0.5, "articulate": 0.3}
    converter = VoiceConverter.from_pretrained(attending(tmp_path / "tiny", correction=0.8, **shares))
    voice, source = converter.enrol(recording(4.0)), recording(seconds, pitch=180.0)
    whole = converter.convert(source, voice).waveform
    monkeypatch.setattr("timbrel.pipeline.WINDOW_SECONDS", 0.5)
    torch.testing.assert_close(converter.convert(source, voice).waveform, whole, atol=1e-4, rtol=0)


def test_a_second_attempt_hears_and_says_once_more_as_far(tmp_path: Path) -> None:
    # A frame of the attempt depends on so many frames around it, and what is heard there on as many more.
    one, two = (
        VoiceConverter.from_pretrained(attending(tmp_path / f"{share}", restore=share))._method
        for share in (0.0, 0.6)
    )
    assert isinstance(two, AttendingMethod)
    parts = two._networks
    assert two.context - one.context == parts.content.context + parts.converter.context


def test_words_are_farther_from_what_is_around_them() -> None:
    content = torch.zeros(1, 60, 1)
    content[0, 30] = 5.0
    told = articulated(content, 1, 0.4)[0, :, 0]
    assert float(told[30]) == pytest.approx(5.0 + 0.4 * (5.0 - 5.0 / 25))
    near = [*range(18, 30), *range(31, 43)]
    torch.testing.assert_close(told[near], torch.full((24,), -0.4 * 5.0 / 25))
    assert not told[:18].any() and not told[43:].any()
    # Detail stays, and so does what never changes, at the ends too.
    both = articulated(torch.cat([content, content], dim=-1), 1, 0.4)[0]
    assert torch.equal(both[:, 0], told)
    assert torch.equal(both[:, 1], content[0, :, 0])
    torch.testing.assert_close(articulated(torch.ones(2, 7, 3), 3, 0.4), torch.ones(2, 7, 3))


@pytest.mark.parametrize("shares", [{}, {"adopt": 1.0}])
def test_every_attempt_is_told_to_be_distinct(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shares: dict[str, float]
) -> None:
    """On top of what it is told anyway; a voice is heard without, since it is no recording of anybody."""
    source, reference, all_told, voices = recording(2.0, pitch=180.0), recording(4.0), [], []
    for share in (0.0, 0.3):
        path = attending(tmp_path / f"{share}", correction=0.8, articulate=share, **shares)
        converter = VoiceConverter.from_pretrained(path)
        voices.append(converter.enrol(reference))
        calls = told(converter, monkeypatch)
        converter.convert(source, voices[-1])
        all_told.append([content for content, _, _ in calls])
    plain, distinct = (each[0] for each in all_told)
    torch.testing.assert_close(distinct, articulated(plain, 16, 0.3))
    assert (distinct - plain).abs().max() > 1e-3
    if shares:
        words = [each[1][..., :16] for each in all_told]
        torch.testing.assert_close(words[1] - words[0], (distinct - plain)[..., :16])
    assert all(torch.equal(tensor, voices[1].frames[name]) for name, tensor in voices[0].frames.items())
