"""Each task trains a few steps through the real command, and does what its paper says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from timbrel import checkpoint, registry
from timbrel.audio.mel import PRESETS
from timbrel.cli.app import app
from timbrel.errors import ConfigError, TrainingError
from timbrel.train import log, recipe, tasks
from timbrel.train.data import Batch, Data
from timbrel.train.recipe import Recipe
from timbrel.train.tasks import Task
from timbrel.train.tasks.vocoder import VocoderTask

TINY = {
    "vqvc": [
        "data.batch=2",
        "data.seconds=0.5",
        "settings.model={ codes = 8, code_dim = 8, stem = 16, hidden = 16, width = 16 }",
    ],
    "hifigan-16k": [
        "data.batch=2",
        "data.seconds=0.128",
        "settings.size=v3",
        "settings.period_width=1",
        "settings.scale_width=16",
    ],
    "istft-16k": [
        "data.batch=2",
        "data.seconds=0.256",
        "settings.period_width=1",
        "settings.resolution_width=2",
        "settings.model={ width = 8, blocks = 1, periodic_width = 8, periodic_dilations = [1] }",
        "settings.weights.adversarial_from=2",
    ],
}
FIGURES = {
    "vqvc": {"reconstruction", "codebook", "commitment", "perplexity", "window_perplexity", "codes_used"},
    "hifigan-16k": {"mel", "adversarial", "features", "discriminator"},
    "istft-16k": {"mel", "spectra", "adversarial", "features", "discriminator"},
}
SHORT = ["run.steps=4", "run.validate_every=2", "run.validation_batches=1", "run.log_every=1"]


def tiny(name: str, prepared: Path, *overrides: str) -> list[str]:
    return [f"data.corpus={prepared}", *TINY[name], *SHORT, *overrides]


def load(name: str, prepared: Path, *overrides: str) -> tuple[Recipe, Data, Any]:
    settings = recipe.load(name, tiny(name, prepared, *overrides))
    data = Data(prepared, settings.data, "train", 0)
    torch.manual_seed(0)
    return settings, data, tasks.build(settings, data)


@pytest.mark.parametrize("name", sorted(TINY))
def test_a_shipped_recipe_trains_and_its_checkpoint_can_be_used(
    name: str, prepared: Path, tmp_path: Path
) -> None:
    changes = [part for change in tiny(name, prepared) for part in ("--set", change)]
    app(["train", name, *changes, "--out", str(tmp_path / "out")], standalone_mode=False)
    rows = log.read(tmp_path / "out")
    assert FIGURES[name] <= set(rows[-2])
    assert (rows[-1]["kind"], rows[-1]["step"]) == ("validation", 4)
    found = checkpoint.read(tmp_path / "out/final")
    model = registry.build(found)
    spec = PRESETS["hifigan-16k" if name == "hifigan-16k" else "timbrel-16k"]
    assert model.spec_in == spec
    mel = torch.randn(1, 20, spec.dim)
    with torch.no_grad():
        result = model(mel)
    if name == "vqvc":
        assert result.mel.shape == mel.shape
    else:
        assert result.shape == (1, 20 * spec.hop)
    tensors = checkpoint.load_tensors(found)
    assert tensors.keys() == model.state_dict().keys()
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


@pytest.mark.parametrize(("name", "steps", "rate"), [("vqvc", 80, 1e-2), ("istft-16k", 25, 3e-3)])
def test_training_lowers_the_loss_on_one_batch(name: str, steps: int, rate: float, prepared: Path) -> None:
    late = ["settings.weights.adversarial_from=99"] if name == "istft-16k" else []
    _, data, task = load(name, prepared, *late)
    losses = train(task, data.batch(0), steps, rate)
    assert losses[-1] < 0.9 * losses[0]


def train(task: Task, batch: Batch, steps: int, rate: float) -> list[float]:
    """Steps on one batch with a plain optimizer; the last network's losses."""
    optimizers = {name: torch.optim.AdamW(n.parameters(), rate) for name, n in task.networks.items()}
    losses = []
    for step in range(steps):
        for update in task.updates(batch, step, torch.Generator()):
            task.zero_grad()
            update.loss.backward()
            optimizers[update.network].step()
        losses.append(update.loss.item())
    return losses


def gradients(module: nn.Module) -> list[bool]:
    return [parameter.grad is not None and bool(parameter.grad.any()) for parameter in module.parameters()]


@pytest.mark.parametrize("name", ["hifigan-16k", "istft-16k"])
def test_discriminators_and_generator_learn_in_turn(name: str, prepared: Path) -> None:
    _, data, task = load(name, prepared, "settings.weights.adversarial_from=0")
    assert isinstance(task, VocoderTask)
    updates = task.updates(data.batch(0), 0, torch.Generator())
    first = next(updates)
    assert first.network == "discriminator"
    first.loss.backward()
    assert any(gradients(task.discriminators))
    assert not any(gradients(task.generator))
    task.zero_grad()
    second = next(updates)
    assert second.network == "generator"
    second.loss.backward()
    assert any(gradients(task.generator))
    assert not any(gradients(task.discriminators))
    assert next(updates, None) is None


def test_the_generators_loss_is_the_papers_sum(prepared: Path) -> None:
    """HiFi-GAN (Kong et al. 2020), equation 7: adversarial + 2 feature matching + 45 mel."""
    _, data, task = load("hifigan-16k", prepared)
    *_, update = task.updates(data.batch(0), 0, torch.Generator())
    logs = {name: value.item() for name, value in update.logs.items() if isinstance(value, torch.Tensor)}
    expected = logs["adversarial"] + 2 * logs["features"] + 45 * logs["mel"]
    assert update.loss.item() == pytest.approx(expected, rel=1e-5)


def test_discriminators_wait_for_their_turn(prepared: Path) -> None:
    _, data, task = load("istft-16k", prepared, "settings.weights.adversarial_from=3")
    turns = [[u.network for u in task.updates(data.batch(s), s, torch.Generator())] for s in (2, 3)]
    assert turns == [["generator"], ["discriminator", "generator"]]


def test_vqvc_takes_the_scale_of_the_corpus(prepared: Path) -> None:
    _, data, task = load("vqvc", prepared)
    mels = torch.cat([task.features_and_mel(data.batch(step))[1] for step in range(16)])
    standardised = task.model.input_scale(mels)
    assert standardised.mean().abs() < 1e-3
    assert (standardised.flatten(0, 1).std(0) - 1).abs().max() < 0.01


def test_a_vocoders_checkpoint_sounds_like_the_network_in_training(prepared: Path) -> None:
    _, data, task = load("hifigan-16k", prepared)
    train(task, data.batch(0), 3, rate=1e-3)
    export = task.export()
    plain = type(task.generator)(export.config)
    plain.load_state_dict(export.tensors)
    mel = torch.randn(1, 10, 80)
    with torch.no_grad():
        torch.testing.assert_close(plain(mel), task.generator(mel), rtol=1e-4, atol=1e-6)


def test_a_preview_has_pictures_and_recordings(prepared: Path) -> None:
    for name, expected in {
        "vqvc": {"source", "reference", "converted"},
        "istft-16k": {"real", "generated"},
    }.items():
        _, data, task = load(name, prepared)
        task.train()
        list(task.updates(data.batch(0), 0, torch.Generator()))
        task.eval()
        with torch.no_grad():
            preview = task.preview(data.batch(1))
        assert set(preview.mels) == set(preview.audio) == expected
        assert {mel.dim() for mel in preview.mels.values()} == {2}
        assert {(sound.samples.dim(), sound.sample_rate) for sound in preview.audio.values()} == {(1, 16000)}


def test_a_corpus_at_another_rate_is_refused(prepared: Path) -> None:
    settings, data, _ = load("vqvc", prepared)
    data.sample_rate = 22050
    with pytest.raises(TrainingError, match="--sample-rate 16000"):
        tasks.build(settings, data)
    wrong = replace(settings, settings={"front_end": "vqvc-23k"})
    with pytest.raises(ConfigError, match=r"settings.front_end must be one of .*vqvc-22k"):
        tasks.build(wrong, data)
