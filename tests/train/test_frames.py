"""Frames of a content encoder, prepared once: where crops find them, and how they are prematched."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.models import small
from typer.testing import CliRunner

from timbrel.cli.app import app
from timbrel.corpora.prepared import read_index
from timbrel.errors import TrainingError
from timbrel.models.content import content_frames
from timbrel.models.wavlm import WavLM
from timbrel.train.data import Data
from timbrel.train.frames import FOLDER, Frames, Prepared, prematch, prepare_frames
from timbrel.train.recipe import DataRecipe

pytest.importorskip("transformers")

CPU = torch.device("cpu")
SIGNED = "0123456789abcdef"


def encoder() -> WavLM:
    """A small WavLM, signed as a checkpoint's would be."""
    model = small.wavlm()
    model.spec_out = replace(model.spec_out, encoder=SIGNED)
    return model


@pytest.fixture(scope="module")
def heard(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared corpus with frames, as they are and prematched."""
    root = tmp_path_factory.mktemp("heard") / "corpus"
    shutil.copytree(prepared, root)
    assert prepare_frames(root, encoder(), CPU) == Prepared(made=12, clips=12)
    assert prematch(root, encoder(), CPU) == Prepared(made=12, clips=12)
    return root


def stored(root: Path, clip: str, kind: str = "") -> torch.Tensor:
    return load_file(root / FOLDER / f"{SIGNED}{kind}" / f"{clip}.safetensors")["frames"].float()


def whole(root: Path, file: str) -> torch.Tensor:
    return load_file(root / file)["audio"].float() / 32768


def test_each_clip_has_the_frames_of_the_whole_of_it(heard: Path) -> None:
    for clip in read_index(heard)[::5]:
        with torch.inference_mode():
            expected = content_frames(encoder(), whole(heard, clip.file))
        torch.testing.assert_close(stored(heard, clip.id), expected, atol=2e-3, rtol=2e-3)


def test_crops_meet_their_own_frames(heard: Path) -> None:
    data = Data(heard, DataRecipe(str(heard), batch=8, seconds=0.6), "train", seed=0)
    frames = Frames(heard, encoder().spec_out)
    seen = set()
    for step in range(3):
        crops = data.batch(step).source
        audio, found = frames.of(crops)
        assert found.shape == (8, 29, 32)  # of 30 hops a whole 29 wherever a crop begins
        assert audio.shape == (8, 29 * 320)
        for row, clip in enumerate(crops.ids):
            # Pitch frames lie at every 256 samples, content frames at every 320.
            first = -(-int(crops.starts[row]) * 256 // 320)
            seen.add(int(crops.starts[row]) * 256 % 320)
            assert torch.equal(found[row], stored(heard, clip)[first : first + 29])
            file = next(one.file for one in data.clips if one.id == clip)
            expected = whole(heard, file)[320 * first :][: 29 * 320]
            assert torch.equal(audio[row, : len(expected)], expected)
    assert len(seen) > 3


def test_beyond_the_end_the_last_frame_is_held(heard: Path) -> None:
    data = Data(heard, DataRecipe(str(heard), batch=4, seconds=2.0), "train", seed=0)
    crops = data.batch(0).source
    _, found = Frames(heard, encoder().spec_out).of(crops)
    for row, clip in enumerate(crops.ids):
        own = stored(heard, clip)
        assert len(own) < found.shape[1]
        assert torch.equal(found[row, : len(own)], own)
        assert torch.equal(found[row, len(own) :], own[-1:].expand(found.shape[1] - len(own), -1))


def test_prematched_frames_are_means_of_the_speakers_other_clips(heard: Path) -> None:
    clips = [clip for clip in read_index(heard) if clip.speaker == "bob"]
    own, *others = (stored(heard, clip.id).double().numpy() for clip in clips)
    matching = np.concatenate(others)
    likeness = (own @ matching.T) / np.linalg.norm(matching, axis=1)
    expected = matching[np.argsort(-likeness, axis=1)[:, :4]].mean(axis=1)
    np.testing.assert_allclose(stored(heard, clips[0].id, "-prematched").numpy(), expected, atol=5e-3)


def test_a_second_run_makes_what_is_missing(heard: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(heard, root)
    gone = next(clip.id for clip in read_index(root))
    (root / FOLDER / SIGNED / f"{gone}.safetensors").unlink()
    (root / FOLDER / f"{SIGNED}-prematched" / f"{gone}.safetensors").write_bytes(b"cut short")
    assert prepare_frames(root, encoder(), CPU) == Prepared(made=1, clips=12)
    assert prematch(root, encoder(), CPU) == Prepared(made=1, clips=12)
    assert torch.equal(stored(root, gone), stored(heard, gone))


def test_a_speaker_with_one_clip_keeps_its_frames(heard: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(heard, root)
    lines = (root / "index.jsonl").read_text().splitlines(keepends=True)
    (root / "index.jsonl").write_text(lines[0])
    (only,) = read_index(root)
    assert prematch(root, encoder(), CPU) == Prepared(made=1, clips=1, alone=1)
    assert torch.equal(stored(root, only.id, "-prematched"), stored(root, only.id))


def test_missing_frames_say_what_to_run(prepared: Path, heard: Path, tmp_path: Path) -> None:
    spec = encoder().spec_out
    with pytest.raises(TrainingError, match=r"has no frames .* timbrel teach .* --content CHECKPOINT first"):
        Frames(prepared, spec)
    with pytest.raises(TrainingError, match=r"no prematched frames .* --content CHECKPOINT --prematch first"):
        Frames(prepared, spec, prematched=True)
    root = tmp_path / "corpus"
    shutil.copytree(heard, root)
    data = Data(root, DataRecipe(str(root), batch=4, seconds=0.6), "train", seed=0)
    for file in (root / FOLDER / SIGNED).glob("*/*"):
        file.unlink()
    with pytest.raises(TrainingError, match="missing or damaged"):
        Frames(root, spec).of(data.batch(0).source)


def test_crops_shorter_than_a_frame_are_refused(heard: Path) -> None:
    data = Data(heard, DataRecipe(str(heard), batch=2, seconds=0.03), "train", seed=0)
    with pytest.raises(TrainingError, match=r"raise data\.seconds"):
        Frames(heard, encoder().spec_out).of(data.batch(0).source)


def test_the_command(prepared: Path, tmp_path: Path, write_content: Callable[[Path], Path]) -> None:
    root, content = tmp_path / "corpus", write_content(tmp_path / "small-wavlm")
    shutil.copytree(prepared, root)
    command = ["teach", str(root), "--content", str(content), "--prematch", "--device", "cpu"]
    first, second = CliRunner().invoke(app, command), CliRunner().invoke(app, command)
    assert "small-wavlm heard 12 of 12 clips" in first.output
    assert "12 of 12 clips prematched" in first.output
    assert "small-wavlm heard 0 of 12 clips" in second.output
    refused = CliRunner().invoke(app, ["teach", str(root), "--prematch", "--resemblyzer", "file"])
    assert "--prematch belongs to --content" in str(refused.exception)
