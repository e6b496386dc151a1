"""The bundled kind of pipeline: parts that do not fit fail before any audio is made."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from timbrel import checkpoint
from timbrel.audio.io import Waveform
from timbrel.audio.mel import PRESETS
from timbrel.contract import FeatureSpec
from timbrel.errors import CheckpointError, ConfigError, ContractError
from timbrel.models.crowd import Crowd
from timbrel.models.istft import ISTFT
from timbrel.models.phonetic import WAVEFORM
from timbrel.models.speaker import ConvSpeakerEncoder, SpeakerConfig
from timbrel.pipeline import VoiceConverter
from timbrel.steering import Steering

from .making import attending, part, pipeline, speechlike, vocoder

MEL = PRESETS["timbrel-16k"]


@pytest.mark.parametrize(
    "change",
    [
        lambda frames: {},
        lambda frames: frames | {"mel": frames["mel"][1:]},
        lambda frames: frames | {"content": frames["content"].flatten()},
        lambda frames: frames | {"speech": frames["mel"]},
        lambda frames: {kind: one for kind, one in frames.items() if kind != "speech"},
    ],
)
def test_a_voice_without_the_frames_of_one_is_refused(
    tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> None:
    converter = VoiceConverter.from_pretrained(attending(tmp_path / "tiny"))
    source = Waveform(torch.from_numpy(speechlike(1.0)), 16000)
    voice = converter.enrol(Waveform(torch.from_numpy(speechlike(2.0)), 16000))
    with pytest.raises(CheckpointError, match="lacks content or mel or speech"):
        converter.convert(source, replace(voice, frames=change(voice.frames)))


def test_content_of_other_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r'encoder is "[0-9a-f]{16}", wanted "0123456789abcdef"'):
        VoiceConverter.from_pretrained(attending(tmp_path / "other", encoder="0123456789abcdef"))


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        (MEL, 'kind is "waveform", wanted "mel"'),
        (replace(WAVEFORM, sample_rate=22050), "sample_rate is 16000, wanted 22050"),
    ],
)
def test_a_content_encoder_must_hear_the_waveform(tmp_path: Path, heard: FeatureSpec, words: str) -> None:
    with pytest.raises(ContractError, match=rf"^The recording does not fit the content encoder: {words}"):
        VoiceConverter.from_pretrained(attending(tmp_path / "other", heard=heard))


def test_a_speaker_encoder_of_another_mel_is_refused(tmp_path: Path) -> None:
    folder = attending(tmp_path / "whole")
    other = ConvSpeakerEncoder(SpeakerConfig(replace(MEL, scale=0.5), width=16, blocks=1, embedding_dim=8))
    checkpoint.write(
        folder / "speaker",
        family="speaker",
        name="speaker",
        config=other.config,
        tensors=other.state_dict(),
        provenance={},
        card="",
        overwrite=True,
    )
    with pytest.raises(ContractError, match=r"scale is 1\.0, wanted 0\.5"):
        VoiceConverter.from_pretrained(folder)


@pytest.mark.parametrize("role", ["content", "speaker", "converter"])
def test_a_missing_part_is_named(tmp_path: Path, role: str) -> None:
    folder = attending(tmp_path / "whole")
    roles = {name: name for name in ("content", "speaker", "converter") if name != role}
    parts = {name: folder / name for name in roles}
    checkpoint.write(
        tmp_path / "less",
        family="pipeline",
        name="less",
        config=roles,
        tensors={},
        provenance={},
        card="",
        parts=parts,
    )
    with pytest.raises(CheckpointError, match=f"has no {role}"):
        VoiceConverter.from_pretrained(tmp_path / "less")


def test_a_part_in_the_wrong_slot_is_refused(tmp_path: Path) -> None:
    folder = attending(tmp_path / "whole")
    roles = {"content": "speaker", "speaker": "speaker", "converter": "converter"}
    checkpoint.write(
        tmp_path / "mixed",
        family="pipeline",
        name="mixed",
        config=roles,
        tensors={},
        provenance={},
        card="",
        parts={name: folder / name for name in ("speaker", "converter")},
    )
    with pytest.raises(CheckpointError, match="holds a speaker, where the pipeline needs a PhoneticEncoder"):
        VoiceConverter.from_pretrained(tmp_path / "mixed")


def test_a_vocoder_alone_converts_nothing(tmp_path: Path) -> None:
    lonely: ISTFT = vocoder(MEL)
    with pytest.raises(CheckpointError, match="holds a istft, which converts nothing by itself"):
        VoiceConverter.from_pretrained(part(tmp_path / "lonely", lonely))
    with pytest.raises(CheckpointError, match="has no converter"):
        VoiceConverter.from_pretrained(pipeline(tmp_path / "alone", vocoder=lonely))


def test_a_voice_has_frames_of_what_was_heard(tmp_path: Path) -> None:
    converter = VoiceConverter.from_pretrained(attending(tmp_path / "tiny"))
    samples = torch.from_numpy(speechlike(3.0))
    samples[16000:32000] = 0.0
    voice = converter.enrol(Waveform(samples, 16000))
    frames = 1 + 48000 // 256
    assert {name: tuple(t.shape) for name, t in voice.frames.items()} == {
        "content": (frames, 16),
        "mel": (frames, 160),
        "speech": (frames,),
    }
    # A decoder that attended to the pause would learn how the room sounds.
    assert not voice.frames["speech"][66:122].any()
    assert voice.frames["speech"][:62].any()
    (embedding,) = voice.embeddings.values()
    assert embedding.norm() == pytest.approx(1.0, abs=1e-5)


def test_the_level_of_a_reference_does_not_matter(tmp_path: Path) -> None:
    converter = VoiceConverter.from_pretrained(attending(tmp_path / "tiny"))
    samples = torch.from_numpy(speechlike(3.0))
    loud, quiet = (converter.enrol(Waveform(samples * gain, 16000)) for gain in (2.0, 0.2))
    torch.testing.assert_close(loud.frames["mel"], quiet.frames["mel"], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(loud.frames["content"], quiet.frames["content"], atol=1e-3, rtol=1e-3)


def test_pitch_moves_to_the_voice(tmp_path: Path) -> None:
    from timbrel.audio.pitch import log_f0_statistics, track

    converter = VoiceConverter.from_pretrained(attending(tmp_path / "tiny"))
    high = converter.enrol(Waveform(torch.from_numpy(speechlike(3.0, pitch=220)), 16000))
    assert high.log_f0_mean == pytest.approx(math.log(220), abs=0.1)
    made = converter.convert(Waveform(torch.from_numpy(speechlike(3.0, pitch=110)), 16000), high)
    mean, _ = log_f0_statistics(track(made.waveform.numpy()))
    assert mean == pytest.approx(high.log_f0_mean, abs=0.1)


def test_guidance_moves_what_is_said_and_windows_give_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Waveform(torch.from_numpy(speechlike(3.0, pitch=180.0)), 16000)
    target = Waveform(torch.from_numpy(speechlike(2.0)), 16000)
    made = {}
    for guidance in (0.0, 0.5):
        torch.manual_seed(0)
        converter = VoiceConverter.from_pretrained(attending(tmp_path / f"{guidance}", guidance=guidance))
        voice = converter.enrol(target)
        made[guidance] = converter.convert(source, voice).waveform
    assert (made[0.5] - made[0.0]).abs().max() > 1e-4
    monkeypatch.setattr("timbrel.pipeline.WINDOW_SECONDS", 0.5)
    piecewise = converter.convert(source, voice).waveform
    torch.testing.assert_close(piecewise, made[0.5], atol=1e-4, rtol=0)


def test_a_strength_above_1_adds_to_the_guidance_that_the_converter_has(tmp_path: Path) -> None:
    source = Waveform(torch.from_numpy(speechlike(2.0, pitch=180.0)), 16000)
    made = {}
    for guidance, strength in ((0.5, 1.0), (0.3, 1.2), (0.3, 1.0)):
        torch.manual_seed(0)
        folder = attending(tmp_path / f"{guidance}-{strength}", guidance=guidance)
        converter = VoiceConverter.from_pretrained(folder)
        voice = converter.enrol(Waveform(torch.from_numpy(speechlike(2.0)), 16000))
        steering = Steering(strength=strength)
        made[strength, guidance] = converter.convert(source, voice, steering=steering).waveform
    torch.testing.assert_close(made[1.2, 0.3], made[1.0, 0.5], atol=1e-6, rtol=0)
    assert (made[1.2, 0.3] - made[1.0, 0.3]).abs().max() > 1e-4


def test_without_a_crowd_there_is_nothing_beyond_a_voice(tmp_path: Path) -> None:
    converter = VoiceConverter.from_pretrained(attending(tmp_path / "tiny"))
    source = Waveform(torch.from_numpy(speechlike(2.0)), 16000)
    voice = converter.enrol(source)
    with pytest.raises(ConfigError, match=r'^strength is 1\.2, but "tiny" goes no farther than the voice: '):
        converter.convert_file(source, voice, tmp_path / "a.wav", steering=Steering(strength=1.2))
    assert not (tmp_path / "a.wav").exists()


def test_the_crowd_is_that_of_the_voices_pitch_or_else_of_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    at = Crowd.at
    monkeypatch.setattr(Crowd, "at", lambda crowd, log_f0: asked.append(float(log_f0)) or at(crowd, log_f0))
    converter = VoiceConverter.from_pretrained(attending(tmp_path / "tiny", guidance=0.5))
    high, low = (Waveform(torch.from_numpy(speechlike(3.0, pitch=f0)), 16000) for f0 in (220, 110))
    voice = converter.enrol(high)
    for wanted in (voice, replace(voice, log_f0_mean=0.0)):
        converter.convert(low, wanted)
    assert asked == [pytest.approx(math.log(220), abs=0.1), pytest.approx(math.log(110), abs=0.1)]
