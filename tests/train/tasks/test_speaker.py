"""The speaker encoder: distillation and prototypes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from timbrel import checkpoint, registry
from timbrel.errors import ConfigError, TrainingError
from timbrel.models.speaker import ConvSpeakerEncoder
from timbrel.train import log
from timbrel.train.augment import Perturbation
from timbrel.train.data import Data
from timbrel.train.recipe import DataRecipe
from timbrel.train.tasks.speaker import Prototypes, Settings, SpeakerTask, build

SIZES = {"width": 16, "blocks": 1}


def data(taught: Path, split: str = "train") -> Data:
    return Data(taught, DataRecipe(str(taught), batch=6, seconds=0.8, balance="speakers"), split, 0)


def task(corpus: Data) -> SpeakerTask:
    torch.manual_seed(0)
    perturbation = Perturbation(gain_db=(-3.0, 3.0), snr_db=(20.0, 40.0), equaliser_db=1.0)
    return build(Settings(model=SIZES, perturbation=perturbation, least_seconds=0.5), corpus)


def test_the_margin_counts_against_the_right_speaker_alone() -> None:
    prototypes = Prototypes(2, 2, margin=0.2, scale=30.0)
    prototypes.weight.data = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    loss = prototypes(torch.tensor([[0.8, 0.6]]), torch.tensor([0]))
    # Cosines 0.8 and 0.6: with the margin both count 0.6, so the odds are even.
    assert float(loss.detach()) == pytest.approx(0.6931, abs=1e-4)


def test_it_learns_to_tell_the_speakers_apart(taught: Path) -> None:
    corpus = data(taught)
    learner = task(corpus)
    unseen = [data(taught, "dev").batch(0)]
    with torch.no_grad():
        before = learner.validate(unseen)
    optimizer = torch.optim.Adam(learner.trained.parameters(), 3e-3)
    losses = []
    for step in range(30):
        update = next(learner.updates(corpus.batch(step), step, torch.Generator().manual_seed(step)))
        update.loss.backward()
        if step == 0:
            assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learner.trained.parameters())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(update.loss.detach()))
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
    with torch.no_grad():
        after = learner.validate(unseen)
    assert after["distillation"] < 0.7 * before["distillation"]
    assert after["equal_error_rate"] < 0.2


def test_a_run_exports_an_encoder_of_unit_vectors(train: Callable[..., Path]) -> None:
    path = train(
        task="speaker",
        data={"seconds": 0.8},
        run={"monitor": "equal_error_rate"},
        optimizer={"model": {"learning_rate": 1e-3}},
        settings={"model": SIZES, "least_seconds": 0.5},
    )
    encoder = registry.build(checkpoint.read(path))
    assert isinstance(encoder, ConvSpeakerEncoder)
    vector = encoder(torch.randn(2, 60, 80) - 5)
    torch.testing.assert_close(vector.norm(dim=-1), torch.ones(2))
    figures = [row for row in log.read(path.parent) if row["kind"] == "validation"]
    assert 0 <= figures[-1]["equal_error_rate"] <= 1


def test_what_does_not_fit_is_refused(taught: Path, prepared: Path) -> None:
    with pytest.raises(ConfigError, match="must be the teacher's 256"):
        build(Settings(model={"embedding_dim": 64}), data(taught))
    with pytest.raises(TrainingError, match=r"run timbrel teach .* --resemblyzer first"):
        task(data(prepared))
