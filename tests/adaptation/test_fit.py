"""The fitting ends by itself and gives back the best that it had."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.adaptation import studio

from timbrel.adaptation.base import Base
from timbrel.adaptation.fit import Fitted, Settings, fit
from timbrel.adaptation.measure import HeldOut
from timbrel.models.converter import Converter

SETTINGS = Settings(steps=40, crops=2, check_every=2, patience=2, warmup=1, average=0.5)


class Scripted(HeldOut):
    """Says one figure after the other and keeps the weights that it was asked about."""

    def __init__(self, *losses: float) -> None:
        self._losses: Iterator[float] = iter(losses)
        self.asked: list[np.ndarray] = []

    def loss(self, converter: Converter) -> float:
        self.asked.append(studio.figures(converter))
        return next(self._losses)


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return studio.base(tmp_path)


def run(base: Base, held_out: HeldOut, *, seed: int = 0, seconds: float = 60.0, steps: int = 40) -> Fitted:
    settings = Settings(steps, SETTINGS.crops, warmup=1, average=0.5, check_every=2, patience=2)
    return fit(base, studio.material(), held_out, settings=settings, seed=seed, seconds=seconds)


def test_it_ends_when_nothing_is_gained_and_gives_back_the_best(base: Base) -> None:
    held_out = Scripted(1.0, 0.9, 0.8, 0.85, 0.8)
    fitted = run(base, held_out)
    assert (fitted.steps, fitted.best_step) == (8, 4)
    assert (fitted.loss_before, fitted.loss_after) == (1.0, 0.8)
    assert "no more" in fitted.ending
    np.testing.assert_array_equal(studio.figures(fitted.converter), held_out.asked[2])
    assert not np.array_equal(held_out.asked[2], held_out.asked[4])


def test_without_a_gain_the_model_stays_as_it_was(base: Base) -> None:
    fitted = run(base, Scripted(1.0, 1.1, 1.2))
    assert fitted.best_step == 0
    np.testing.assert_array_equal(studio.figures(fitted.converter), studio.figures(base.networks.converter))


def test_a_gain_too_small_to_count_is_none(base: Base) -> None:
    assert run(base, Scripted(1.0, 0.9995, 0.9995)).best_step == 0


def test_its_time_ends_it_with_what_it_has(base: Base) -> None:
    fitted = run(base, Scripted(1.0, 0.5), seconds=0.0)
    assert (fitted.steps, fitted.best_step, fitted.ending) == (1, 1, "its time was over")
    assert not fitted.stopped


def test_all_steps_are_the_end(base: Base) -> None:
    fitted = run(base, Scripted(1.0, 0.9, 0.8), steps=4)
    assert (fitted.steps, fitted.best_step, fitted.ending) == (4, 4, "all steps were made")


def test_ctrl_c_keeps_the_best_so_far(base: Base) -> None:
    def interrupt(done: float, total: float) -> None:
        if done > 0.1:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    held_out = Scripted(1.0, 0.9, 0.8, 0.95)
    fitted = fit(
        base, studio.material(), held_out, settings=SETTINGS, seed=0, seconds=1e9, progress=interrupt
    )
    assert fitted.stopped
    assert (fitted.steps, fitted.best_step) == (5, 4)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_seed_gives_the_same_weights_again_and_another_others(base: Base) -> None:
    one, again, other = (
        studio.figures(run(base, Scripted(1.0, 0.9), steps=2, seed=seed).converter) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_weights_kept_lie_between_those_before_and_those_learned(base: Base) -> None:
    start = studio.figures(base.networks.converter)
    half, whole = (
        studio.figures(
            fit(
                base,
                studio.material(),
                Scripted(1.0, 0.9),
                settings=Settings(steps=2, crops=2, warmup=1, average=0.5, share=share),
                seed=0,
                seconds=1e9,
            ).converter
        )
        for share in (0.5, 1.0)
    )
    assert not np.array_equal(start, whole)
    np.testing.assert_allclose(half, (start + whole) / 2, atol=1e-6)


def test_the_model_it_came_from_is_left_alone(base: Base) -> None:
    before = {
        name: studio.figures(getattr(base.networks, name)) for name in ("content", "speaker", "converter")
    }
    run(base, Scripted(1.0, 0.9), steps=2)
    for name, weights in before.items():
        np.testing.assert_array_equal(weights, studio.figures(getattr(base.networks, name)))


def test_held_out_speech_comes_closer_by_learning(base: Base) -> None:
    # Learned from and measured on alike: noise as loud as speech, from a network that knew nothing.
    material = studio.material()
    settings = Settings(
        steps=12, crops=2, learning_rate=1e-2, warmup=1, average=0.1, share=1.0, check_every=12
    )
    held_out = HeldOut(base, material)
    fitted = fit(base, material, held_out, settings=settings, seed=0, seconds=1e9)
    assert fitted.loss_before == pytest.approx(held_out.loss(base.networks.converter))
    assert fitted.loss_after == pytest.approx(held_out.loss(fitted.converter))
    assert fitted.loss_after < 0.9 * fitted.loss_before
    assert held_out.mel_error_db(fitted.converter) < held_out.mel_error_db(base.networks.converter)
