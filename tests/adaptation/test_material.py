"""Recordings are checked before anything is learned from them, and some of them is held out."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.adaptation import studio

from timbrel.adaptation import base as bases
from timbrel.adaptation import material
from timbrel.adaptation.material import gather, hold_out
from timbrel.errors import AudioError, CheckpointError


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contents itself with little speech, which is heard sooner."""
    monkeypatch.setattr(material, "LEAST_SPEECH", 8.0)


def test_a_crop_begins_at_the_centre_of_its_first_frame() -> None:
    whole = studio.stretch(0, frames=200)
    part = whole.crop(10, 96)
    # A frame every 256 samples; the last one's sound ends half a hop before the next would begin.
    assert torch.equal(part.audio, whole.audio[2560 : 2560 + 96 * 256 - 128])
    assert torch.equal(part.content, whole.content[10:106])
    assert torch.equal(part.voicing, whole.voicing[10:106])


@pytest.mark.parametrize(("stretches", "places"), [(5, [1, 3]), (12, [3, 9]), (18, [3, 9, 15])])
def test_what_is_held_out_lies_evenly_between_the_rest(stretches: int, places: list[int]) -> None:
    everything = [studio.stretch(seed) for seed in range(stretches)]
    train, held_out = hold_out(everything)
    assert [id(one) for one in held_out] == [id(everything[place]) for place in places]
    rest = [one for place, one in enumerate(everything) if place not in places]
    assert [id(one) for one in train] == [id(one) for one in rest]


def test_no_more_is_held_out_than_measuring_needs() -> None:
    _, held_out = hold_out([studio.stretch(0)] * 120)
    assert len(held_out) == 10


@pytest.mark.usefixtures("lenient")
def test_recordings_are_cut_into_stretches_at_the_standard_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(material, "_PART_SECONDS", 15.0)
    found = gather(studio.base(tmp_path), studio.recordings(tmp_path, 21.0, 7.0))
    stretches = found.train + found.held_out
    assert found.recordings == (tmp_path / "take0.wav", tmp_path / "take1.wav")
    assert sum(stretch.frames for stretch in stretches) == pytest.approx(28 * 62.5, abs=8)
    for stretch in stretches:
        assert len(stretch.audio) == 256 * stretch.frames - 128
        assert 100 < float(stretch.f0.median()) < 150
        # The standard level, 0.1, is that of the frames in which somebody speaks.
        assert 0.03 < float(stretch.audio.square().mean().sqrt()) < 0.12


def test_too_little_speech_is_refused_with_what_was_found_and_what_is_wanted(tmp_path: Path) -> None:
    base, short = studio.base(tmp_path), studio.recordings(tmp_path, 12.0, 9.0, 1.0)
    with pytest.raises(
        AudioError, match=r"^take0\.wav and 2 more: 1[0-3] s of clear speech .* 30 s are wanted"
    ):
        gather(base, short)


def test_the_same_recording_under_two_names_is_refused(tmp_path: Path) -> None:
    (path,) = studio.recordings(tmp_path, 5.0)
    twin = tmp_path / "twin.wav"
    shutil.copy(path, twin)
    with pytest.raises(AudioError, match=r"^twin\.wav is the same recording as take0\.wav"):
        gather(studio.base(tmp_path), [path, twin])


@pytest.mark.usefixtures("lenient")
def test_what_is_beyond_the_limit_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(material, "MOST_SECONDS", 30.0)
    found = gather(studio.base(tmp_path), studio.recordings(tmp_path, 26.0, 10.0))
    assert any("take1.wav" in warning and "not heard" in warning for warning in found.warnings)
    assert sum(stretch.frames for stretch in found.train + found.held_out) < 27 * 62.5


@pytest.mark.usefixtures("lenient")
def test_two_people_are_told_from_one(corpus: Path) -> None:
    base = bases.load("timbrel-one", torch.device("cpu"))
    speech = {"vctk-p226": list[Path](), "vctk-p228": list[Path]()}
    with (corpus / "manifest.csv").open() as manifest:
        for row in csv.DictReader(manifest):
            if row["speaker"] in speech:
                speech[row["speaker"]].append(corpus / row["path"])
    him, her = (paths[:6] for paths in speech.values())
    assert len(gather(base, him).train) >= 3
    with pytest.raises(AudioError, match=r"two voices are heard"):
        gather(base, him[:3] + her[:3])


def test_only_models_that_attend_can_be_adapted(tmp_path: Path) -> None:
    from tests.methods import making

    folder = making.pipeline(tmp_path / "other", converter=making.vqvc())
    with pytest.raises(CheckpointError, match=r'^"other" holds the family vqvc, .* can be adapted'):
        bases.load(folder, torch.device("cpu"))


@pytest.mark.usefixtures("lenient")
def test_mels_and_pitch_are_those_of_the_sound(tmp_path: Path) -> None:
    base, (path,) = studio.base(tmp_path), studio.recordings(tmp_path, 26.0)
    stretch = gather(base, [path]).train[0]
    with torch.no_grad():
        mel = base.networks.mel(stretch.audio[None])[0, : 2 * stretch.frames].unflatten(0, (-1, 2)).flatten(1)
    # The ends are cut off in one of them and not in the other.
    np.testing.assert_allclose(mel[4:-4], stretch.mel[4:-4], atol=1e-3)
