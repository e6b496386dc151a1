"""kNN-VC and LinearVC at work: over WavLM and over the bundled kind of encoder, from file to file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from torch import Tensor, nn

from timbrel.audio.io import Waveform
from timbrel.checkpoint import fingerprint
from timbrel.compose import compose
from timbrel.errors import CheckpointError, ContractError
from timbrel.level import follow_level, limit
from timbrel.models.hifigan import HiFiGAN, HiFiGANConfig
from timbrel.models.knn import KNN, KNNConfig
from timbrel.models.linear import Linear, LinearConfig
from timbrel.pipeline import VoiceConverter
from timbrel.voice import Voice

from ..models.small import FRAMES, LARGE, sensitive, vocoder, wavlm
from .making import part, phonetic, pipeline, speaker, speechlike

pytest.importorskip("transformers")


def spoken(seconds: float = 2.0, pitch: float = 130.0) -> Waveform:
    return Waveform(torch.from_numpy(speechlike(seconds, 16000, pitch)), 16000)


def written(folder: Path, name: str, seconds: float, pitch: float) -> Path:
    path = folder / name
    soundfile.write(path, speechlike(seconds, 16000, pitch), 16000, subtype="FLOAT")
    return path


def of_wavlm(folder: Path, converter: nn.Module, **others: nn.Module) -> VoiceConverter:
    parts = {"content": wavlm(), "converter": converter, "vocoder": vocoder(), **others}
    return VoiceConverter.from_pretrained(pipeline(folder, **parts), device="cpu")


def of_phonetic(folder: Path, converter: nn.Module) -> VoiceConverter:
    """Over the bundled kind of content encoder: 16 values, hop 256."""
    torch.manual_seed(0)
    content = phonetic()
    spec = replace(content.spec_out, encoder=fingerprint(content.state_dict()))
    sizes: dict[str, Any] = {"upsample_rates": (8, 8, 2, 2), "upsample_kernels": (16, 16, 4, 4)}
    sizes |= {"resblock": 2, "resblock_kernels": (3,), "resblock_dilations": ((1, 2),)}
    made = sensitive(HiFiGAN(HiFiGANConfig(spec, channels=16, **sizes)))
    return VoiceConverter.from_pretrained(
        pipeline(folder, content=content, converter=converter, vocoder=made)
    )


CONVERTERS = {
    "knn": lambda: KNN(KNNConfig()),
    "linear": lambda: Linear(LinearConfig()),
    "low rank": lambda: Linear(LinearConfig(rank=5)),
}


@pytest.mark.parametrize("kind", CONVERTERS)
def test_files_and_memory_give_the_same(tmp_path: Path, kind: str) -> None:
    converter = of_wavlm(tmp_path / "model", CONVERTERS[kind]())
    source = written(tmp_path, "source.wav", 3.01, 120.0)
    voice = converter.enrol(written(tmp_path, "target.wav", 2.0, 200.0))
    made = converter.convert(source, voice).waveform
    assert made.shape == (48160,)
    assert made.isfinite().all()
    assert made.abs().max() > 1e-3
    voice.save(tmp_path / "target.voice")
    converter.convert_file(source, Voice.load(tmp_path / "target.voice"), tmp_path / "out.wav")
    stored, rate = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert rate == 16000
    torch.testing.assert_close(torch.from_numpy(stored), made, atol=1 / 32768, rtol=0)


def test_a_voice_matched_with_itself_says_what_the_vocoder_says_of_its_frames(tmp_path: Path) -> None:
    converter = of_wavlm(tmp_path / "model", KNN(KNNConfig(neighbours=1)))
    source = spoken(3.0)
    made = converter.convert(source, converter.enrol(source)).waveform
    with torch.inference_mode():
        frames = wavlm()(source.samples[None, :, None]).half().float()
        said = vocoder()(frames)[0]
    gain = (
        0.1 / source.samples.square().mean().sqrt()
    )  # near the standard level, whose exact value matters little
    expected = limit(follow_level(said[:48000], source.samples * gain, 320)) / gain
    voiced = source.samples.abs() > 0.01
    both = torch.stack([made[voiced], expected[voiced]])
    assert torch.corrcoef(both)[0, 1] > 0.999


def test_several_references_form_one_matching_set(tmp_path: Path) -> None:
    converter = of_wavlm(tmp_path / "model", KNN(KNNConfig()))
    one, two = spoken(2.0, 200.0), spoken(3.0, 210.0)
    both = converter.enrol(one, two).frames["matching"]
    apart = [converter.enrol(reference).frames["matching"] for reference in (one, two)]
    assert both.dtype == torch.float16
    assert torch.equal(both, torch.cat(apart))


def test_silence_at_the_ends_of_a_reference_is_no_frame_of_the_voice(tmp_path: Path) -> None:
    converter = of_wavlm(tmp_path / "model", KNN(KNNConfig()))
    quiet = torch.zeros(3 * 16000)
    padded = Waveform(torch.cat([quiet, spoken(2.0).samples, quiet]), 16000)
    # Half a second of margin at most, of six seconds of nothing.
    assert len(converter.enrol(padded).frames["matching"]) < 2.5 * 50


def test_an_hour_of_reference_is_welcome(tmp_path: Path) -> None:
    converter = of_wavlm(tmp_path / "model", KNN(KNNConfig()))
    references = [spoken(100.0, 200.0), spoken(100.0, 180.0)]
    voice = converter.enrol(*references)
    assert not any("are used" in warning for warning in voice.warnings)
    assert len(voice.frames["matching"]) > 190 * 50


@pytest.mark.parametrize("kind", CONVERTERS)
def test_windows_can_barely_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    converter = of_wavlm(tmp_path / "model", CONVERTERS[kind]())
    source, voice = spoken(9.0), converter.enrol(spoken(3.0, 200.0))
    monkeypatch.setattr("timbrel.pipeline.WINDOW_SECONDS", 60.0)
    whole = converter.convert(source, voice).waveform
    monkeypatch.setattr("timbrel.pipeline.WINDOW_SECONDS", 2.0)
    windowed = converter.convert(source, voice).waveform
    assert windowed.shape == whole.shape
    # WavLM's attention sees other surroundings in a window, so equal to the bit it cannot be.
    assert torch.corrcoef(torch.stack([whole, windowed]))[0, 1] > 0.98


def test_windows_of_the_bundled_encoder_give_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converter = of_phonetic(tmp_path / "model", KNN(KNNConfig()))
    source, voice = spoken(6.0), converter.enrol(spoken(3.0, 200.0))
    whole = converter.convert(source, voice).waveform
    monkeypatch.setattr("timbrel.pipeline.WINDOW_SECONDS", 1.0)
    torch.testing.assert_close(converter.convert(source, voice).waveform, whole, atol=1e-4, rtol=0)


def test_the_bundled_encoder_hears_every_level_alike(tmp_path: Path) -> None:
    converter = of_phonetic(tmp_path / "model", KNN(KNNConfig()))
    voice = converter.enrol(spoken(2.0, 200.0))
    loud = spoken(2.0)
    soft = Waveform(0.05 * loud.samples, 16000)
    made = [converter.convert(source, voice).waveform for source in (loud, soft)]
    torch.testing.assert_close(made[1] / 0.05, made[0], atol=2e-3, rtol=0)


def test_a_composed_pipeline_converts(tmp_path: Path) -> None:
    parts = {
        "converter": "knn-vc",
        "content": part(tmp_path / "content", wavlm()),
        "vocoder": part(tmp_path / "vocoder", vocoder()),
    }
    for name in ("knn-vc", "linear-vc", "linear-vc-100"):
        compose({**parts, "converter": name}, tmp_path / f"with-{name}")
        converter = VoiceConverter.from_pretrained(tmp_path / f"with-{name}")
        made = converter.convert(spoken(1.0), converter.enrol(spoken(1.0, 200.0))).waveform
        assert made.shape == (16000,)
        assert made.isfinite().all()


def test_a_vocoder_of_another_encoders_frames_is_refused(tmp_path: Path) -> None:
    own = fingerprint(wavlm().state_dict())
    fitting = of_wavlm(tmp_path / "one", KNN(KNNConfig()), vocoder=vocoder(replace(FRAMES, encoder=own)))
    assert fitting.sample_rate == 16000
    with pytest.raises(ContractError, match=f'encoder is "{own}", wanted "0123456789abcdef"'):
        of_wavlm(
            tmp_path / "two", KNN(KNNConfig()), vocoder=vocoder(replace(FRAMES, encoder="0123456789abcdef"))
        )
    with pytest.raises(ContractError, match="dim is 32, wanted 64"):
        of_wavlm(tmp_path / "three", KNN(KNNConfig()), vocoder=vocoder(replace(FRAMES, dim=64)))


def test_a_voice_of_another_layer_is_refused(tmp_path: Path) -> None:
    one = of_wavlm(tmp_path / "one", KNN(KNNConfig()))
    two = of_wavlm(tmp_path / "two", KNN(KNNConfig()), content=wavlm(replace(LARGE, layer=1)))
    with pytest.raises(ContractError, match="enrol it again"):
        two.convert(spoken(), one.enrol(spoken()))


def test_knn_and_linear_share_their_voices(tmp_path: Path) -> None:
    one = of_wavlm(tmp_path / "one", KNN(KNNConfig()))
    two = of_wavlm(tmp_path / "two", Linear(LinearConfig()))
    assert two.convert(spoken(), one.enrol(spoken(2.0, 200.0))).waveform.isfinite().all()


@pytest.mark.parametrize("missing", ["content", "vocoder"])
def test_a_part_that_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    parts = {"content": wavlm(), "converter": KNN(KNNConfig()), "vocoder": vocoder()}
    del parts[missing]
    with pytest.raises(CheckpointError, match=f"has no {missing}"):
        VoiceConverter.from_pretrained(pipeline(tmp_path / "half", **parts))
    with pytest.raises(CheckpointError, match="has no content"):
        VoiceConverter.from_pretrained("knn-vc")


def test_what_encodes_no_content_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds a speaker, which encodes no content"):
        of_wavlm(tmp_path / "model", KNN(KNNConfig()), content=speaker())


def test_reports_compare_frames_or_ask_a_speaker_encoder(tmp_path: Path) -> None:
    source, target = spoken(2.0), spoken(2.0, 200.0)
    for name, others in (("frames", {}), ("encoder", {"speaker": speaker()})):
        converter = of_wavlm(tmp_path / name, KNN(KNNConfig()), **others)
        voice = converter.enrol(target)
        (vector,) = voice.embeddings.values()
        assert vector.shape == ((8,) if others else (32,))
        conversion = converter.convert(source, voice)
        report = converter.report(target, source, voice, conversion.summary)
        assert report.similarity_to_target == pytest.approx(1.0, abs=0.01)


def test_a_blend_mixes_what_each_voice_gives(tmp_path: Path) -> None:
    converter = of_wavlm(tmp_path / "model", KNN(KNNConfig()))
    one, two = converter.enrol(spoken(2.0, 200.0)), converter.enrol(spoken(3.0, 90.0))
    source = spoken(2.0)

    def made(voice: Voice) -> Tensor:
        return converter.convert(source, voice).waveform

    nearly = made(converter.blend((one, 0.999), (two, 0.001)))
    assert torch.corrcoef(torch.stack([nearly, made(one)]))[0, 1] > 0.99
    assert not torch.allclose(made(converter.blend((one, 0.5), (two, 0.5))), made(one), atol=1e-4)
