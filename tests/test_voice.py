"""The `.voice` file: what was enrolled comes back to the bit, and nothing is half-written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from timbrel import voice as voices
from timbrel.errors import AudioError, CheckpointError, OutputError
from timbrel.voice import Voice, remembered


@pytest.fixture
def voice() -> Voice:
    """A voice with a tensor of every kind, one of them a strided view."""
    generator = torch.Generator().manual_seed(0)
    return Voice(
        model="little",
        encoder="0123456789abcdef",
        embeddings={"fedcba9876543210": torch.randn(8, generator=generator)},
        frames={
            "content": torch.randn(12, 40, generator=generator).T,
            "speech": torch.arange(40) % 3 > 0,
        },
        log_f0_mean=4.876543210987654,
        log_f0_std=0.1,
        seconds=2.5,
        sources=("Zoë.flac", "two.wav"),
        warnings=("Zoë.flac: It is noisy.",),
    )


def test_a_saved_voice_comes_back_to_the_bit(voice: Voice, tmp_path: Path) -> None:
    voice.save(tmp_path / "her.voice")
    loaded = Voice.load(tmp_path / "her.voice")
    for kept, back in ((voice.embeddings, loaded.embeddings), (voice.frames, loaded.frames)):
        assert kept.keys() == back.keys()
        assert all(torch.equal(kept[name], back[name]) for name in kept)
        assert all(kept[name].dtype == back[name].dtype for name in kept)
    nothing: dict[str, torch.Tensor] = {}
    assert replace(loaded, embeddings=nothing, frames=nothing) == replace(
        voice, embeddings=nothing, frames=nothing
    )


def test_the_file_opens_without_this_program(voice: Voice, tmp_path: Path) -> None:
    from safetensors import safe_open

    voice.save(tmp_path / "her.voice")
    with safe_open(tmp_path / "her.voice", framework="np") as file:
        assert json.loads(file.metadata()["voice"])["model"] == "little"
        assert file.get_tensor("frames.content").shape == (40, 12)


def test_an_existing_file_is_kept_unless_forced(voice: Voice, tmp_path: Path) -> None:
    path = tmp_path / "her.voice"
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"her\.voice.* exists already"):
        voice.save(path)
    assert path.read_text() == "mine"
    voice.save(path, force=True)
    assert Voice.load(path).model == "little"
    assert [file.name for file in tmp_path.iterdir()] == ["her.voice"]


@pytest.mark.parametrize("name", ["her.wav", "her", "her.voice.bak"])
def test_another_suffix_is_refused(voice: Voice, tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"must end in \.voice"):
        voice.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_refused(voice: Voice, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nowhere.* cannot be written: No such file or directory"):
        voice.save(tmp_path / "nowhere" / "her.voice")
    assert list(tmp_path.iterdir()) == []


def test_writing_that_fails_leaves_nothing(
    voice: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        voice.save(tmp_path / "her.voice")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_leaves_nothing_beside_it(voice: Voice, tmp_path: Path) -> None:
    (tmp_path / "her.voice").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        voice.save(tmp_path / "her.voice", force=True)
    assert [(file.name, file.is_dir()) for file in tmp_path.iterdir()] == [("her.voice", True)]


def test_a_file_that_cannot_be_opened_is_refused(
    voice: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice.save(tmp_path / "a.voice")

    def closed(*_: object, **__: object) -> None:
        raise FileNotFoundError("No such file or directory")  # what safetensors says of one it may not read

    monkeypatch.setattr("safetensors.safe_open", closed)
    with pytest.raises(CheckpointError, match="is not a voice"):
        Voice.load(tmp_path / "a.voice")


def test_a_voice_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.voice", tmp_path):
        with pytest.raises(CheckpointError, match="There is no voice"):
            Voice.load(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.9, 0.9999])
def test_a_truncated_file_is_refused(voice: Voice, tmp_path: Path, share: float) -> None:
    path = tmp_path / "her.voice"
    voice.save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match=r"her\.voice.* is not a voice"):
        Voice.load(path)


FACTS = {"model": "m", "encoder": "e", "log_f0_mean": 5.0, "log_f0_std": 0.1, "seconds": 1.0}


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {"timbrel_voice": "2", "voice": json.dumps(FACTS | {"sources": [], "warnings": []})},
        {"timbrel_voice": "1", "voice": "{"},
        {"timbrel_voice": "1", "voice": "[]"},
        {"timbrel_voice": "1", "voice": json.dumps(FACTS)},
        {"timbrel_voice": "1", "voice": json.dumps({"sources": [], "warnings": []})},
    ],
)
def test_other_tensors_are_no_voice(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"frames.content": torch.ones(2)}, tmp_path / "other.voice", metadata=metadata)
    with pytest.raises(CheckpointError, match=r"other\.voice.* is not a voice"):
        Voice.load(tmp_path / "other.voice")


CHANGES = [
    {"log_f0_mean": "5.0"},
    {"log_f0_mean": 1e9},
    {"log_f0_std": None},
    {"log_f0_std": -3.0},
    {"seconds": "long"},
    {"model": 5},
    {"sources": "a.wav"},
    {"beyond": 99.0},
]
FULL = FACTS | {"sources": ["a.wav"], "warnings": []}


@pytest.mark.parametrize("change", CHANGES)
def test_facts_that_no_enrolment_writes_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    metadata = {"timbrel_voice": "1", "voice": json.dumps(FULL | change)}
    save_file({"frames.content": torch.ones(2)}, tmp_path / "a.voice", metadata=metadata)
    with pytest.raises(CheckpointError, match="is not a voice"):
        Voice.load(tmp_path / "a.voice")


@pytest.mark.parametrize(
    "tensors",
    [
        {"frames.content": torch.tensor([1.0, float("nan")])},
        {"frames.content": torch.tensor(1.0)},
        {"frames.content": torch.zeros(0, 3)},
        {"embedding.one": torch.tensor([float("inf"), 0.0])},
        {"embedding.one": torch.ones(1)},
        {"embedding.one": torch.ones(2, 2)},
    ],
)
def test_tensors_that_no_enrolment_writes_are_refused(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    metadata = {"timbrel_voice": "1", "voice": json.dumps(FULL)}
    save_file({"frames.content": torch.ones(2)}, tmp_path / "good.voice", metadata=metadata)
    assert Voice.load(tmp_path / "good.voice").sources == ("a.wav",)
    save_file(tensors, tmp_path / "a.voice", metadata=metadata)
    with pytest.raises(CheckpointError, match="is not a voice"):
        Voice.load(tmp_path / "a.voice")


@pytest.mark.parametrize("data", [b"These are words.", b"\xff" * 500, b"RIFF\x24\x00\x00\x00WAVEfmt "])
def test_what_is_no_voice_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "other.voice").write_bytes(data)
    with pytest.raises(CheckpointError, match="is not a voice"):
        Voice.load(tmp_path / "other.voice")


def test_voices_asked_for_last_are_remembered_as_far_as_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    enrolled: list[str] = []

    def enrol(name: str) -> Voice:
        enrolled.append(name)
        if name == "bad":
            raise AudioError("no speech")
        return Voice("little", "", {}, {"content": torch.zeros(25)}, 5.0, 0.2, 5.0, (name,))

    monkeypatch.setattr(voices, "MOST_REMEMBERED", 250)  # two of them, of a hundred bytes each
    voice = remembered(enrol)
    for name in ("a", "b", "a", "c", "a", "b"):
        assert voice(name).sources == (name,)
    assert enrolled == ["a", "b", "c", "b"]
    for _ in range(2):
        with pytest.raises(AudioError, match="no speech"):
            voice("bad")
    assert enrolled[4:] == ["bad"]
    monkeypatch.setattr(voices, "MOST_REMEMBERED", 10)  # the one that is asked for is kept all the same
    assert voice("d").sources == ("d",)
