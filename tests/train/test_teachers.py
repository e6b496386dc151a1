"""The teachers' files are recognised or refused, and what they say is read back where it belongs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn
from typer.testing import CliRunner

from timbrel.cli.app import app
from timbrel.errors import ConfigError, CorpusError, TrainingError
from timbrel.train import taught
from timbrel.train.teachers import Moonshine, Resemblyzer


class Port:
    """Of an ONNX session."""

    def __init__(self, name: str) -> None:
        self.name = name


class Session:
    """Answers as Moonshine's encoder does: a frame for each 384 samples after the first 894."""

    dim = 288
    inputs: Sequence[str] = ("input_values", "attention_mask")

    def __init__(self, path: str, *_: Any, **__: Any) -> None:
        pass

    def get_inputs(self) -> list[Port]:
        return [Port(name) for name in self.inputs]

    def get_outputs(self) -> list[Port]:
        return [Port("last_hidden_state")]

    def run(self, outputs: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        samples = feeds["input_values"]
        assert samples.dtype == np.float32
        assert feeds["attention_mask"].shape == samples.shape
        # Value j of the frame centred on sample s is s * (j + 1) / 1e6, whatever is heard.
        centres = 384 * np.arange((samples.shape[1] - 894) // 384 + 1) + 447
        return [np.outer(centres, np.arange(1, self.dim + 1))[None].astype(np.float32) / 1e6]


@pytest.fixture
def moonshine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that opens as Moonshine's encoder."""
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    path = tmp_path / "encoder.onnx"
    path.write_bytes(b"made up")
    return path


@pytest.fixture
def resemblyzer(tmp_path: Path) -> Path:
    """Random weights in the layout of the published file."""
    torch.manual_seed(3)
    tensors = {f"lstm.{key}": value for key, value in nn.LSTM(40, 256, 3).state_dict().items()}
    tensors |= {f"linear.{key}": value for key, value in nn.Linear(256, 256).state_dict().items()}
    tensors |= {"similarity_weight": torch.ones(1), "similarity_bias": torch.zeros(1)}
    path = tmp_path / "pretrained.pt"
    torch.save({"step": 1564501, "model_state": tensors}, path)
    return path


@pytest.fixture
def corpus(prepared: Path, tmp_path: Path) -> Path:
    """A prepared corpus of our own."""
    return Path(shutil.copytree(prepared, tmp_path / "corpus"))


def test_every_clip_is_heard_once_and_read_back_where_it_belongs(corpus: Path, moonshine: Path) -> None:
    teacher = Moonshine(moonshine)
    seen: list[tuple[int, int]] = []
    assert taught.teach_content(corpus, teacher, 2, lambda done, total: seen.append((done, total))) == 12
    assert seen == [(done, 12) for done in range(1, 13)]
    stored = load_file(corpus / "teachers/moonshine/bob/clip1.safetensors")["frames"]
    assert stored.dtype == np.float16
    assert stored.shape == (1 + (24000 - 894) // 384, 288)
    frames = taught.ContentFrames(corpus)
    statistics = json.loads((corpus / "teachers/moonshine.json").read_text())
    everything = np.concatenate(
        [load_file(path)["frames"] for path in (corpus / "teachers/moonshine").glob("*/*")]
    ).astype(np.float64)
    np.testing.assert_allclose(statistics["mean"], everything.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(statistics["deviation"], everything.std(axis=0), rtol=1e-6)
    # Between two frames the value is that of the place; before the first and after the last it stays.
    places = np.array([0, 447, 5000, 12345, 99999])
    last = 447 + 384 * (len(stored) - 1)
    expected = np.clip(places, 447, last) * 8 / 1e6
    got = frames.at("bob/clip1", places)[:, 7] * statistics["deviation"][7] + statistics["mean"][7]
    np.testing.assert_allclose(got, expected, rtol=1e-3)


def test_a_second_run_makes_only_what_is_missing_or_changed(corpus: Path, moonshine: Path) -> None:
    taught.teach_content(corpus, Moonshine(moonshine))
    statistics = (corpus / "teachers/moonshine.json").read_bytes()
    (corpus / "teachers/moonshine/ada/clip0.safetensors").unlink()
    (corpus / "teachers/moonshine/eve/clip2.safetensors").write_bytes(b"cut short")
    assert taught.teach_content(corpus, Moonshine(moonshine)) == 2
    assert (corpus / "teachers/moonshine.json").read_bytes() == statistics
    moonshine.write_bytes(b"another version")
    assert taught.teach_content(corpus, Moonshine(moonshine)) == 12
    assert not list(corpus.rglob("*.partial"))


def test_what_was_heard_before_an_error_stays(corpus: Path, moonshine: Path) -> None:
    teacher = Moonshine(moonshine)
    heard = teacher.hear
    calls: list[int] = []

    def fail(samples: np.ndarray) -> np.ndarray:
        calls.append(len(samples))
        if len(calls) == 6:
            raise MemoryError
        return heard(samples)

    teacher.hear = fail  # type: ignore[method-assign]
    with pytest.raises(MemoryError):
        taught.teach_content(corpus, teacher)
    assert not (corpus / "teachers/moonshine.json").exists()
    made = len(list((corpus / "teachers/moonshine").glob("*/*.safetensors")))
    assert made >= 5
    assert taught.teach_content(corpus, Moonshine(moonshine)) == 12 - made


def test_resemblyzer_hears_windows_of_160_frames_every_77(resemblyzer: Path) -> None:
    teacher = Resemblyzer.load(resemblyzer)
    samples = (0.2 * np.random.default_rng(0).standard_normal(40000)).astype(np.float32)
    # As Resemblyzer does it, by librosa: power mel of 25 ms windows every 10 ms, reflected at the ends.
    mel = librosa.feature.melspectrogram(
        y=samples, sr=16000, n_fft=400, hop_length=160, n_mels=40, pad_mode="reflect"
    ).T
    vectors = []
    for start in (0, 77):
        _, (hidden, _) = teacher.lstm(torch.from_numpy(mel[None, start : start + 160]))
        vector = torch.relu(teacher.linear(hidden[-1]))[0]
        vectors.append(vector / vector.norm())
    expected = torch.stack(vectors).mean(dim=0)
    np.testing.assert_allclose(teacher.hear(samples), (expected / expected.norm()).numpy(), atol=1e-4)


def test_resemblyzer_raises_quiet_recordings_only(resemblyzer: Path) -> None:
    teacher = Resemblyzer.load(resemblyzer)
    noise = np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    at_limit, quiet = noise * 10 ** (-30 / 20), noise * 10 ** (-50 / 20)
    np.testing.assert_allclose(teacher.hear(quiet), teacher.hear(at_limit), atol=1e-3)
    assert teacher.hear(np.zeros(8000, dtype=np.float32)).shape == (256,)


def test_gradients_flow_through_resemblyzer_but_not_into_it(resemblyzer: Path) -> None:
    teacher = Resemblyzer.load(resemblyzer)
    audio = (0.1 * torch.randn(2, 8000)).requires_grad_()
    vectors = teacher(audio)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(2))
    vectors[:, :3].sum().backward()
    assert audio.grad is not None
    assert audio.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_the_vector_of_each_clip_is_kept(corpus: Path, resemblyzer: Path) -> None:
    teacher = Resemblyzer.load(resemblyzer)
    assert taught.teach_speakers(corpus, teacher) == 12
    assert taught.teach_speakers(corpus, teacher) == 0
    vectors = taught.speaker_vectors(corpus, ["eve/clip0", "bob/clip3"])
    audio = load_file(corpus / "clips/bob/clip3.safetensors")["audio"] / np.float32(32768)
    np.testing.assert_allclose(vectors[1], teacher.hear(audio), atol=1e-6)


def test_files_that_are_no_teachers_are_refused(tmp_path: Path, resemblyzer: Path) -> None:
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(b"\x08\x07 not a network")
    with pytest.raises(TrainingError, match=r"wrong\.onnx is not an ONNX or ORT network"):
        Moonshine(wrong)
    with pytest.raises(TrainingError, match=r"wrong\.onnx is not Resemblyzer: it holds no weights"):
        Resemblyzer.load(wrong)
    with pytest.raises(TrainingError, match=r"none\.pt cannot be read: No such file"):
        Resemblyzer.load(tmp_path / "none.pt")
    other = tmp_path / "other.pt"
    torch.save({"model_state": {"lstm.weight_ih_l0": torch.zeros(4, 4)}}, other)
    with pytest.raises(TrainingError, match=r"other\.pt is not Resemblyzer: its tensors"):
        Resemblyzer.load(other)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"model_state": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(TrainingError, match=r"evil\.pt is not Resemblyzer"):
        Resemblyzer.load(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_a_missing_onnxruntime_is_said_with_the_command_that_installs_it(
    moonshine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(TrainingError, match=r"pip install onnxruntime\."):
        Moonshine(moonshine)


def test_other_networks_than_moonshine_tiny_are_refused(
    moonshine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "dim", 416)
    with pytest.raises(TrainingError, match="not Moonshine tiny, whose frames have 288 values, but 416"):
        Moonshine(moonshine)
    monkeypatch.setattr(Session, "inputs", ("audio",))
    with pytest.raises(TrainingError, match="not the encoder of Moonshine: it takes audio"):
        Moonshine(moonshine)


def test_the_command_teaches_and_refuses(corpus: Path, moonshine: Path, resemblyzer: Path) -> None:
    command = ["teach", str(corpus), "--moonshine", str(moonshine), "--resemblyzer", str(resemblyzer)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "Moonshine heard 12 clips" in result.output
    assert "Resemblyzer heard 12 clips" in result.output
    nothing = CliRunner().invoke(app, ["teach", str(corpus)])
    assert isinstance(nothing.exception, ConfigError)
    bare = CliRunner().invoke(app, ["teach", str(moonshine.parent), *command[2:4]])
    assert isinstance(bare.exception, CorpusError)


def test_a_corpus_that_teachers_cannot_hear_is_refused(corpus: Path, moonshine: Path) -> None:
    lines = (corpus / "index.jsonl").read_text().splitlines()
    longer = {**json.loads(lines[0]), "seconds": 61.0}
    (corpus / "index.jsonl").write_text("\n".join([json.dumps(longer), *lines[1:]]))
    with pytest.raises(CorpusError, match="ada/clip0 lasts 61 s, and a teacher hears at most 60 s"):
        taught.teach_content(corpus, Moonshine(moonshine))
