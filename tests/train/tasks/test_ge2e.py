"""Speaker encoders trained with the GE2E loss, in runs of a few seconds."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from timbrel import checkpoint, registry
from timbrel.config import to_toml
from timbrel.contract import EmbeddingSpec
from timbrel.errors import ConfigError, TrainingError
from timbrel.models.ge2e import DVector
from timbrel.train import log, loop
from timbrel.train.data import Data
from timbrel.train.recipe import DataRecipe, load
from timbrel.train.tasks.ge2e import GE2ETask, Settings, build

LAUNCH = "--multi_gpu --num_processes 2 --main_process_port 0"
TINY = {"layers": 1, "width": 16, "embedding_dim": 8}


@pytest.fixture(scope="module")
def corpus(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up voices, half of each speaker's clips held out."""
    root = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("grid") / "corpus"))
    clips = [json.loads(line) for line in (root / "index.jsonl").read_text().splitlines()]
    for clip in clips:
        clip["split"] = "dev" if clip["id"].endswith(("2", "3")) else "train"
    (root / "index.jsonl").write_text("".join(json.dumps(clip) + "\n" for clip in clips))
    return root


def grid(corpus: Path, **changes: Any) -> DataRecipe:
    tables = {"batch": 6, "seconds": 0.8, "balance": "grid", "utterances_per_speaker": 2, **changes}
    return DataRecipe(str(corpus), **tables)


def task(corpus: Path, **settings: Any) -> tuple[GE2ETask, Data]:
    data = Data(corpus, grid(corpus), "train", 0)
    torch.manual_seed(0)
    return build(Settings(model=TINY, least_seconds=0.5, **settings), data), data


# New embeddings are all alike, where the sigmoids of the contrast form would be flat with an offset of -5.
@pytest.mark.parametrize(("form", "offset"), [("softmax", -5.0), ("contrast", -10.0)])
def test_it_learns_to_tell_the_speakers_apart(corpus: Path, form: Any, offset: float) -> None:
    learner, data = task(corpus, form=form, offset=offset)
    unseen = [Data(corpus, grid(corpus), "dev", 0).batch(index) for index in range(2)]
    with torch.no_grad():
        before = learner.validate(unseen)
    optimizer = torch.optim.Adam(learner.trained.parameters(), 1e-2)
    for step in range(30):
        update = next(learner.updates(data.batch(step), step, torch.Generator()))
        update.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        learner.after_step(step)
    with torch.no_grad():
        after = learner.validate(unseen)
    assert after["loss"] < 0.6 * before["loss"]
    assert after["equal_error_rate"] < 0.1


def test_the_crops_of_a_step_have_one_random_length(corpus: Path) -> None:
    learner, data = task(corpus)
    lengths = [learner._length(12800, step) for step in range(300)]
    assert lengths == [learner._length(12800, step) for step in range(300)]
    assert 8000 <= min(lengths) < 8200
    assert 12600 < max(lengths) <= 12800
    crops = data.batch(0).source
    heard: list[torch.Size] = []
    learner.model.register_forward_hook(lambda _, inputs, __: heard.append(inputs[0].shape))
    learner.embed(crops, 9000)
    assert heard == [(6, 1 + 9000 // 256, 80)]


def test_short_clips_are_repeated_rather_than_padded(corpus: Path) -> None:
    learner, _ = task(corpus)
    long = Data(corpus, grid(corpus, seconds=3.0), "train", 0).batch(0).source
    length, audio = int(long.lengths[0]), long.audio[:1].clone()
    assert length < 2 * 16000 < 2 * length
    audio[0, length : 2 * length] = audio[0, : 48000 - length][:length]
    with torch.no_grad():
        expected = learner.embed(
            type(long)(long.ids[:1], audio, torch.tensor([48000]), *[long.f0[:1]] * 2, *[long.clips[:1]] * 3),
            2 * length,
        )
        torch.testing.assert_close(learner.embed(long, 2 * length)[:1], expected)


def recipe(corpus: Path, folder: Path, **tables: Any) -> Path:
    """A tiny recipe; each table replaces keys of one of the same name."""
    defaults: dict[str, dict[str, Any]] = {
        "data": {"corpus": str(corpus), "batch": 6, "seconds": 0.8, "balance": "grid"},
        "run": {"steps": 4, "log_every": 1, "save_every": 2, "validate_every": 2, "validation_batches": 1},
        "settings": {"model": TINY, "least_seconds": 0.5},
    }
    defaults["data"]["utterances_per_speaker"] = 2
    merged: dict[str, Any] = {name: {**table, **tables.get(name, {})} for name, table in defaults.items()}
    optimizer = {"model": {"learning_rate": 1e-2, "clip": 3.0}}
    path = folder / "tiny.toml"
    path.write_text(to_toml({"name": "tiny", "task": "ge2e", "optimizer": optimizer, **merged}))
    return path


@pytest.mark.parametrize(("encoder", "family"), [("lstm", "d-vector"), ("convgru", "convgru-embedder")])
def test_a_run_exports_an_encoder_and_draws_its_speakers(
    corpus: Path, tmp_path: Path, encoder: str, family: str
) -> None:
    sizes = TINY | ({"channels": 4} if encoder == "convgru" else {})
    changes = {"encoder": encoder, "model": sizes}
    file = recipe(corpus, tmp_path, run={"monitor": "equal_error_rate"}, settings=changes)
    path = loop.run(load(file), tmp_path / "run", cpu=True)
    stored = checkpoint.read(path)
    assert stored.family == family
    built: Any = registry.build(stored)
    assert isinstance(built.spec_out, EmbeddingSpec)
    assert built.spec_out.encoder == checkpoint.fingerprint(built.state_dict())
    assert not any("scale" in name for name in built.state_dict())
    rows = log.read(tmp_path / "run")
    assert 0 <= [row for row in rows if row["kind"] == "validation"][-1]["equal_error_rate"] <= 1
    assert rows[0]["scale"] == pytest.approx(10, abs=0.05)
    assert (tmp_path / "run/pictures/embeddings-00000004.png").stat().st_size > 1000


@pytest.mark.usefixtures("one_thread")
def test_a_killed_run_goes_on_as_if_nothing_had_been(
    corpus: Path, tmp_path: Path, start_timbrel: Callable[..., Any]
) -> None:
    file = recipe(corpus, tmp_path, run={"steps": 40, "save_every": 10, "validate_every": 20})
    process = start_timbrel("train", file, "--cpu", "--out", tmp_path / "killed")
    deadline = time.monotonic() + 300
    while process.poll() is None and not (tmp_path / "killed/step-00000010").exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed/final").exists()
    loop.run(load(file), tmp_path / "killed", resume=True, cpu=True)
    loop.run(load(file), tmp_path / "whole", cpu=True)
    for name in ("model.safetensors", "training.safetensors"):
        one, two = (tmp_path / run / "final" / name for run in ("killed", "whole"))
        assert one.read_bytes() == two.read_bytes()


def test_two_processes_compare_all_speakers(
    corpus: Path, tmp_path: Path, start_timbrel: Callable[..., Any]
) -> None:
    # A batch of three speakers: the second one's utterances are in different processes.
    file = recipe(corpus, tmp_path)
    two = start_timbrel("train", file, "--cpu", "--out", tmp_path / "two", launch=LAUNCH)
    loop.run(load(file), tmp_path / "one", cpu=True)
    _, said = two.communicate(timeout=300)
    assert two.returncode == 0, said
    one, both = (load_file(tmp_path / name / "final/training.safetensors") for name in ("one", "two"))
    assert one.keys() == both.keys()
    for key, value in one.items():
        torch.testing.assert_close(both[key], value, rtol=1e-3, atol=1e-5)
    losses = [[row["loss"] for row in log.read(tmp_path / name)] for name in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_what_does_not_fit_is_refused(corpus: Path) -> None:
    data = Data(corpus, grid(corpus), "train", 0)
    with pytest.raises(TrainingError, match="needs 22050 Hz: prepare it with --sample-rate 22050"):
        build(Settings(encoder="gru"), data)
    with pytest.raises(ConfigError, match=r"least_seconds must lie above 0 and within data.seconds = 0\.8"):
        build(Settings(model=TINY), data)
    with pytest.raises(ConfigError, match=r"unknown key \"wide\""):
        build(Settings(model={"wide": 3}), data)
    plain = Data(corpus, DataRecipe(str(corpus), batch=6, seconds=2.0), "train", 0)
    with pytest.raises(ConfigError, match=r'needs data\.balance = "grid"'):
        build(Settings(model=TINY), plain)
    single = Data(corpus, grid(corpus, utterances_per_speaker=1, batch=3, seconds=2.0), "train", 0)
    with pytest.raises(ConfigError, match=r"at least 2 data\.utterances_per_speaker"):
        build(Settings(model=TINY), single)


def test_the_published_encoder_is_the_default(corpus: Path) -> None:
    data = Data(corpus, grid(corpus, seconds=2.0), "train", 0)
    encoder = build(Settings(), data).model
    assert isinstance(encoder, DVector)
    assert encoder.config == DVector.Config()
