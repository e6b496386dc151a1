"""A second attempt, after a first one was heard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from timbrel.audio.io import Waveform
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.methods.attending import AttendingMethod
from timbrel.methods.rehearing import reconsidered
from timbrel.models.converter import ConverterConfig, Prosody, mel_pairs
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


@pytest.mark.parametrize("shares", [{"restore": -0.1}, {"adopt": -1.0}])
def test_shares_are_not_below_0(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(shares))} must be 0 or more"):
        ConverterConfig(CONTENT, **shares)


def told(
    converter: VoiceConverter, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[Tensor, dict[str, Any], Tensor]]:
    """What the network is told from now on, how, and what it makes of it."""
    method = converter._method
    assert isinstance(method, AttendingMethod)
    network, calls = method._networks.converter, []
    forward = network.forward

    def listening(content: Tensor, prosody: Prosody, **rest: Any) -> Tensor:
        made = forward(content, prosody, **rest)
        calls.append((content, rest | {"prosody": prosody}, made))
        return made

    monkeypatch.setattr(network, "forward", listening)
    return calls


def test_the_second_attempt_knows_what_is_heard_in_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = attending(tmp_path / "tiny", guidance=0.5, correction=0.8, restore=0.6, adopt=1.2)
    converter = VoiceConverter.from_pretrained(path)
    voice = converter.enrol(recording(4.0))
    calls = told(converter, monkeypatch)
    converter.convert(recording(2.0, pitch=180.0), voice)
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
    assert plainly["correction"] is finally_["correction"]
    assert made.shape == attempt.shape


def test_where_nothing_is_given_back_or_taken_over_one_attempt_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converter = VoiceConverter.from_pretrained(attending(tmp_path / "tiny", correction=0.8))
    voice = converter.enrol(recording(4.0))
    calls = told(converter, monkeypatch)
    converter.convert(recording(2.0), voice)
    assert len(calls) == 1


@pytest.mark.parametrize("seconds", [2.5, 18.0])
def test_windows_of_second_attempts_give_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    path = attending(tmp_path / "tiny", correction=0.8, restore=0.6, adopt=1.2)
    converter = VoiceConverter.from_pretrained(path)
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
