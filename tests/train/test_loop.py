"""What the loop promises of any task: stepping, clipping, saving, stopping."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.train import toy

from timbrel import checkpoint
from timbrel.errors import CheckpointError, ConfigError, CorpusError, TrainingError
from timbrel.train import log, loop, recipe, state, tasks
from timbrel.train.data import Data
from timbrel.train.recipe import OptimizerRecipe, Recipe

RATE, DECAY = 0.1, 0.5


@pytest.fixture
def make_recipe(write_recipe: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recipe]:
    """A recipe for the toy task, with overrides."""
    monkeypatch.setitem(tasks.TASKS, "toy", toy.__name__)

    def make(*overrides: str) -> Recipe:
        rate = [f"optimizer.{name}.learning_rate={RATE}" for name in ("first", "second")]
        decay = [f"optimizer.{name}.weight_decay={DECAY}" for name in ("first", "second")]
        plain = write_recipe()
        text = plain.read_text()
        plain.write_text(text[: text.index("[optimizer")])
        return recipe.load(plain, ["task=toy", *rate, *decay, *overrides])

    return make


MakeRecipe = Callable[..., Recipe]


class Recorder:
    """A screen that remembers; at step `kill_at` it sends this process a signal."""

    def __init__(self, kill_at: int = 0, number: int = signal.SIGINT) -> None:
        self.said: list[str] = []
        self.kill_at, self.number = kill_at, number

    def say(self, text: str) -> None:
        self.said.append(text)

    def step(self, done: int, steps: int, figures: Mapping[str, float]) -> None:
        if done == self.kill_at:
            os.kill(os.getpid(), self.number)


def test_each_update_steps_its_own_network_with_its_own_gradient(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    """AdamW by hand (Loshchilov & Hutter 2019, algorithm 2).

    In its first step Adam moves each weight by the rate against the sign of its gradient, whatever
    its size; decay takes rate * decay of the weight. In the second step the first network's
    gradient is the second network's weight, and the moments show whether it was that alone.
    """
    out = loop.run(make_recipe("run.steps=2", "optimizer.first.clip=0.5"), tmp_path / "out")
    tensors = load_file(out / "training.safetensors")
    first, second = 2.0, 3.0
    moments = {"first": [0.0, 0.0], "second": [0.0, 0.0]}
    for step in (1, 2):
        for name in ("first", "second"):
            # d(second * first)/d(first) = second, clipped to 0.5; d(second^2)/d(second) = 2 second.
            gradient = min(second, 0.5) if name == "first" else 2 * second
            mean, square = moments[name]
            mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
            moments[name] = [mean, square]
            move = RATE * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
            if name == "first":
                first = first * (1 - RATE * DECAY) - move
            else:
                second = second * (1 - RATE * DECAY) - move
    assert tensors["network/first/weight"].item() == pytest.approx(first, rel=1e-6)
    assert tensors["network/second/weight"].item() == pytest.approx(second, rel=1e-6)
    assert tensors["optimizer/second/0/exp_avg"].item() == pytest.approx(moments["second"][0], rel=1e-5)


def test_checkpoints_are_named_by_links_and_old_ones_removed(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    figures = "settings.validation=[3.0, 1.0, 2.0, 4.0]"
    settings = make_recipe("run.steps=8", "run.save_every=2", "run.validate_every=2", "run.keep=2", figures)
    out = tmp_path / "out"
    assert loop.run(settings, out) == out / "step-00000008"
    kept = sorted(path.name for path in out.glob("step-*"))
    assert kept == ["step-00000004", "step-00000006", "step-00000008"]
    pointing = {name: (out / name).readlink().name for name in ("last", "best", "final")}
    assert pointing == {"last": kept[2], "best": kept[0], "final": kept[2]}
    assert not list(out.glob(".*"))


def test_a_checkpoint_can_be_used_and_says_where_it_comes_from(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    out = loop.run(make_recipe("licence=CC0"), tmp_path / "out")
    found = checkpoint.read(out)
    assert (found.family, found.name) == ("griffin_lim", "tiny")
    assert set(checkpoint.load_tensors(found)) == {"weight"}
    assert found.provenance["licence"] == "CC0"
    assert found.provenance["step"] == 6
    assert found.provenance["data"]["clips"] == 11
    assert found.provenance["recipe"]["run"]["steps"] == 6
    assert found.provenance["measured"] == {"best_loss": 1.0}


def test_the_log_has_losses_and_rates_by_step(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    loop.run(make_recipe("run.log_every=2", "optimizer.first.warmup=4"), tmp_path / "out")
    rows = log.read(tmp_path / "out")
    train = [row for row in rows if row["kind"] == "train"]
    assert [row["step"] for row in train] == [2, 4, 6]
    assert [row["rate_first"] for row in train] == pytest.approx([RATE / 2, RATE, RATE])
    assert {"loss", "gradient_first", "gradient_second", "draw"} <= set(train[0])
    assert [(row["step"], row["loss"], row["clips"]) for row in rows if row["kind"] == "validation"] == [
        (3, 1.0, 4.0),
        (6, 1.0, 4.0),
    ]
    assert list((tmp_path / "out/tensorboard").iterdir())


@pytest.mark.parametrize(("setting", "what"), [("nan_at", "loss"), ("infinite_gradient_at", "gradient")])
def test_nan_stops_the_run_and_leaves_the_last_good_checkpoint(
    make_recipe: MakeRecipe, tmp_path: Path, setting: str, what: str
) -> None:
    out = tmp_path / "out"
    with pytest.raises(TrainingError) as raised:
        loop.run(make_recipe(f"settings.{setting}=4"), out)
    message = str(raised.value)
    assert f"The {what} of first is nan at step 4, in the batch of clips" in message
    assert f"the last good checkpoint is {out / 'step-00000003'}" in message
    # The batch of two clips is named, and it is that of step 4.
    settings = make_recipe()
    data = Data(Path(settings.data.corpus), settings.data, "train", settings.run.seed)
    assert all(clip in message for clip in data.batch(4).source.ids)
    assert (out / "last").readlink().name == "step-00000003"
    weights = load_file(out / "last/training.safetensors")
    assert all(torch.isfinite(value).all() for value in weights.values())
    # Without the trouble the run goes on from there.
    assert loop.run(make_recipe(), out, resume=True, accept_changes=True).name == "step-00000006"


def test_early_stopping_waits_for_its_patience(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    figures = "settings.validation=[3.0, 2.0, 2.5, 2.0, 9.0, 9.0]"
    settings = make_recipe("run.steps=50", "run.validate_every=2", "run.patience=2", figures)
    out, screen = tmp_path / "out", Recorder()
    assert loop.run(settings, out, screen=screen).name == "step-00000008"
    assert (out / "best").readlink().name == "step-00000004"
    assert (out / "final").readlink().name == "step-00000008"
    assert any("has not improved on 2.0 of step 4 in 2 validations" in text for text in screen.said)


def test_a_figure_that_is_no_number_is_never_best(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    loop.run(make_recipe("settings.validation=[2.0, nan]"), tmp_path / "out")
    assert (tmp_path / "out/best").readlink().name == "step-00000003"
    row = log.read(tmp_path / "out")[-1]
    assert (row["kind"], row["loss"]) == ("validation", None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_a_resumed_run_ends_like_an_uninterrupted_one(
    make_recipe: MakeRecipe, tmp_path: Path, number: int
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    screen = Recorder(kill_at=4, number=number)
    assert loop.run(make_recipe(), one, screen=screen).name == "step-00000004"
    assert "stopped at step 4" in screen.said[-1]
    assert not (one / "final").exists()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    screen = Recorder()
    loop.run(make_recipe(), one, resume=True, screen=screen)
    loop.run(make_recipe(), two)
    # The newest of steps 3 and 4.
    assert any("step-00000004: at step 4 it is the newest of 2 checkpoints" in text for text in screen.said)
    assert (one / "final/training.safetensors").read_bytes() == (
        two / "final/training.safetensors"
    ).read_bytes()
    assert untimed(one) == untimed(two)


def untimed(out: Path) -> list[dict[str, object]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in log.read(out)]


def test_when_its_minutes_are_over_a_run_saves_and_can_be_resumed(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    settings = make_recipe()
    stopped = loop.run(settings, tmp_path / "parts", minutes=1e-9)
    assert stopped.name == "step-00000001"
    assert not (tmp_path / "parts" / "final").exists()
    loop.run(settings, tmp_path / "parts", resume=True, minutes=60.0)
    loop.run(settings, tmp_path / "whole")
    both = [load_file(tmp_path / name / "final" / "training.safetensors") for name in ("parts", "whole")]
    assert all(torch.equal(both[0][key], tensor) for key, tensor in both[1].items())


def test_processes_that_cannot_share_a_batch_are_told_which_they_can() -> None:
    loop._require_shares(6, 3)
    with pytest.raises(ConfigError, match=r"divide among 4 processes: --set data\.batch=8"):
        loop._require_shares(6, 4)


def test_a_run_that_is_stopped_in_its_last_step_is_done(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    screen = Recorder(kill_at=6)
    assert loop.run(make_recipe(), tmp_path / "out", screen=screen).name == "step-00000006"
    assert (tmp_path / "out/final").readlink().name == "step-00000006"
    assert not any("--resume" in text for text in screen.said)


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan")])
def test_no_minutes_are_refused(make_recipe: MakeRecipe, tmp_path: Path, minutes: float) -> None:
    with pytest.raises(ConfigError, match="minutes to train for must be above 0"):
        loop.run(make_recipe(), tmp_path / "out", minutes=minutes)
    assert not (tmp_path / "out").exists()


def test_a_resumed_run_forgets_what_the_killed_one_logged_later(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    loop.run(make_recipe("run.steps=3"), out)
    with (out / log.LOG).open("a") as file:
        file.write('{"kind": "train", "step": 4, "seconds": 1.0, "loss": 77.0}\n{"kind": "tr')
    (out / ".step-00000004").mkdir()
    loop.run(make_recipe(), out, resume=True, accept_changes=True)
    rows = [row for row in log.read(out) if row["kind"] == "train"]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(row["loss"] != 77.0 for row in rows)
    assert not list(out.glob(".*"))


def test_the_step_is_read_from_metadata_not_from_the_name(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    out, screen = tmp_path / "out", Recorder(kill_at=4)
    loop.run(make_recipe(), out, screen=screen)
    (out / "step-00000003").rename(out / "step-99999999")
    (out / "step-00000004").rename(out / "mine")
    assert [(path.name, step) for path, step in state.found(out)] == [("step-99999999", 3), ("mine", 4)]
    screen = Recorder()
    assert loop.run(make_recipe(), out, resume=True, screen=screen).name == "step-00000006"
    assert f"resuming {out / 'mine'}: at step 4" in screen.said[0]


def test_another_monitor_starts_a_new_search_for_the_best(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    loop.run(make_recipe("run.steps=3"), out)
    assert (out / "best").readlink().name == "step-00000003"
    # The loss of 1 was best; the number of clips, 4, is more than that.
    loop.run(make_recipe("run.monitor=clips"), out, resume=True, accept_changes=True)
    assert (out / "best").readlink().name == "step-00000006"


def test_a_changed_recipe_is_named_and_refused(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    loop.run(make_recipe(), out)
    changed = make_recipe("run.steps=9", "optimizer.first.clip=1.0")
    with pytest.raises(
        TrainingError, match=r"optimizer.first.clip was 0.0 and is 1.0; run.steps was 6 and is 9"
    ):
        loop.run(changed, out, resume=True)
    assert loop.run(changed, out, resume=True, accept_changes=True).name == "step-00000009"
    assert state.read(out / "last").recipe["run"]["steps"] == 9


def test_a_folder_with_a_run_is_not_overwritten(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    loop.run(make_recipe(), tmp_path / "out")
    with pytest.raises(TrainingError, match="holds a run already, at step 6: go on with --resume"):
        loop.run(make_recipe(), tmp_path / "out")
    with pytest.raises(TrainingError, match="no checkpoint to resume"):
        loop.run(make_recipe(), tmp_path / "other", resume=True)


def test_a_full_disk_loses_no_earlier_checkpoint(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write = tmp_path / "out", save_file

    def fill(tensors: dict[str, torch.Tensor], path: Path) -> None:
        if "00000006" in str(path):
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        write(tensors, path)

    monkeypatch.setattr("timbrel.train.state.save_file", fill)
    with pytest.raises(CheckpointError, match=r"No space left.*earlier checkpoints are intact"):
        loop.run(make_recipe("run.validate_every=0"), out)
    assert [step for _, step in state.found(out)] == [3]
    assert not list(out.glob(".*"))
    monkeypatch.undo()
    monkeypatch.setitem(tasks.TASKS, "toy", toy.__name__)
    loop.run(make_recipe("run.validate_every=0"), out, resume=True)


@pytest.mark.parametrize("damaged", ["state.json", "training.safetensors"])
def test_a_damaged_checkpoint_is_named(make_recipe: MakeRecipe, tmp_path: Path, damaged: str) -> None:
    out = tmp_path / "out"
    path = loop.run(make_recipe(), out) / damaged
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(CheckpointError, match=rf"{damaged} is missing or damaged.*remove .*step-00000006"):
        loop.run(make_recipe(), out, resume=True)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "optimizer.third.learning_rate=1.0",
            "optimizer.third: the task toy has no such network, but first, second",
        ),
        ("task=wqvc", 'no task "wqvc": those that exist are'),
        ("settings.nan=3", 'settings: unknown key "nan"'),
        ("run.monitor=beauty", 'run.monitor "beauty" is not validated; loss, clips are'),
    ],
)
def test_a_recipe_that_does_not_fit_its_task_is_refused(
    make_recipe: MakeRecipe, tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        loop.run(make_recipe(override), tmp_path / "out")


def test_a_network_without_optimizer_is_named(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    settings = make_recipe()
    only = {"first": OptimizerRecipe(0.1)}
    settings = replace(settings, optimizer=only)
    with pytest.raises(ConfigError, match=r"optimizer\.second is missing: the task toy trains it"):
        loop.run(settings, tmp_path / "out")


def test_without_clips_to_validate_on_training_goes_on(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    screen = Recorder()
    loop.run(make_recipe("data.validation=none"), tmp_path / "out", screen=screen)
    assert any("no clips with split 'none'" in text for text in screen.said)
    assert not (tmp_path / "out/best").exists()


def test_state_is_readable_json(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    path = loop.run(make_recipe(), tmp_path / "out")
    found = json.loads((path / "state.json").read_text())
    assert (found["step"], found["best"], found["best_step"], found["stale"]) == (6, 1.0, 3, 1)


def test_a_run_that_cannot_begin_leaves_no_folder(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"absent is no prepared corpus"):
        loop.run(make_recipe(f"data.corpus={tmp_path / 'absent'}"), tmp_path / "out", cpu=True)
    assert not (tmp_path / "out").exists()
