"""Training by `accelerate launch` on two processes equals that of one with the joint batch.

The sums of gradients and code statistics come in another order, so equality is to 1e-4 relative.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from timbrel.train import log, loop, state
from timbrel.train import recipe as recipes

Start = Callable[..., "subprocess.Popen[str]"]
LAUNCH = "--multi_gpu --num_processes 2 --main_process_port 0"
#: Figures of a batch that are no mean over its halves.
NOT_ADDITIVE = {"perplexity", "kind", "seconds"}


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def assert_same_tensors(one: Path, two: Path) -> None:
    mine, theirs = load_file(one / "training.safetensors"), load_file(two / "training.safetensors")
    assert mine.keys() == theirs.keys()
    assert any(key.endswith("ema_sum") for key in mine)
    for key, value in mine.items():
        torch.testing.assert_close(
            theirs[key], value, rtol=1e-4, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}"
        )


def assert_same_logs(one: Path, two: Path) -> None:
    mine, theirs = log.read(one), log.read(two)
    assert [(row["kind"], row["step"]) for row in theirs] == [(row["kind"], row["step"]) for row in mine]
    for before, now in zip(mine, theirs, strict=True):
        assert before.keys() == now.keys()
        for name in before.keys() - NOT_ADDITIVE:
            assert now[name] == pytest.approx(before[name], rel=1e-4, abs=1e-6), name


def test_two_processes_train_what_one_trains_on_the_joint_batch(
    write_recipe: Callable[..., Path], tmp_path: Path, start_timbrel: Start, one_thread: None
) -> None:
    recipe, one, two = write_recipe(steps=6, save_every=1, keep=9), tmp_path / "one", tmp_path / "two"
    process = start_timbrel("train", recipe, "--cpu", "--out", two, launch=LAUNCH)
    loop.run(recipes.load(recipe), one, cpu=True)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    # Each step's checkpoint is written once, by the first process.
    assert [step for _, step in state.found(two)] == [1, 2, 3, 4, 5, 6]
    assert not list(two.glob(".*"))
    # Adam's first mean is a tenth of the first gradient, so this compares gradients as such.
    first = [load_file(out / "step-00000001/training.safetensors") for out in (one, two)]
    gradients = [key for key in first[0] if key.endswith("exp_avg")]
    assert any(first[0][key].abs().max() > 1e-4 for key in gradients)
    for key in gradients:
        torch.testing.assert_close(first[1][key], first[0][key], rtol=1e-4, atol=1e-7)
    for step in (1, 6):
        assert_same_tensors(one / f"step-{step:08d}", two / f"step-{step:08d}")
    assert_same_logs(one, two)


def test_a_run_of_two_processes_goes_on_in_one(
    write_recipe: Callable[..., Path], tmp_path: Path, start_timbrel: Start, one_thread: None
) -> None:
    recipe, one, two = write_recipe(steps=6, save_every=3), tmp_path / "one", tmp_path / "two"
    half = write_recipe().with_name("half.toml")
    half.write_text(recipe.read_text().replace("steps = 6", "steps = 3"))
    process = start_timbrel("train", half, "--cpu", "--out", two, launch=LAUNCH)
    loop.run(recipes.load(half), one, cpu=True)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    for out in (one, two):
        loop.run(recipes.load(recipe), out, resume=True, accept_changes=True, cpu=True)
    assert_same_tensors(one / "final", two / "final")
    assert_same_logs(one, two)


def test_a_launch_that_starts_one_process_only_is_refused(
    write_recipe: Callable[..., Path], tmp_path: Path, start_timbrel: Start
) -> None:
    out = tmp_path / "out"
    process = start_timbrel("train", write_recipe(), "--out", out, launch="--cpu --num_processes 2")
    _, said = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "put --multi_gpu in place of --cpu" in said
    assert not out.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="with GPUs the processes find each other")
def test_processes_that_do_not_know_of_each_other_are_refused(
    write_recipe: Callable[..., Path], tmp_path: Path, start_timbrel: Start
) -> None:
    """Each would train the whole and write over the other."""
    process = start_timbrel("train", write_recipe(), "--out", tmp_path / "out", launch=LAUNCH)
    _, said = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "put --cpu behind `timbrel train`" in said
    assert not (tmp_path / "out").exists()
