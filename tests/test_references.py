"""References that hold more than one person draw a warning; those of one person do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tests.methods import making
from torch import Tensor

from timbrel.audio.io import Waveform
from timbrel.pipeline import VoiceConverter
from timbrel.references import References, doubts, gather

Pair = tuple[Path, Path]


@pytest.fixture(scope="module")
def bundled() -> VoiceConverter:
    return VoiceConverter.from_pretrained(device="cpu")


def by_level(samples: Tensor) -> Tensor:
    """A speaker's vector that is told by the mean sample: an angle in radians, up to a right angle."""
    angle = samples.mean()
    return torch.stack([torch.cos(angle), torch.sin(angle)])


def references(*angles: list[float]) -> References:
    """Recordings of six seconds for each angle, at 100 Hz."""
    samples = [torch.cat([torch.full((600,), angle) for angle in one]) for one in angles]
    names = tuple(f"{number}.wav" for number in range(len(angles)))
    return References(samples, 100, names, 10.0, ())


def test_one_voice_raises_no_doubt() -> None:
    assert doubts(references([0.5, 0.5]), by_level) == ()
    assert doubts(references([0.5], [0.6], [0.4]), by_level) == ()


def test_two_voices_in_one_recording() -> None:
    (warning,) = doubts(references([0.2, 1.2]), by_level)
    assert warning.startswith("0.wav: It seems to hold more than one voice")


@pytest.mark.parametrize(
    ("angles", "odd"), [(([0.5], [1.4], [0.5], [0.6]), "1.wav"), (([1.4], [0.5], [0.5], [0.6]), "0.wav")]
)
def test_recordings_of_two_people_name_the_fewer(angles: tuple[list[float], ...], odd: str) -> None:
    (warning,) = doubts(references(*angles), by_level)
    assert warning.startswith(f"{odd}: It sounds like another person than the other recordings: ")
    assert "give each a weight" in warning


def test_of_two_recordings_neither_is_the_odd_one() -> None:
    (warning,) = doubts(references([0.5], [1.4]), by_level)
    assert warning.startswith("0.wav and 1.wav sound like two people: alike by ")


@pytest.mark.parametrize("room", [2.0, 0.0])
def test_a_recording_for_which_little_room_is_left_is_not_heard_and_named(room: float) -> None:
    speech = torch.from_numpy(making.speechlike(6.0))
    found = gather([Waveform(speech, 16000), Waveform(speech[:32000], 16000)], 16000, 6.0 + room)
    assert len(found.samples) == 1
    assert sum("so it is not heard" in warning for warning in found.warnings) == 1


def test_few_seconds_are_not_doubted() -> None:
    short = References([torch.cat([torch.full((200,), 0.2), torch.full((200,), 1.2)])], 100, ("a",), 4.0, ())
    assert doubts(short, by_level) == ()


def test_a_pause_is_no_voice() -> None:
    paused = torch.cat([torch.full((600,), 0.5), torch.full((600,), 1e-3), torch.full((600,), 0.5)])
    (embedded,) = {doubts(References([paused], 100, ("a",), 12.0, ()), by_level)}
    assert embedded == ()


def test_speech_of_two_people_spliced(bundled: VoiceConverter, demo_pair: Pair, tmp_path: Path) -> None:
    read = [soundfile.read(path, dtype="float32") for path in demo_pair]
    spliced = Waveform(torch.from_numpy(np.concatenate([samples for samples, _ in read])), read[0][1])
    (warning,) = bundled.enrol(spliced).warnings
    assert warning.startswith("a waveform: It seems to hold more than one voice")
    (warning,) = bundled.enrol(*demo_pair).warnings
    assert "sound like two people" in warning
    for path in demo_pair:
        assert bundled.enrol(path).warnings == ()


@pytest.mark.parametrize("denoise", [True, False])
def test_noise_is_taken_out_of_what_is_enrolled_where_that_is_asked(
    bundled: VoiceConverter, demo_pair: Pair, monkeypatch: pytest.MonkeyPatch, denoise: bool
) -> None:
    heard: list[Waveform] = []

    def recorded(waveform: Waveform) -> Waveform:
        heard.append(waveform)
        return waveform

    monkeypatch.setattr("timbrel.references.denoised", recorded)
    bundled.enrol(demo_pair[1], denoise=denoise)
    assert len(heard) == denoise
