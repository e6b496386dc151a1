"""The figures of an adaptation are those of held-out speech, whatever the batches."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tests.adaptation import studio
from torch import Tensor

from timbrel.adaptation import lesson
from timbrel.adaptation.material import CROP, Material
from timbrel.adaptation.measure import HeldOut
from timbrel.models.converter import Converter


def test_the_mel_error_is_in_decibels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = studio.base(tmp_path)

    def twice_as_loud(model: Converter, given: lesson.Lesson, generator: torch.Generator) -> Tensor:
        return 2 * given.target

    monkeypatch.setattr(lesson, "say", twice_as_loud)
    # Twice the amplitude is 6.02 dB in every band that lies above the floor of the logarithm.
    error = HeldOut(base, studio.material()).mel_error_db(base.networks.converter)
    assert error == pytest.approx(20 * math.log10(2), rel=1e-3)


def test_a_perfect_copy_has_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = studio.base(tmp_path)

    def copy(model: Converter, given: lesson.Lesson, generator: torch.Generator) -> Tensor:
        return given.target

    monkeypatch.setattr(lesson, "say", copy)
    held_out = HeldOut(base, studio.material())
    assert held_out.loss(base.networks.converter) == 0
    assert held_out.mel_error_db(base.networks.converter) == 0


def test_every_crop_counts_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = studio.base(tmp_path)
    # Fourteen crops are said in twelve and two.
    held_out = tuple(studio.stretch(seed, frames=2 * CROP) for seed in range(7))
    material = Material(studio.material().train, held_out, 40.0, (), ())

    def wrong_in_the_last(model: Converter, given: lesson.Lesson, generator: torch.Generator) -> Tensor:
        return given.target * (2 if len(given.target) == 2 else 1)

    monkeypatch.setattr(lesson, "say", wrong_in_the_last)
    error = HeldOut(base, material).mel_error_db(base.networks.converter)
    assert error == pytest.approx(20 * math.log10(2) * 2 / 14, rel=1e-3)


def test_a_crop_is_said_in_the_voice_of_other_stretches(tmp_path: Path) -> None:
    base, stretches = studio.base(tmp_path), studio.material(4).train
    for seed in range(5):
        given = lesson.draw(base, stretches, 6, torch.Generator().manual_seed(seed))
        assert given.target.shape == (6, 256 * CROP - 128)
        assert given.content.shape == (6, CROP, 16)
        heard = [one for one in stretches if _within(one.content, given.reference[0][0])]
        said = [one for one in stretches if any(_within(crop, one.audio) for crop in given.target)]
        assert len(heard) == len(said) == 2
        assert not {id(one) for one in heard} & {id(one) for one in said}


def _within(part: Tensor, whole: Tensor) -> bool:
    """Whether the first value of `part` is found in `whole`."""
    return bool((whole == part.flatten()[0]).any())
