"""VQVC with a vocoder: mels are bridged exactly, or with loss where that is allowed, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from timbrel.audio.io import Waveform
from timbrel.checkpoint import fingerprint
from timbrel.contract import FeatureSpec
from timbrel.errors import CheckpointError, ContractError
from timbrel.models.istft import ISTFT
from timbrel.models.phonetic import PhoneticEncoder
from timbrel.models.speaker import ConvSpeakerEncoder, SpeakerConfig
from timbrel.models.vqvc import VQVC
from timbrel.pipeline import VoiceConverter

from .making import MEL, part, phonetic, pipeline, speechlike, vocoder, vqvc

#: The mel of `MEL` on another scale: 20 log10, divided by 40.
DECIBELS = replace(MEL, log="db", scale=1 / 40, offset=1.0)


def waveform(seconds: float = 3.0, sample_rate: int = 16000, pitch: float = 130.0) -> Waveform:
    return Waveform(torch.from_numpy(speechlike(seconds, sample_rate, pitch)), sample_rate)


def converted(converter: VoiceConverter, seconds: float = 3.0) -> torch.Tensor:
    return converter.convert(waveform(seconds), converter.enrol(waveform(pitch=200.0))).waveform


def learned(content: PhoneticEncoder, encoder: str = "", spec_out: FeatureSpec = MEL) -> VQVC:
    """A VQVC of this content encoder's frames, or of those of other weights."""
    signed = replace(content.spec_out, encoder=encoder or fingerprint(content.state_dict()))
    return vqvc(signed, spec_out)


def test_without_a_vocoder_griffin_lim_stands_in(tmp_path: Path) -> None:
    alone = VoiceConverter.from_pretrained(part(tmp_path / "vqvc", vqvc()))
    made = converted(alone, 1.0)
    assert made.shape == (16000,)
    assert made.isfinite().all()
    assert made.abs().max() > 1e-3
    piped = VoiceConverter.from_pretrained(pipeline(tmp_path / "piped", converter=vqvc()))
    assert torch.equal(converted(piped, 1.0), made)


def test_a_vocoder_on_another_logarithmic_scale_gives_the_same_audio(tmp_path: Path) -> None:
    same = vocoder(MEL)
    # The same network for decibels: its first layer undoes the scale, x = (y - offset) / scale.
    other = vocoder(DECIBELS)
    other.load_state_dict(same.state_dict())
    to_natural = 40 * torch.tensor(10.0).log().item() / 20
    with torch.no_grad():
        other.embed.weight.mul_(to_natural)
        other.embed.bias.sub_(other.embed.weight.sum(dim=(1, 2)))
    plain, bridged = (
        VoiceConverter.from_pretrained(pipeline(tmp_path / name, converter=vqvc(), vocoder=network))
        for name, network in (("plain", same), ("bridged", other))
    )
    # Padding is 0 on both scales and so another level; half a second in, nothing is left of that.
    inner = slice(8192, -8192)
    torch.testing.assert_close(converted(bridged)[inner], converted(plain)[inner], atol=1e-4, rtol=0)


def test_a_vocoder_hears_nothing_outside_of_its_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clipped = replace(MEL, clip=(-4.5, -3.0))
    path = pipeline(tmp_path / "a", converter=vqvc(spec_out=clipped), vocoder=vocoder(clipped))
    free = pipeline(tmp_path / "b", converter=vqvc(), vocoder=vocoder(MEL))
    heard: list[torch.Tensor] = []

    def forward(self: ISTFT, mel: torch.Tensor) -> torch.Tensor:
        heard.append(mel)
        return said(self, mel)

    said = ISTFT.forward
    monkeypatch.setattr(ISTFT, "forward", forward)
    for model in (path, free):
        converted(VoiceConverter.from_pretrained(model), 1.0)
    assert (float(heard[0].min()), float(heard[0].max())) == (-4.5, -3.0)
    assert float(heard[1].min()) < -4.5 and float(heard[1].max()) > -3.0


def test_a_bridge_that_is_not_taken_would_be_heard(tmp_path: Path) -> None:
    plain = VoiceConverter.from_pretrained(pipeline(tmp_path / "a", converter=vqvc(), vocoder=vocoder(MEL)))
    other = VoiceConverter.from_pretrained(
        pipeline(tmp_path / "b", converter=vqvc(), vocoder=vocoder(DECIBELS))
    )
    # Equal weights on another scale: if the mel were passed on unchanged, so would be the audio.
    assert (converted(plain) - converted(other)).abs().max() > 1e-2


def test_a_loss_needs_permission(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "lossy", converter=vqvc(), vocoder=vocoder(replace(MEL, floor=1e-3)))
    with pytest.raises(ContractError, match=r"only with loss \(floor is 1e-05, wanted 0\.001"):
        VoiceConverter.from_pretrained(folder)
    converter = VoiceConverter.from_pretrained(folder, allow_lossy=True)
    assert converted(converter).isfinite().all()


def test_another_mel_is_refused_whatever_is_allowed(tmp_path: Path) -> None:
    other = replace(MEL, f_max=7000.0)
    folder = pipeline(tmp_path / "unfit", converter=vqvc(), vocoder=vocoder(other))
    with pytest.raises(ContractError, match=r"f_max is 8000\.0, wanted 7000\.0"):
        VoiceConverter.from_pretrained(folder, allow_lossy=True)


def test_content_of_learned_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    content = phonetic()
    folder = pipeline(tmp_path / "learned", content=content, converter=learned(content))
    converter = VoiceConverter.from_pretrained(folder)
    assert converted(converter, 2.0).shape == (32000,)


def test_content_of_other_weights_is_refused(tmp_path: Path) -> None:
    content = phonetic()
    folder = pipeline(tmp_path / "other", content=content, converter=learned(content, "0123456789abcdef"))
    with pytest.raises(ContractError, match='wanted "0123456789abcdef"'):
        VoiceConverter.from_pretrained(folder)


def test_learned_features_need_their_encoder(tmp_path: Path) -> None:
    features = FeatureSpec(kind="learned", sample_rate=16000, hop=320, dim=12, encoder="abcd")
    with pytest.raises(CheckpointError, match="has no content"):
        VoiceConverter.from_pretrained(part(tmp_path / "half", vqvc(spec_in=features)))


def test_features_of_another_rate_are_refused(tmp_path: Path) -> None:
    content = phonetic()
    faster = replace(MEL, sample_rate=22050)
    folder = pipeline(tmp_path / "rates", content=content, converter=learned(content, spec_out=faster))
    with pytest.raises(ContractError, match="sample_rate of the features is 16000, of the mel 22050"):
        VoiceConverter.from_pretrained(folder)


def test_features_are_no_vocoder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds a vqvc, which is no vocoder"):
        VoiceConverter.from_pretrained(pipeline(tmp_path / "mixed", converter=vqvc(), vocoder=vqvc()))


def test_a_speaker_encoder_encodes_no_content(tmp_path: Path) -> None:
    speaker = ConvSpeakerEncoder(SpeakerConfig(width=16, blocks=1, embedding_dim=12))
    features = FeatureSpec(kind="learned", sample_rate=16000, hop=320, dim=12, encoder="abcd")
    folder = pipeline(tmp_path / "mixed", content=speaker, converter=vqvc(spec_in=features))
    with pytest.raises(CheckpointError, match="holds a speaker, which encodes no content"):
        VoiceConverter.from_pretrained(folder)


def test_another_sample_rate(tmp_path: Path) -> None:
    spec = replace(MEL, sample_rate=22050)
    folder = pipeline(tmp_path / "faster", converter=vqvc(spec, spec), vocoder=vocoder(spec))
    converter = VoiceConverter.from_pretrained(folder)
    made = converter.convert(waveform(2.0), converter.enrol(waveform()))
    assert made.sample_rate == 22050
    assert made.waveform.shape == (44100,)


def test_a_voice_of_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    one = VoiceConverter.from_pretrained(part(tmp_path / "one", vqvc()))
    two = VoiceConverter.from_pretrained(part(tmp_path / "two", vqvc(seed=1)))
    with pytest.raises(ContractError, match='enrolled with the model "one"'):
        two.convert(waveform(), one.enrol(waveform()))


def test_windows_can_barely_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pipeline(tmp_path / "tiny", converter=vqvc(), vocoder=vocoder(MEL))
    converter = VoiceConverter.from_pretrained(folder)
    monkeypatch.setattr("timbrel.pipeline.WINDOW_SECONDS", 60.0)
    whole = converted(converter, 9.0)
    monkeypatch.setattr("timbrel.pipeline.WINDOW_SECONDS", 3.0)
    windowed = converted(converter, 9.0)
    assert windowed.shape == whole.shape
    # Instance normalisation sees other means in a window, so equal to the bit it cannot be.
    both = torch.stack([whole, windowed])
    assert torch.corrcoef(both)[0, 1] > 0.9
