"""Each recording is heard once, by any speaker encoder; what holds no speech is named."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from timbrel import checkpoint, registry
from timbrel.contract import EmbeddingSpec, FeatureSpec
from timbrel.errors import AudioError, CheckpointError
from timbrel.methods.listening import Listener
from timbrel.verification.hearing import Hearing


def test_a_vector_is_that_of_the_speaker_encoder_at_unit_length(people: Path, small_encoder: Path) -> None:
    path = people / "first" / "0.wav"
    samples, rate = soundfile.read(path, dtype="float32")
    direct = Listener.of(registry.find_part(small_encoder, "speaker"), torch.device("cpu"))
    expected = direct.embed(torch.from_numpy(samples), rate).numpy()
    (found,) = Hearing(small_encoder).hear([path]).values
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)


def test_the_second_time_nothing_is_computed_whatever_the_file_is_called(
    people: Path, small_encoder: Path
) -> None:
    paths = sorted((people / "first").iterdir())
    first = Hearing(small_encoder).hear(paths)
    assert first.computed == 3
    copy = Path(shutil.copy(paths[0], people / "copy.wav"))
    second = Hearing(small_encoder).hear([*paths[1:], copy])
    assert second.computed == 0
    np.testing.assert_array_equal(second.values, first.values[[1, 2, 0]])


def test_another_encoder_hears_for_itself(people: Path, small_encoder: Path) -> None:
    path = people / "first" / "0.wav"
    Hearing(small_encoder).hear([path])
    assert Hearing().hear([path]).computed == 1


def test_what_cannot_be_compared_is_named_by_the_name_it_has_now(tmp_path: Path, small_encoder: Path) -> None:
    random = np.random.default_rng(0)
    soundfile.write(tmp_path / "noise.wav", random.normal(0, 0.1, 32000), 16000)
    soundfile.write(tmp_path / "short.wav", random.normal(0, 0.1, 1600), 16000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(32000), 16000)
    (tmp_path / "text.wav").write_text("not audio at all")
    names = ["noise.wav", "short.wav", "silent.wav", "text.wav", "nowhere.wav"]
    found = Hearing(small_encoder).hear([tmp_path / name for name in names])
    for number, (name, words) in enumerate(
        zip(names, ["of speech", "0.10 s", "silent", "text.wav", "cannot be read"], strict=True)
    ):
        assert name in found.problems[number]
        assert words in found.problems[number]
    assert not found.usable.any()
    shutil.copy(tmp_path / "noise.wav", tmp_path / "{}other.wav")
    again = Hearing(small_encoder).hear([tmp_path / "{}other.wav"])
    assert "{}other.wav" in again.problems[0]
    assert "noise.wav" not in again.problems[0]


def test_what_a_machine_could_not_hear_is_heard_once_it_can(
    people: Path, small_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = people / "first" / "0.wav"

    def without_ffmpeg(*_: object) -> None:
        raise AudioError("install ffmpeg")

    with monkeypatch.context() as patch:
        patch.setattr("timbrel.verification.hearing.io.probe", without_ffmpeg)
        assert Hearing(small_encoder).hear([path]).problems
    found = Hearing(small_encoder).hear([path])
    assert not found.problems
    assert found.computed == 1


def test_what_is_no_speaker_encoder_is_refused() -> None:
    content = Path(registry.__file__).parent / "weights" / "timbrel-one" / "content"
    with pytest.raises(CheckpointError, match="no speaker encoder"):
        Hearing(content)


@dataclass(frozen=True)
class TheirConfig:
    dim: int = 3


class TheirEncoder(nn.Module):
    """The loudness of three thirds of a recording: a speaker encoder that another package might bring."""

    family = "theirs"
    Config = TheirConfig

    def __init__(self, config: TheirConfig) -> None:
        super().__init__()
        self.spec_in = FeatureSpec(kind="waveform", sample_rate=24000, hop=1, dim=1)
        self.spec_out = EmbeddingSpec("", config.dim, l2_normalised=False, input=self.spec_in)

    def forward(self, features: Tensor) -> Tensor:
        thirds = features[..., 0].tensor_split(3, dim=1)
        return torch.stack([third.square().mean(dim=1) for third in thirds], dim=1)


def test_another_packages_encoder_is_heard(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = EntryPoint("theirs", f"{__name__}:TheirEncoder", "timbrel.models")
    monkeypatch.setattr(EntryPoint, "load", lambda _: TheirEncoder)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry] if group == "timbrel.models" else [])
    checkpoint.write(
        tmp_path / "theirs",
        family="theirs",
        name="theirs",
        config=TheirConfig(),
        tensors={},
        provenance={},
        card="",
    )
    path = people / "first" / "0.wav"
    samples, _ = soundfile.read(path, dtype="float32")
    expected = np.array([np.mean(third**2) for third in np.array_split(samples, 3)])
    (found,) = Hearing(tmp_path / "theirs").hear([path]).values
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), rtol=1e-4)
