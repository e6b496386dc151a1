"""`timbrel adapt`: from recordings of one person to a model that `convert` uses."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.adaptation import studio
from tests.methods import making

from timbrel import VoiceConverter
from timbrel.voice import Voice

from .conftest import Command, is_one_sentence


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is adapted in no time."""
    return making.attending(tmp_path_factory.mktemp("model") / "small")


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A bit more than a minute, of which half is speech."""
    return studio.recordings(tmp_path_factory.mktemp("takes"), 40.0, 24.0)


def test_a_model_is_adapted_and_converts(timbrel: Command, small: Path, takes: list[Path]) -> None:
    ended = timbrel("adapt", *takes, "-o", "anna", "--model", small, "--minutes", "0.1", "-s", takes[1])
    assert ended.code == 0, ended.err
    assert "mel error" in ended.out
    assert [path.name for path in Path.cwd().iterdir()] == ["anna"]

    facts = json.loads(Path("anna/provenance.json").read_text())
    assert facts["recordings"] == ["take0.wav", "take1.wav"]
    assert facts["adapted_from"]["name"] == "small"
    assert facts["licence"] == "MIT"
    figures = facts["measured"]
    assert figures["held-out loss after"] <= figures["held-out loss before"]
    card = Path("anna/CARD.md").read_text()
    assert f"{figures['before']['mel_error_db']:.2f}" in card
    assert f"{figures['after']['similarity']:.3f}" in card

    # The line that it gives is one that works.
    line = shlex.split(ended.out.splitlines()[-1].partition("timbrel ")[2])
    line[line.index("SOURCE")] = str(takes[1])
    ended = timbrel(*line, "-o", "out.wav")
    assert ended.code == 0, ended.err
    assert Path("out.wav").is_file()
    # The voice is the one that any model with this content encoder knows.
    assert timbrel("convert", takes[1], "-m", small, "-t", line[-1], "-o", "before.wav").code == 0
    assert Path("out.wav").read_bytes() != Path("before.wav").read_bytes()


def test_the_voice_is_corrected_by_what_the_written_weights_lack(
    timbrel: Command, tmp_path: Path, takes: list[Path]
) -> None:
    model = making.attending(tmp_path / "correcting", correction=0.8)
    assert timbrel("adapt", *takes, "-o", "anna", "--model", model, "--minutes", "0.1").code == 0
    adapted = VoiceConverter.from_pretrained("anna")
    kept = Voice.load(Path("anna/voices/anna.voice"))
    assert any(name.startswith("residual") for name in kept.frames)
    assert set(kept.frames) == set(adapted.enrol(*takes).frames)


def test_recordings_with_nothing_to_learn_from_are_named_and_left_out(
    timbrel: Command, small: Path, tmp_path: Path, takes: list[Path]
) -> None:
    soundfile.write(tmp_path / "cough.wav", making.speechlike(1.0), 16000)
    soundfile.write(tmp_path / "rain.wav", 0.1 * np.random.default_rng(0).standard_normal(48000), 16000)
    ended = timbrel(
        "adapt",
        *takes,
        tmp_path / "cough.wav",
        tmp_path / "rain.wav",
        "-o",
        "anna",
        "-m",
        small,
        "--minutes",
        "0.1",
    )
    assert ended.code == 0, ended.err
    for name in ("cough.wav", "rain.wav"):
        assert f"{name}: It holds too little speech to learn from" in ended.err
    assert json.loads(Path("anna/provenance.json").read_text())["recordings"] == ["take0.wav", "take1.wav"]


def test_too_little_speech_leaves_nothing(timbrel: Command, small: Path, takes: list[Path]) -> None:
    ended = timbrel("adapt", takes[1], "-o", "anna", "--model", small)
    assert ended.code == 2
    assert is_one_sentence(ended.err)
    assert "30 s are wanted" in ended.err
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("output", "force", "text"),
    [
        ("kept", [], "exists already"),
        ("kept", ["--force"], "no model that could be replaced"),
        ("file/anna", [], "no folder that may be written to"),
    ],
)
def test_a_wrong_output_is_refused_before_the_work(
    timbrel: Command, takes: list[Path], output: str, force: list[str], text: str
) -> None:
    Path("kept").mkdir()
    Path("file").write_text("mine")
    ended = timbrel("adapt", *takes, "-o", output, *force)
    assert ended.code == 2
    assert is_one_sentence(ended.err)
    assert text in ended.err
    assert not list(Path("kept").iterdir())


def test_another_kind_of_model_is_refused(timbrel: Command, tmp_path: Path, takes: list[Path]) -> None:
    other = making.pipeline(tmp_path / "other", converter=making.vqvc())
    ended = timbrel("adapt", *takes, "-o", "anna", "--model", other)
    assert ended.code == 2
    assert is_one_sentence(ended.err)
    assert "vqvc" in ended.err
