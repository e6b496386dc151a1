"""Real runs of the real command, killed, interrupted and resumed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from timbrel.cli.app import app
from timbrel.errors import ConfigError, TrainingError
from timbrel.train import log, loop, state
from timbrel.train import recipe as recipes

Start = Callable[..., "subprocess.Popen[str]"]


pytestmark = pytest.mark.usefixtures("one_thread")


def wait_for(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    while process.poll() is None and not condition():
        time.sleep(0.005)


def untimed(out: Path) -> list[dict[str, object]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in log.read(out)]


def test_a_run_killed_and_resumed_equals_the_uninterrupted_one_to_the_bit(
    write_recipe: Callable[..., Path], tmp_path: Path, start_timbrel: Start
) -> None:
    recipe = write_recipe(steps=60, save_every=10, validate_every=20)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = start_timbrel("train", recipe, "--out", killed)
    wait_for(process, (killed / "step-00000020").exists)
    process.send_signal(signal.SIGKILL)
    process.wait()
    last = max(row["step"] for row in log.read(killed))
    assert 20 <= last < 60
    resumed = start_timbrel("train", recipe, "--out", killed, "--resume")
    loop.run(recipes.load(recipe), whole)
    _, said = resumed.communicate(timeout=300)
    assert resumed.returncode == 0
    assert "resuming" in said
    for name in ("model.safetensors", "training.safetensors"):
        assert (killed / "final" / name).read_bytes() == (whole / "final" / name).read_bytes()
    assert (killed / "best").readlink() == (whole / "best").readlink()
    assert untimed(killed) == untimed(whole)


def test_ctrl_c_saves_and_exits_with_0(
    write_recipe: Callable[..., Path], tmp_path: Path, start_timbrel: Start
) -> None:
    out = tmp_path / "out"
    process = start_timbrel("train", write_recipe(steps=100_000, save_every=50_000), "--out", out)
    wait_for(process, lambda: bool(log.read(out)))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0
    ((path, step),) = state.found(out)
    assert (out / "last").resolve() == path
    assert log.read(out)[-1]["step"] <= step
    assert f"stopped at step {step}; go on with --resume" in said


def test_a_recipe_with_an_unknown_key_writes_nothing(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r'unknown key "run\.stepz"'):
        app(
            ["train", str(write_recipe()), "--set", "run.stepz=3", "--out", str(tmp_path / "out")],
            standalone_mode=False,
        )
    assert not (tmp_path / "out").exists()


def test_training_without_its_extra_says_what_to_install(
    write_recipe: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(TrainingError, match=r'accelerate: install it with pip install "timbrel\[train\]"'):
        app(["train", str(write_recipe())], standalone_mode=False)
