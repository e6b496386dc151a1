"""The fitting itself: steps, a look at held-out speech now and then, and the best weights."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import optim
from torch.nn.utils import clip_grad_norm_

from timbrel.adaptation import lesson
from timbrel.adaptation.base import Base
from timbrel.adaptation.material import Material
from timbrel.adaptation.measure import HeldOut, weighted
from timbrel.models.converter import Converter
from timbrel.train.average import follow
from timbrel.train.control import seed_everything, stop_signals
from timbrel.train.spectral import SpectralDistance

Progress = Callable[[float, float], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the fitting goes; the defaults were chosen on development speakers.

    Fields:
        steps: at most.
        crops: of 1.5 s in a step.
        warmup: steps in which the learning rate rises.
        average: share that the averaged weights keep in a step.
        share: of the way from the base's weights to the averaged ones, where those are that are looked at and
            kept. By earlier weights half of it kept two thirds of the similarity gained (0.044 of 0.064 by
            CAM++, one speaker, four pairs) and cost a quarter of the naturalness lost (DistillMOS 0.11 of
            0.40); by later ones, with `beyond` 0.5, half and a sixth (0.034 of 0.069, 0.05 of 0.30).
        check_every: steps between two looks at held-out speech.
        patience: looks without a gain after which it ends.
        least_gain: share of the loss that counts as one.
    """

    steps: int = 300
    crops: int = 6
    learning_rate: float = 1e-4
    warmup: int = 10
    average: float = 0.97
    share: float = 0.5
    check_every: int = 20
    patience: int = 3
    least_gain: float = 0.001


@dataclass(frozen=True, slots=True)
class Fitted:
    """What came of it.

    Fields:
        converter: with the best weights; the base's if nothing was better.
        steps, best_step: made in all, and those of the best.
        loss_before, loss_after: on held-out speech.
        ending: what happened when it ended, in words.
        stopped: whether that was by hand.
    """

    converter: Converter
    steps: int
    best_step: int
    loss_before: float
    loss_after: float
    ending: str
    stopped: bool


class _Best:
    """The best weights so far, and how long ago they were found."""

    def __init__(self, converter: Converter, loss: float) -> None:
        self.converter, self.before, self.loss = copy.deepcopy(converter), loss, loss
        self.step = self.stale = 0

    def consider(self, converter: Converter, loss: float, step: int, least_gain: float) -> None:
        if loss < self.loss * (1 - least_gain):
            self.converter.load_state_dict(converter.state_dict())
            self.loss, self.step, self.stale = loss, step, 0
        else:
            self.stale += 1


def fit(
    base: Base,
    material: Material,
    held_out: HeldOut,
    *,
    settings: Settings,
    seed: int,
    seconds: float,
    progress: Progress | None = None,
) -> Fitted:
    """Fits the base's converter to the speaker, for `seconds` at most; Ctrl-C ends it with the best so far.

    `progress` is called with the share that is done, and 1.
    """
    averaged, candidate = (copy.deepcopy(base.networks.converter) for _ in range(2))
    best = _Best(candidate, held_out.loss(candidate))
    student = _Student(base, settings)
    started, done, ending = time.monotonic(), 0, ""
    with stop_signals() as stopping:
        while not ending:
            student.learn(material, seed_everything(seed, done, 0), done)
            follow(averaged, student.converter, done, settings.average)
            done += 1
            elapsed = time.monotonic() - started
            if progress is not None:
                progress(max(done / settings.steps, min(1.0, elapsed / max(seconds, 1e-9))), 1.0)
            ending = _ending(done, elapsed, settings, seconds, stopped=bool(stopping))
            if ending or done % settings.check_every == 0:
                _meet(candidate, base.networks.converter, averaged, settings.share)
                best.consider(candidate, held_out.loss(candidate), done, settings.least_gain)
            if best.stale >= settings.patience:
                ending = ending or "held-out speech gained no more"
        stopped = bool(stopping)
    return Fitted(best.converter, done, best.step, best.before, best.loss, ending, stopped)


@torch.no_grad()
def _meet(candidate: Converter, one: Converter, other: Converter, share: float) -> None:
    """Gives the candidate the weights at this share of the way from one to the other (Wortsman 2022)."""
    start, end = one.state_dict(), other.state_dict()
    for name, tensor in candidate.state_dict().items():
        tensor.copy_(torch.lerp(start[name], end[name], share))


def _ending(done: int, elapsed: float, settings: Settings, seconds: float, *, stopped: bool) -> str:
    """What ends it now, in words; empty if nothing does."""
    if stopped:
        return "it was stopped by hand"
    if elapsed > seconds:
        return "its time was over"
    return "all steps were made" if done >= settings.steps else ""


class _Student:
    """The converter that learns, and its optimizer."""

    def __init__(self, base: Base, settings: Settings) -> None:
        self._base, self._settings = base, settings
        self.converter = copy.deepcopy(base.networks.converter).requires_grad_(True)
        self._parameters = list(self.converter.parameters())
        self._optimizer = optim.AdamW(self._parameters, betas=(0.8, 0.99), weight_decay=0.01)
        self._distance = SpectralDistance(base.rate).to(base.networks.device)

    def learn(self, material: Material, generator: torch.Generator, step: int) -> None:
        """One step."""
        given = lesson.draw(self._base, material.train, self._settings.crops, generator)
        made = lesson.say(self.converter, given, generator)
        loss = weighted(self._distance, made, given.target)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_grad_norm_(self._parameters, 5.0)
        rate = self._settings.learning_rate * min(1.0, (step + 1) / self._settings.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
