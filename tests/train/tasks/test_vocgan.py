"""VocGAN in training: its updates, its losses, resuming, and what comes out of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from timbrel import checkpoint, registry
from timbrel.audio.mel import PRESETS
from timbrel.corpora import folder
from timbrel.errors import TrainingError
from timbrel.models.discriminators import Judgement
from timbrel.models.vocgan import VocGAN
from timbrel.train import log, loop, recipe, tasks
from timbrel.train.data import Batch, Data
from timbrel.train.prepare import Wanted, prepare
from timbrel.train.tasks import Update
from timbrel.train.tasks.vocgan import VocGANTask

#: 8 frames of 256 samples at 16 kHz.
TINY = [
    "data.batch=2",
    "data.seconds=0.128",
    "settings.discriminator_width=4",
    "settings.weights.adversarial_from=2",
    "settings.model={ channels = 64, residual_layers = 2 }",
]
SHORT = ["run.validate_every=2", "run.validation_batches=1", "run.log_every=1", "run.save_every=2"]


def load(prepared: Path, *overrides: str, steps: int = 4) -> recipe.Recipe:
    corpus = f"data.corpus={prepared}"
    return recipe.load("vocgan-16k", [corpus, f"run.steps={steps}", *TINY, *SHORT, *overrides])


def build(prepared: Path, *overrides: str) -> tuple[VocGANTask, Batch]:
    settings = load(prepared, *overrides)
    data = Data(prepared, settings.data, "train", 0)
    torch.manual_seed(0)
    task = tasks.build(settings, data)
    assert isinstance(task, VocGANTask)
    return task, data.batch(0)


def updates(task: VocGANTask, batch: Batch, step: int) -> list[Update]:
    return list(task.updates(batch, step, torch.Generator().manual_seed(5)))


def touched(module: nn.Module) -> set[str]:
    """Names of the children with a gradient."""
    return {
        name
        for name, child in module.named_children()
        if any(p.grad is not None and bool(p.grad.any()) for p in child.parameters())
    }


def test_spectra_alone_at_first_and_then_both_in_turn(prepared: Path) -> None:
    task, batch = build(prepared)
    (first,) = updates(task, batch, 1)
    assert first.network == "generator"
    assert set(first.logs) == {"mel", "spectra", "loss"}
    assert first.loss.item() == first.logs["spectra"]
    first.loss.backward()
    heads = {f"sub_out_{side}" for side in range(1, 5)}
    everything = {name for name, _ in task.generator.named_children()}
    assert touched(task.generator) == everything - heads
    assert not touched(task.judges)
    task.zero_grad()
    turns = task.updates(batch, 2, torch.Generator())
    second = next(turns)
    second.loss.backward()
    assert second.network == "discriminator"
    assert touched(task.judges) == {"nested", "scales"}
    assert not touched(task.generator)
    task.zero_grad()
    third = next(turns)
    third.loss.backward()
    assert third.network == "generator"
    assert touched(task.generator) == everything
    assert not touched(task.judges)
    assert next(turns, None) is None


def judged(task: VocGANTask, batch: Batch) -> tuple[tuple[Judgement, ...], tuple[Judgement, ...]]:
    """What the discriminators say of the recording, with published noise, and of what is made of its mel."""
    audio = batch.source.audio
    mel = task.front_end(audio)
    noise = torch.randn(audio.shape, generator=torch.Generator().manual_seed(5)) / 32768
    real = task.judges.resolutions(audio + noise)
    return task.judges(real, mel), task.judges(task.pyramid.resolutions(mel), mel)


def test_losses_are_the_papers(prepared: Path) -> None:
    """Least squares, half for the score with the mel and half for that without, of seven discriminators."""
    task, batch = build(prepared)
    discriminator, generator = updates(task, batch, 2)
    real, made = judged(task, batch)
    expected_judges, expected_generator, matching = 0.0, 0.0, 0.0
    for true, false in zip(real, made, strict=True):
        for one, other in zip(true.scores, false.scores, strict=True):
            expected_judges += 0.5 * functional.mse_loss(one, torch.ones_like(one)).item()
            expected_judges += 0.5 * functional.mse_loss(other, torch.zeros_like(other)).item()
            expected_generator += 0.5 * functional.mse_loss(other, torch.ones_like(other)).item()
        for one, other in zip(true.features, false.features, strict=True):
            matching += (one - other).abs().mean().item() / 7
    assert len(real) == 7
    assert discriminator.loss.item() == pytest.approx(expected_judges, rel=1e-4)
    logs = {name: torch.as_tensor(value).item() for name, value in generator.logs.items()}
    assert logs["adversarial"] == pytest.approx(expected_generator, rel=1e-4)
    assert logs["features"] == pytest.approx(matching, rel=1e-4)
    total = logs["spectra"] + logs["adversarial"] + 10 * logs["features"]
    assert generator.loss.item() == pytest.approx(total, rel=1e-5)


def test_training_lowers_the_loss_on_one_batch(prepared: Path) -> None:
    task, batch = build(prepared, "settings.weights.adversarial_from=99")
    optimizer = torch.optim.Adam(task.generator.parameters(), 1e-2)
    losses = []
    for step in range(12):
        (update,) = updates(task, batch, step)
        optimizer.zero_grad()
        update.loss.backward()
        optimizer.step()
        losses.append(update.loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.usefixtures("one_thread")
def test_a_run_resumed_where_the_discriminators_begin_equals_the_whole_to_the_bit(
    prepared: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    loop.run(load(prepared), whole, cpu=True)
    loop.run(load(prepared, steps=2), parts, cpu=True)
    loop.run(load(prepared), parts, resume=True, accept_changes=True, cpu=True)
    for name in ("model.safetensors", "training.safetensors"):
        assert (whole / "final" / name).read_bytes() == (parts / "final" / name).read_bytes()
    rows = log.read(whole)
    assert {"mel", "spectra", "adversarial", "features", "discriminator"} <= set(rows[-2])
    assert set(rows[-1]) >= {"mel", "spectra", "loss"}


@pytest.fixture(scope="module")
def prepared_22k(raw_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up voices at 22.05 kHz."""
    out = tmp_path_factory.mktemp("prepared-22k")
    prepare(folder.read(raw_corpus), out, wanted=Wanted(sample_rate=22050))
    return out


def test_the_checkpoint_of_a_shipped_recipe_has_the_published_layout(
    prepared_22k: Path, tmp_path: Path
) -> None:
    changes = [f"data.corpus={prepared_22k}", "data.batch=1", "data.seconds=0.1", "run.steps=1"]
    settings = recipe.load("vocgan-22k", [*changes, "run.validate_every=0", "settings.discriminator_width=4"])
    loop.run(settings, tmp_path / "out", cpu=True)
    found = checkpoint.read(tmp_path / "out/final")
    assert len(checkpoint.load_tensors(found)) == 168
    model = registry.build(found)
    assert isinstance(model, VocGAN)
    assert sum(parameter.numel() for parameter in model.parameters()) == 4_706_121
    assert model.spec_in == PRESETS["vocgan-22k"] == PRESETS["vqvc-22k"]


def test_a_checkpoint_sounds_like_the_network_in_training(prepared: Path) -> None:
    task, _ = build(prepared)
    export = task.export()
    plain = VocGAN(export.config)
    plain.load_state_dict(export.tensors)
    mel = torch.randn(1, 10, 80) - 5
    with torch.no_grad():
        torch.testing.assert_close(plain(mel), task.generator(mel), rtol=1e-4, atol=1e-6)


def test_a_preview_is_copy_synthesis(prepared: Path) -> None:
    task, batch = build(prepared)
    with torch.no_grad():
        preview = task.eval().preview(batch)
    assert set(preview.mels) == set(preview.audio) == {"real", "generated"}
    assert torch.equal(preview.audio["real"].samples, batch.source.audio[0])
    made = task.generator(preview.mels["real"][None])[0]
    torch.testing.assert_close(preview.audio["generated"].samples, made.detach())


def test_a_corpus_at_another_rate_is_refused(prepared: Path) -> None:
    with pytest.raises(TrainingError, match="--sample-rate 22050"):
        build(prepared, "settings.front_end=vocgan-22k")


def test_the_published_vqvc_trains_on_the_mel_of_the_vocoder(prepared_22k: Path, tmp_path: Path) -> None:
    """468,240 parameters of its networks; here the codebook is learnt and the scale is part of the model."""
    changes = [f"data.corpus={prepared_22k}", "data.batch=2", "data.seconds=0.5", "run.steps=2", *SHORT]
    loop.run(recipe.load("vqvc-vctk", changes), tmp_path / "out", cpu=True)
    model = registry.build(checkpoint.read(tmp_path / "out/final"))
    assert model.spec_out == model.spec_in == PRESETS["vocgan-22k"]
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 468_240
