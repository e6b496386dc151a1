"""AutoVC at work: whose vectors it takes, on which scale its vocoder hears it, windows without seams."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from timbrel.audio.io import Waveform
from timbrel.audio.mel import PRESETS
from timbrel.checkpoint import fingerprint
from timbrel.errors import CheckpointError, ContractError
from timbrel.models.istft import ISTFT
from timbrel.pipeline import VoiceConverter

from .making import autovc, part, pipeline, speaker, speechlike, vocoder, vqvc

MEL = PRESETS["autovc-16k"]
#: The same bands in natural logarithms, as a vocoder may want them.
LOGARITHMS = replace(MEL, log="ln", scale=1.0, offset=0.0, clip=None)


def waveform(seconds: float = 2.0, sample_rate: int = 16000, pitch: float = 130.0) -> Waveform:
    return Waveform(torch.from_numpy(speechlike(seconds, sample_rate, pitch)), sample_rate)


def converted(converter: VoiceConverter, source: Waveform | None = None) -> torch.Tensor:
    return converter.convert(source or waveform(), converter.enrol(waveform(pitch=200.0))).waveform


def whole(folder: Path, network: ISTFT | None = None, seed: int = 0) -> Path:
    """A pipeline of AutoVC and its encoder, and of that vocoder if there is one."""
    encoder = speaker()
    parts = {"speaker": encoder, "converter": autovc(encoder, seed=seed)}
    return pipeline(folder, **parts, **({"vocoder": network} if network else {}))


def test_an_encoder_in_the_folder_is_enough(tmp_path: Path) -> None:
    encoder = speaker()
    part(tmp_path / "alone", autovc(encoder))
    part(tmp_path / "alone" / "speaker", encoder)
    made = converted(VoiceConverter.from_pretrained(tmp_path / "alone"))
    assert made.shape == (32000,)
    assert made.isfinite().all()
    assert made.abs().max() > 1e-3
    piped = VoiceConverter.from_pretrained(whole(tmp_path / "piped"))
    assert torch.equal(converted(piped), made)


def test_without_an_encoder_it_says_whose_vectors_it_wants(tmp_path: Path) -> None:
    encoder = speaker()
    folder = part(tmp_path / "alone", autovc(encoder))
    with pytest.raises(ContractError, match=f"wants the vectors of {fingerprint(encoder.state_dict())}"):
        VoiceConverter.from_pretrained(folder)


def test_another_encoder_of_the_same_size_is_refused(tmp_path: Path) -> None:
    one, other = speaker(seed=0), speaker(seed=1)
    folder = pipeline(tmp_path / "mixed", converter=autovc(one), speaker=other)
    given, wanted = fingerprint(other.state_dict()), fingerprint(one.state_dict())
    with pytest.raises(ContractError, match=f'encoder is "{given}", wanted "{wanted}"'):
        VoiceConverter.from_pretrained(folder)


def test_what_is_no_speaker_encoder_is_refused(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "mixed", converter=autovc(speaker()), speaker=vqvc())
    with pytest.raises(CheckpointError, match="holds a vqvc, which is no speaker encoder"):
        VoiceConverter.from_pretrained(folder)


def test_a_voice_of_another_encoder_is_refused(tmp_path: Path) -> None:
    one = VoiceConverter.from_pretrained(whole(tmp_path / "one"))
    encoder = speaker(seed=1)
    two = pipeline(tmp_path / "two", speaker=encoder, converter=autovc(encoder))
    with pytest.raises(ContractError, match='enrolled with the model "one"'):
        VoiceConverter.from_pretrained(two).convert(waveform(), one.enrol(waveform()))


def test_a_voice_fits_every_autovc_of_its_encoder(tmp_path: Path) -> None:
    one, two = (VoiceConverter.from_pretrained(whole(tmp_path / f"{seed}", seed=seed)) for seed in (0, 1))
    made = two.convert(waveform(), one.enrol(waveform(pitch=200.0))).waveform
    assert torch.equal(made, converted(two))


def test_decibels_between_0_and_1_become_natural_logarithms_exactly(tmp_path: Path) -> None:
    # autovc-16k is (20 log10(m) - 16 + 100) / 100, so ln(m) is 5 ln(10) S - 4.2 ln(10).
    same = vocoder(replace(MEL, clip=None))
    other = vocoder(LOGARITHMS)
    # The same network for logarithms: its first layer undoes the scale.
    other.load_state_dict(same.state_dict())
    with torch.no_grad():
        shift = 4.2 * math.log(10) / (5 * math.log(10))
        other.embed.weight.div_(5 * math.log(10))
        other.embed.bias.add_(shift * same.embed.weight.sum(dim=(1, 2)))
    plain, bridged = (
        converted(VoiceConverter.from_pretrained(whole(tmp_path / name, network)))
        for name, network in (("plain", same), ("bridged", other))
    )
    # A convolution fills up with zeros, which mean another loudness on another scale: not at the ends.
    inner = slice(4000, -4000)
    torch.testing.assert_close(bridged[inner], plain[inner], rtol=1e-3, atol=1e-4)


def test_a_vocoder_of_other_bands_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"f_min is 90\.0, wanted 0\.0; f_max is 7600\.0"):
        VoiceConverter.from_pretrained(whole(tmp_path / "bands", vocoder(PRESETS["hifigan-16k"])))


def test_windows_cannot_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converter = VoiceConverter.from_pretrained(whole(tmp_path / "tiny", vocoder(MEL)))
    source = waveform(21.0)
    monkeypatch.setattr("timbrel.pipeline.WINDOW_SECONDS", 60.0)
    at_once = converted(converter, source)
    monkeypatch.setattr("timbrel.pipeline.WINDOW_SECONDS", 4.0)
    in_windows = converted(converter, source)
    assert in_windows.shape == at_once.shape == (21 * 16000,)
    torch.testing.assert_close(in_windows, at_once, rtol=0, atol=1e-4)


def test_another_sample_rate_is_heard(tmp_path: Path) -> None:
    converter = VoiceConverter.from_pretrained(whole(tmp_path / "tiny", vocoder(MEL)))
    made = converter.convert(waveform(2.0, 22050), converter.enrol(waveform(3.0, 44100)))
    assert (made.sample_rate, made.waveform.shape) == (16000, (32000,))


def test_similarities_are_cosines(tmp_path: Path) -> None:
    converter = VoiceConverter.from_pretrained(whole(tmp_path / "tiny", vocoder(MEL)))
    voice = converter.enrol(waveform(pitch=200.0))
    made = converter.convert(waveform(), voice)
    report = converter.report(waveform(pitch=200.0), waveform(), voice, made.summary)
    assert report.similarity_to_target == pytest.approx(1.0, abs=1e-5)
    assert np.isfinite(report.similarity_to_source)
