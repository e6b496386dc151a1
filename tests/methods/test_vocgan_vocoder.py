"""Conversion by VQVC with VocGAN as the vocoder: the mission's pair, of random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from timbrel.audio.io import Waveform
from timbrel.audio.mel import PRESETS
from timbrel.contract import FeatureSpec
from timbrel.errors import ContractError
from timbrel.models.vocgan import VocGAN, VocGANConfig
from timbrel.pipeline import VoiceConverter

from .making import pipeline, speechlike, vqvc

MEL = PRESETS["vqvc-22k"]


def vocgan(spec: FeatureSpec = PRESETS["vocgan-22k"]) -> VocGAN:
    torch.manual_seed(0)
    return VocGAN(VocGANConfig(spec, channels=64, residual_layers=2))


def waveform(seconds: float, pitch: float) -> Waveform:
    return Waveform(torch.from_numpy(speechlike(seconds, 22050, pitch)), 22050)


def test_it_says_the_source_at_the_vocoders_rate(tmp_path: Path) -> None:
    parts = {"converter": vqvc(MEL, MEL), "vocoder": vocgan()}
    converter = VoiceConverter.from_pretrained(pipeline(tmp_path / "pair", **parts))
    source = waveform(1.0, 130.0)
    made = converter.convert(source, converter.enrol(waveform(3.0, 200.0)))
    assert made.sample_rate == 22050
    assert made.waveform.shape == (22050,)
    assert made.waveform.isfinite().all()
    # The level of the source is kept, whatever the vocoder's own.
    assert made.waveform.square().mean().sqrt() == pytest.approx(
        source.samples.square().mean().sqrt().item(), rel=0.5
    )
    # It is the vocoder that speaks: Griffin-Lim would say it otherwise.
    alone = VoiceConverter.from_pretrained(pipeline(tmp_path / "alone", converter=parts["converter"]))
    other = alone.convert(source, alone.enrol(waveform(3.0, 200.0))).waveform
    assert (made.waveform - other).abs().max() > 1e-2


def test_a_vocoder_at_another_rate_is_refused(tmp_path: Path) -> None:
    wrong = vocgan(PRESETS["hifigan-16k"])
    with pytest.raises(ContractError, match="sample_rate"):
        VoiceConverter.from_pretrained(pipeline(tmp_path / "p", converter=vqvc(MEL, MEL), vocoder=wrong))
