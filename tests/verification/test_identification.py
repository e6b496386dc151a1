"""Candidates are ranked by the mean score of their recordings, of whatever kind they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from timbrel.errors import AudioError, ContractError, CorpusError
from timbrel.verification.hearing import Hearing
from timbrel.verification.identification import chance_of_any, identify
from timbrel.voice import Voice


def voice(embedding: np.ndarray, encoder: str) -> Voice:
    tensor = torch.from_numpy(3.0 * embedding)
    return Voice("ours", encoder, {encoder: tensor}, {}, 0.0, 0.0, 4.0, ("there",))


def test_folders_voices_and_recordings_stand_side_by_side(people: Path, small_encoder: Path) -> None:
    hearing = Hearing(small_encoder)
    asked = Path(shutil.move(people / "first" / "2.wav", people.parent / "asked.wav"))
    shutil.copy(people / "second" / "1.wav", people / "alone.wav")
    vectors = hearing.hear([asked, *sorted(people.rglob("*.wav"))]).values
    voice(vectors[0], hearing.fingerprint).save(people / "enrolled.voice")
    (people / "notes.txt").write_text("nobody")
    (people / "empty").mkdir()
    found = identify(asked, people, hearing)
    own = {candidate.name: candidate for candidate in found.candidates}
    assert set(own) == {"first", "second", "alone", "enrolled"}
    assert own["enrolled"].score == pytest.approx(1.0)
    paths = [people / "first" / "0.wav", people / "first" / "1.wav"]
    expected = np.mean([vectors[0] @ row for row in hearing.hear(paths).values])
    assert own["first"].score == pytest.approx(expected, abs=1e-6)
    assert own["first"].recordings == 2
    scores = [candidate.score for candidate in found.candidates]
    assert scores == sorted(scores, reverse=True)


def test_the_bundled_encoder_knows_who_it_is(people: Path) -> None:
    asked = Path(shutil.move(people / "second" / "2.wav", people.parent / "asked.wav"))
    best, other = identify(asked, people, Hearing()).candidates
    assert best.name == "second"
    assert best.score - other.score > 0.1


def test_a_recording_is_never_compared_with_itself(people: Path, small_encoder: Path) -> None:
    asked = people / "first" / "0.wav"
    # What macOS lays beside a recording is none.
    (people / "second" / "._0.wav").write_bytes(b"what the Finder knows of 0.wav")
    found = identify(asked, people, Hearing(small_encoder))
    assert len(found.excluded) == 1
    assert {one.name: one.recordings for one in found.candidates} == {"first": 2, "second": 3}
    assert "copy" in found.excluded[0]


def test_a_voice_of_another_encoder_is_refused(people: Path, small_encoder: Path) -> None:
    voice(np.ones(6, np.float32), "ffff").save(people / "enrolled.voice")
    with pytest.raises(ContractError, match=r"enrolled\.voice .* enrol it again"):
        identify(people / "first" / "0.wav", people, Hearing(small_encoder))


def test_who_cannot_be_heard_and_nobody_to_compare_with_are_refused(
    people: Path, noise: Path, small_encoder: Path
) -> None:
    hearing = Hearing(small_encoder)
    with pytest.raises(AudioError, match="of speech"):
        identify(noise, people, hearing)
    asked = people / "first" / "0.wav"
    with pytest.raises(CorpusError, match="not a folder"):
        identify(asked, people / "nowhere", hearing)
    (people.parent / "empty").mkdir()
    with pytest.raises(CorpusError, match="no voices"):
        identify(asked, people.parent / "empty", hearing)
    only = people.parent / "only"
    only.mkdir()
    shutil.copy(asked, only / "copy.wav")
    with pytest.raises(CorpusError, match="None of the voices"):
        identify(asked, only, hearing)


def test_two_voices_of_one_name_are_refused(people: Path, small_encoder: Path) -> None:
    shutil.copy(people / "first" / "1.wav", people / "second.wav")
    with pytest.raises(CorpusError, match="both be called second"):
        identify(people / "first" / "0.wav", people, Hearing(small_encoder))


def test_the_chance_of_a_stranger_grows_with_the_number_of_voices() -> None:
    assert chance_of_any(0.01, 1) == pytest.approx(0.01)
    assert chance_of_any(0.01, 100) == pytest.approx(1 - 0.99**100)
    assert chance_of_any(1.0, 3) == pytest.approx(1.0)
    assert chance_of_any(0.0, 3) == 0.0
