"""What a converter gets wrong of a voice, and how it is put right."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from timbrel import checkpoint, registry
from timbrel.audio.io import Waveform
from timbrel.audio.mel import PRESETS, MelSpectrogram, centres
from timbrel.methods import correcting
from timbrel.methods.correcting import Correction
from timbrel.models.converter import Converter, Prosody
from timbrel.models.voice_tokens import VoiceTokens
from timbrel.pipeline import VoiceConverter
from timbrel.voice import Voice

from .making import attending, speechlike

MEL = PRESETS["timbrel-16k"]


def correct(content: Tensor, keys: Tensor, residual: Tensor, share: float = 1.0) -> Tensor:
    return Correction(keys, residual, content.mean(dim=(0, 1)), MEL, bins=257, share=share)(content)


def test_a_frame_gets_what_is_missing_in_frames_like_it() -> None:
    keys = torch.tensor([[3.0, 0.0], [-3.0, 0.0]])
    residual = torch.cat([torch.full((1, 160), 0.5), torch.full((1, 160), -0.25)])
    content = 5.0 * torch.tensor([[[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]])
    found = correct(content, keys, residual, share=0.5)
    assert found.shape == (1, 6, 257)
    # Seen from the source's mean, its first frame is like the second key, its last like the first.
    torch.testing.assert_close(found[0, :2], torch.full((2, 257), -0.125))
    torch.testing.assert_close(found[0, 4:], torch.full((2, 257), 0.25))
    # The one in the middle is like neither and gets the mean.
    torch.testing.assert_close(found[0, 2:4], torch.full((2, 257), 0.0625))


def test_between_bands_it_runs_straight_in_hertz() -> None:
    # A residual that is a straight line over frequency has one answer between the outer bands' centres.
    line = torch.from_numpy(centres(MEL)).float() / 1000
    content = torch.randn(1, 3, 4)
    found = correct(content, content[0], torch.cat([line, -line])[None].expand(3, -1))
    hertz = torch.linspace(0.0, 8000.0, 257)
    inside = (hertz > centres(MEL)[0]) & (hertz < centres(MEL)[-1])
    for frame, sign in ((0, 1.0), (1, -1.0)):  # the two halves of a content frame
        torch.testing.assert_close(found[0, frame, inside], sign * hertz[inside] / 1000, atol=1e-4, rtol=0)
        assert found[0, frame, -1] == pytest.approx(sign * float(line[-1]), abs=1e-4)


def test_how_a_recording_sounds_as_a_whole_does_not_matter() -> None:
    keys, residual, content = torch.randn(20, 8), torch.randn(20, 160), torch.randn(1, 12, 8)
    torch.testing.assert_close(correct(content + 3.0, keys - 1.0, residual), correct(content, keys, residual))


def recording(seconds: float, pitch: float = 130.0) -> Waveform:
    return Waveform(torch.from_numpy(speechlike(seconds, pitch=pitch)), 16000)


def mel_distance(made: Tensor, true: Tensor) -> float:
    mel = MelSpectrogram(MEL)
    return float((mel(made[None]) - mel(true[None])).abs().mean())


def test_a_corrected_voice_says_its_own_words_more_like_itself(tmp_path: Path) -> None:
    said = recording(6.0)
    distances = []
    for share in (0.0, 1.0):
        converter = VoiceConverter.from_pretrained(attending(tmp_path / f"{share}", correction=share))
        made = converter.convert(said, converter.enrol(said)).waveform
        distances.append(mel_distance(made, said.samples))
    assert distances[1] < 0.9 * distances[0]


def test_windows_of_a_correction_give_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converter = VoiceConverter.from_pretrained(attending(tmp_path / "tiny", guidance=0.3, correction=1.0))
    voice, source = converter.enrol(recording(4.0)), recording(3.0, pitch=180.0)
    whole = converter.convert(source, voice).waveform
    monkeypatch.setattr("timbrel.pipeline.WINDOW_SECONDS", 0.5)
    torch.testing.assert_close(converter.convert(source, voice).waveform, whole, atol=1e-4, rtol=0)


def test_long_references_are_rebuilt_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converter = VoiceConverter.from_pretrained(attending(tmp_path / "tiny", correction=1.0))
    whole = residual_of(converter.enrol(recording(6.0)))
    starts, rebuilt = list[int](), correcting._rebuilt

    def noted(*given: Any) -> Tensor:
        starts.append(given[-1])
        return rebuilt(*given)

    monkeypatch.setattr(correcting, "_PIECE", 150)
    monkeypatch.setattr(correcting, "_rebuilt", noted)
    pieces = residual_of(converter.enrol(recording(6.0)))
    assert starts == list(range(0, len(whole), 150))
    assert len(starts) > 2
    # Only frames about the seams see less on one side; all others move with the mean alone.
    differs = (whole - pieces).abs().amax(dim=1) > 0.02
    assert pieces.shape == whole.shape
    assert differs.float().mean() < 0.25


def test_too_little_speech_is_not_corrected(tmp_path: Path) -> None:
    converter = VoiceConverter.from_pretrained(attending(tmp_path / "tiny", correction=1.0))
    samples = torch.zeros(16000)
    samples[4000:10000] = torch.from_numpy(speechlike(1.0))[1000:7000]
    voice = converter.enrol(Waveform(samples, 16000))
    assert set(voice.frames) == {"content", "mel", "speech"}
    assert converter.convert(recording(2.0), voice).waveform.isfinite().all()


def test_what_another_converter_got_wrong_is_of_no_use(tmp_path: Path) -> None:
    one, other = (
        VoiceConverter.from_pretrained(attending(tmp_path / f"{share}", correction=share))
        for share in (0.5, 1.0)
    )
    voice = one.enrol(recording(3.0))
    residual_of(voice)
    # One set of weights is one converter, at whatever share.
    assert set(other.enrol(recording(3.0)).frames) == set(voice.frames)
    renamed = {name.replace("residual-", "residual-0"): frames for name, frames in voice.frames.items()}
    foreign = replace(voice, frames=renamed)
    without = replace(voice, frames={k: v for k, v in voice.frames.items() if "residual" not in k})
    source = recording(2.0, pitch=180.0)
    expected = one.convert(source, without).waveform
    assert torch.equal(one.convert(source, foreign).waveform, expected)
    assert not torch.allclose(one.convert(source, voice).waveform, expected, atol=1e-4)


def test_a_voice_of_other_weights_is_spoken_with_a_warning(tmp_path: Path) -> None:
    one, uncorrected = (
        VoiceConverter.from_pretrained(attending(tmp_path / f"{share}", correction=share))
        for share in (0.5, 0.0)
    )
    voice = one.enrol(recording(3.0))
    renamed = {name.replace("residual-", "residual-0"): frames for name, frames in voice.frames.items()}
    none = {kind: frames for kind, frames in voice.frames.items() if not kind.startswith("residual-")}
    for name, frames in (("own", voice.frames), ("other", renamed), ("short", none)):
        replace(voice, frames=frames).save(tmp_path / f"{name}.voice")
    assert one.recall(tmp_path / "own.voice").warnings == voice.warnings
    assert one.recall(tmp_path / "short.voice").warnings == voice.warnings
    assert uncorrected.recall(tmp_path / "other.voice").warnings == voice.warnings
    other = one.recall(tmp_path / "other.voice")
    (warning,) = other.warnings[len(voice.warnings) :]
    assert warning.startswith("other.voice was enrolled with other weights")
    assert warning in one.blend((other, 1.0), (voice, 1.0)).warnings


def test_what_a_converter_goes_beyond_by_itself_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, beyond = (
        VoiceConverter.from_pretrained(
            attending(tmp_path / f"{more}", guidance=0.3, beyond=more, correction=1.0)
        )
        for more in (0.0, 3.0)
    )
    said = recording(4.0)
    expected, other = residual_of(plain.enrol(said)), residual_of(beyond.enrol(said))
    assert not torch.equal(other, expected)
    # Made to go as far beyond as it says of itself, it finds what it found when it did not.
    model = registry.build(checkpoint.read(tmp_path / "3.0" / "converter"))
    assert isinstance(model, Converter) and model.crowd is not None
    common, before = model.crowd.at(torch.tensor([math.log(130)])), Converter.filters

    def filters(self: Converter, content: Tensor, prosody: Prosody, voice: VoiceTokens) -> Tensor:
        assert common is not None
        there, here = (before(self, content, prosody, one) for one in (voice, common))
        apart = there - here
        apart[:, :, 1] = 0.0
        return there + 3.0 * apart

    monkeypatch.setattr(Converter, "in_common", lambda *_: common)
    monkeypatch.setattr(Converter, "filters", filters)
    torch.testing.assert_close(residual_of(beyond.enrol(said)), expected, atol=2e-3, rtol=0)


def test_a_residual_is_of_the_converter_that_goes_as_far_beyond(tmp_path: Path) -> None:
    plain, beyond = (
        VoiceConverter.from_pretrained(
            attending(tmp_path / f"{more}", guidance=0.3, beyond=more, correction=1.0)
        )
        for more in (0.0, 0.5)
    )
    voice = plain.enrol(recording(4.0))
    without = replace(voice, frames={k: v for k, v in voice.frames.items() if "residual" not in k})
    source = recording(2.0, pitch=180.0)
    assert torch.equal(beyond.convert(source, voice).waveform, beyond.convert(source, without).waveform)


def test_a_blend_is_corrected_as_its_voices_are(tmp_path: Path) -> None:
    converter = VoiceConverter.from_pretrained(attending(tmp_path / "tiny", correction=1.0))
    voice, source = converter.enrol(recording(3.0)), recording(2.0, pitch=180.0)
    alone = converter.convert(source, voice).waveform
    twice = converter.convert(source, converter.blend((voice, 0.5), (voice, 0.5))).waveform
    torch.testing.assert_close(twice, alone, atol=1e-4, rtol=0)


def test_a_saved_voice_keeps_its_residual(tmp_path: Path) -> None:
    converter = VoiceConverter.from_pretrained(attending(tmp_path / "tiny", correction=1.0))
    voice, source = converter.enrol(recording(3.0)), recording(2.0, pitch=180.0)
    voice.save(tmp_path / "a.voice")
    again = converter.convert(source, Voice.load(tmp_path / "a.voice")).waveform
    assert torch.equal(again, converter.convert(source, voice).waveform)


def residual_of(voice: Voice) -> Tensor:
    (name,) = (name for name in voice.frames if name.startswith("residual-"))
    return voice.frames[name]


def test_what_it_got_wrong_holds_whoever_is_in_the_crowd(tmp_path: Path) -> None:
    """Guidance has no part in the residual, so voices enrolled before a crowd was there keep theirs."""
    alone, guided = (
        VoiceConverter.from_pretrained(attending(tmp_path / f"{share}", guidance=share, correction=1.0))
        for share in (0.0, 0.3)
    )
    voice, anew = alone.enrol(recording(4.0)), guided.enrol(recording(4.0))
    torch.testing.assert_close(residual_of(voice), residual_of(anew))
    source = recording(2.0, pitch=180.0)
    made, again = (guided.convert(source, one).waveform for one in (voice, anew))
    torch.testing.assert_close(made, again)
