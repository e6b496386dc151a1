"""Every part of the bundled model again, by one command that can be stopped anywhere."""

from __future__ import annotations

import importlib.util
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.methods.making import speechlike
from typer.testing import CliRunner

from timbrel import checkpoint, registry
from timbrel.audio.io import Waveform
from timbrel.cli.app import app
from timbrel.errors import ConfigError, TrainingError
from timbrel.pipeline import VoiceConverter
from timbrel.train import recipe, remake
from timbrel.train.remake import SIZES, Plan

TRAININGS = [
    "timbrel-content",
    "timbrel-speaker",
    "timbrel-converter-start",
    "timbrel-converter",
    "timbrel-converter-guided",
]


def member(package: str, name: str) -> Path:
    """A file in an installed package; the test is skipped without it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"the package {package}, whose weights these are, is not installed")
    return Path(spec.submodule_search_locations[0]) / name


@pytest.fixture
def plan(raw_corpus: Path, tmp_path: Path) -> Plan:
    """Two steps of each training, with teachers that are no networks."""
    for name in ("encoder.ort", "pretrained.pt"):
        (tmp_path / name).write_bytes(b"no network")
    small = ("run.steps=2", "data.batch=2", "data.reference_seconds=0.8", "run.validate_every=0")
    files = tmp_path / "encoder.ort", tmp_path / "pretrained.pt"
    return Plan(raw_corpus, tmp_path / "made", *files, cpu=True, overrides=small)


def test_all_of_it_is_made_and_says_something(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    moonshine = member("moonshine_voice", "assets/tiny-en/encoder_model.ort")
    plan = replace(plan, moonshine=moonshine, resemblyzer=member("resemblyzer", "pretrained.pt"))
    said: list[str] = []
    made = remake.remake(plan, said.append)
    assert made == plan.out / "timbrel-one"
    assert [line.split()[2] for line in said if line.startswith("timbrel train")] == TRAININGS
    model = VoiceConverter.from_pretrained(made)
    source = Waveform(torch.from_numpy(speechlike(1.0)), 16000)
    voice = model.enrol(Waveform(torch.from_numpy(speechlike(1.5, pitch=210.0)), 16000))
    converted = model.convert(source, voice).waveform
    assert converted.shape == source.samples.shape
    assert bool(converted.isfinite().all()) and float(converted.abs().max()) > 0
    config = checkpoint.read(made / "converter").config
    shipped = checkpoint.read(registry.parts(checkpoint.read(registry.find("timbrel-one")))["converter"].path)
    for name in ("restore", "adopt", "contrast", "articulate", "guidance", "correction"):
        assert config[name] == shipped.config[name]
    # A second run trains nothing.
    said.clear()
    assert remake.remake(plan, said.append) == made
    assert not any(line.startswith("timbrel train") for line in said)
    assert "timbrel-one is there" in said


def test_the_larger_size_hears_twice_as_much_in_a_quarter_of_the_steps(plan: Plan) -> None:
    (usual,) = (
        stage for stage in remake.stages(replace(plan, overrides=())) if "/timbrel-converter/" in stage.made
    )
    larger = replace(plan, size=SIZES["gpu"], overrides=())
    (stage,) = (stage for stage in remake.stages(larger) if "/timbrel-converter/" in stage.made)

    def recipe_of(words: list[str]) -> recipe.Recipe:
        return recipe.load(words[1], [words[n + 1] for n, word in enumerate(words) if word == "--set"])

    before, now = recipe_of(usual.command(1.0)), recipe_of(stage.command(1.0))
    assert now.data.batch == 8 * before.data.batch
    heard = [one.run.steps * one.data.batch for one in (before, now)]
    assert heard[1] == pytest.approx(2 * heard[0], rel=0.01)
    assert now.settings["voice_after"] == before.settings["voice_after"] / 4
    assert now.optimizer["converter"].warmup == before.optimizer["converter"].warmup / 4


def test_minutes_are_what_is_left_of_them(plan: Plan) -> None:
    said: list[str] = []
    assert remake.remake(replace(plan, minutes=1e-6), said.append) is None
    assert said == ["the minutes are over; the same command goes on"]
    training = next(stage for stage in remake.stages(plan) if stage.together)
    words = training.command(12.345)
    assert words[words.index("--minutes") + 1] == "12.35"
    assert "--minutes" not in training.command(float("inf"))


def test_a_training_that_has_begun_is_resumed(plan: Plan, write_recipe: object) -> None:
    training = next(stage for stage in remake.stages(plan) if stage.together)
    assert "--resume" not in training.command(1.0)
    begun = plan.out / "runs" / "timbrel-content" / "step-00000001"
    begun.mkdir(parents=True)
    (begun / "state.json").write_text('{"recipe": {}, "step": 1}', encoding="utf-8")
    assert "--resume" in training.command(1.0)


def test_the_last_checkpoints_are_averaged(plan: Plan) -> None:
    run = plan.out / "runs" / "timbrel-converter-guided"
    for step in range(1, 6):
        (run / f"step-{step:08d}").mkdir(parents=True)
        (run / f"step-{step:08d}" / "state.json").write_text(
            f'{{"recipe": {{}}, "step": {step}}}', encoding="utf-8"
        )
    (stage,) = (stage for stage in remake.stages(plan) if stage.made == "converter")
    words = stage.command(1.0)
    assert words[1 : words.index("-o")] == [
        f"runs/timbrel-converter-guided/step-{step:08d}" for step in (5, 4, 3)
    ]


def test_several_processes_share_what_is_trained_and_nothing_else(plan: Plan) -> None:
    both = replace(plan, processes=2, overrides=(*plan.overrides, "data.batch=4"))
    for stage in remake.stages(both):
        command = remake._launched(both, stage, ["words"])
        assert ("--num_processes" in command) == stage.made.startswith("runs/")


def test_a_command_that_fails_says_which_and_leaves_the_rest(plan: Plan) -> None:
    with pytest.raises(TrainingError, match=r"timbrel teach ended with 2; what was made before is kept"):
        remake.remake(plan, lambda _: None)
    assert (plan.out / "prepared" / "report.json").is_file()
    assert not (plan.out / "runs").exists()


def test_what_cannot_be_is_refused_before_anything_is_made(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.ort: there is no such file of a teacher"):
        replace(plan, moonshine=tmp_path / "nowhere.ort")
    with pytest.raises(ConfigError, match="Processes and minutes must be above 0"):
        replace(plan, minutes=0.0)
    with pytest.raises(ConfigError, match="stepz"):
        remake.remake(replace(plan, overrides=("run.stepz=3",)), lambda _: None)
    for processes, batch in ((4, 6), (4, 4)):
        refused = replace(plan, processes=processes, overrides=(f"data.batch={batch}",))
        with pytest.raises(ConfigError, match=f"works on {batch} clips at a time, which 4 processes cannot"):
            remake.remake(refused, lambda _: None)
    assert not plan.out.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_command_end_in_its_own_way(tmp_path: Path, number: int) -> None:
    """SIGTERM is passed on; Ctrl-C, which a terminal sends to both, is left to the command."""
    script = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        f"os.kill(os.getppid(), {number})\n"
        f"time.sleep(1.5 if {number} == signal.SIGINT else 60)\n"
    )
    stopped, status = remake._run([sys.executable, "-c", script], tmp_path, threads=1)
    assert stopped
    assert status == 0


def test_a_command_that_is_told_to_end_is_told_once(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, time\n"
        "told = []\n"
        "signal.signal(signal.SIGTERM, lambda *_: told.append(1))\n"
        f"os.kill(os.getppid(), {signal.SIGTERM})\n"
        "end = time.monotonic() + 2\n"
        "while time.monotonic() < end: time.sleep(0.1)\n"
        "sys.exit(len(told))\n"
    )
    assert remake._run([sys.executable, "-c", script], tmp_path, threads=1) == (True, 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_processes_are_told_so(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Otherwise each of them would train by itself."""
    plans: list[Plan] = []
    monkeypatch.setattr(remake, "remake", lambda made, _: plans.append(made))
    files = ["--moonshine", str(plan.moonshine), "--resemblyzer", str(plan.resemblyzer)]
    words = ["remake", str(plan.corpus), "-o", str(tmp_path / "made"), *files, "--processes", "2"]
    assert CliRunner().invoke(app, words).exit_code == 0
    training = next(stage for stage in remake.stages(plans[0]) if stage.together)
    assert plans[0].processes == 2
    assert "--cpu" in training.command(1.0)
