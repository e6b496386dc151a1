"""What a run has saved outlives whatever ends it: a kill at any moment, a full disk, a bad batch."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from timbrel import checkpoint
from timbrel.config import to_toml
from timbrel.train import log, state

Start = Callable[..., "subprocess.Popen[str]"]
COMMAND = "tests.train.command"


@pytest.fixture
def toy_recipe(prepared: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a recipe for the toy; arguments replace keys of its [run] table."""

    def write(settings: dict[str, object] | None = None, **run: object) -> Path:
        optimizer = {"learning_rate": 0.1, "weight_decay": 0.0}
        tables: dict[str, object] = {
            "name": "toy",
            "task": "toy",
            "data": {"corpus": str(prepared), "batch": 2, "seconds": 0.5},
            "run": {"steps": 40, "log_every": 1, "save_every": 1, "validate_every": 4, **run},
            "optimizer": {
                "first": {**optimizer, "schedule": "exponential", "half_life": 7},
                "second": {**optimizer, "schedule": "cosine", "warmup": 3},
            },
            "settings": settings or {},
        }
        path = tmp_path / "toy.toml"
        path.write_text(to_toml(tables), encoding="utf-8")
        return path

    return write


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=300)
    return process.returncode, said


def last_step(out: Path) -> int:
    return max((step for _, step in state.found(out)), default=0)


def newest_name(out: Path) -> int:
    """The step in a name: while a run goes on, a folder may vanish before it is read."""
    return max((int(path.name.removeprefix("step-")) for path in out.glob("step-*")), default=0)


def wait_until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    while process.poll() is None and not condition():
        time.sleep(0.002)


def assert_all_intact(out: Path) -> None:
    """Whatever calls itself a checkpoint is one, to the last tensor."""
    for path, step in state.found(out):
        assert checkpoint.read(path).provenance["step"] == step
        assert checkpoint.load_tensors(checkpoint.read(path))
        assert load_file(path / state.TENSORS)


def untimed(out: Path) -> list[dict[str, object]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in log.read(out)]


def same_run(one: Path, two: Path) -> bool:
    files = [(out / "final" / state.TENSORS).read_bytes() for out in (one, two)]
    return files[0] == files[1] and untimed(one) == untimed(two)


def test_kills_at_any_moment_lose_nothing_saved(
    toy_recipe: Callable[..., Path], tmp_path: Path, start_timbrel: Start
) -> None:
    """Checkpoints at every step, so that most kills fall into the writing of one."""
    recipe, killed, whole = toy_recipe(steps=150, keep=3), tmp_path / "killed", tmp_path / "whole"
    reference = start_timbrel("train", recipe, "--out", whole, module=COMMAND)
    pauses = random.Random(0)
    for attempt in range(2):
        options = ["--resume"] if attempt else []
        before = last_step(killed)
        process = start_timbrel("train", recipe, "--out", killed, *options, module=COMMAND)
        wait_until(process, lambda before=before: newest_name(killed) >= before + 10)
        time.sleep(pauses.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert before + 10 <= last_step(killed) < 150
        assert_all_intact(killed)
    newest, step = state.found(killed)[-1]
    newest.rename(killed / "step-99999999")
    code, said = end(start_timbrel("train", recipe, "--out", killed, "--resume", module=COMMAND))
    assert code == 0, said
    assert f"resuming {killed / 'step-99999999'}: at step {step} it is the newest of" in said
    assert end(reference)[0] == 0
    assert same_run(killed, whole)
    # Nothing half-written is left.
    assert not list(killed.glob(".*"))


def test_a_kill_in_the_middle_of_a_checkpoint_changes_nothing_of_the_run(
    toy_recipe: Callable[..., Path], tmp_path: Path, start_timbrel: Start
) -> None:
    """Not when it stops early: the validated weight passes its best value after about 10 steps."""
    recipe = toy_recipe({"best_second": 2.2}, steps=500, validate_every=2, patience=4)
    out, whole = tmp_path / "out", tmp_path / "whole"
    reference = start_timbrel("train", recipe, "--out", whole, module=COMMAND)
    dies = {"TIMBREL_TEST_DIES_AT": "00000014"}
    assert end(start_timbrel("train", recipe, "--out", out, module=COMMAND, **dies))[0] == -signal.SIGKILL
    assert (out / ".step-00000014" / state.TENSORS).exists()  # half of it
    assert (last_step(out), (out / "last").readlink().name) == (13, "step-00000013")
    assert_all_intact(out)
    progress = state.read(out / "last")
    assert 0 < progress.best_step < 13
    assert progress.stale > 0
    code, said = end(start_timbrel("train", recipe, "--out", out, "--resume", module=COMMAND))
    assert code == 0
    # Four validations after the best one, of which some were before the kill.
    stop = progress.best_step + 8
    assert f"stopping at step {stop}: loss has not improved" in said
    links = {name: (out / name).readlink().name for name in ("best", "final")}
    assert links == {"best": f"step-{progress.best_step:08d}", "final": f"step-{stop:08d}"}
    assert end(reference)[0] == 0
    assert same_run(out, whole)
    assert not list(out.glob(".*"))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux to fill the disk of a process")
@pytest.mark.parametrize("largest", [0, 12_000])
def test_a_full_disk_ends_a_run_in_one_sentence(
    write_recipe: Callable[..., Path],
    tmp_path: Path,
    start_timbrel: Start,
    monkeypatch: pytest.MonkeyPatch,
    largest: int,
) -> None:
    """No file of the process may grow beyond so many bytes: first the log fails, or a checkpoint."""
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)  # coverage would find the disk full as well, and say so at length
    out, recipe = tmp_path / "out", write_recipe(steps=100_000, save_every=2, keep=2, validate_every=0)
    process = start_timbrel("train", recipe, "--out", out)
    wait_until(process, lambda: newest_name(out) >= 2)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest, largest))
    code, said = end(process)
    sentence = said.splitlines()[-1]
    assert (code, "Traceback" in said) == (2, False)
    assert sentence.startswith("timbrel: ")
    assert "cannot be written: " in sentence and "intact" in sentence
    assert last_step(out) >= 2
    assert_all_intact(out)
    assert not list(out.glob(".step-*"))


def test_a_loss_that_is_no_number_ends_a_run_in_one_sentence(
    toy_recipe: Callable[..., Path], prepared: Path, tmp_path: Path, start_timbrel: Start
) -> None:
    recipe, out = toy_recipe({"nan_at": 5}, save_every=2), tmp_path / "out"
    code, said = end(start_timbrel("train", recipe, "--out", out, module=COMMAND))
    sentence = said.splitlines()[-1]
    assert (code, "Traceback" in said) == (2, False)
    assert "The loss of first is nan at step 5, in the batch of clips " in sentence
    known = {json.loads(line)["id"] for line in (prepared / "index.jsonl").read_text().splitlines()}
    assert set(sentence.partition("clips ")[2].partition(";")[0].split(", ")) <= known
    assert f"the last good checkpoint is {out / 'step-00000004'}" in sentence
    assert_all_intact(out)
