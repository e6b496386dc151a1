"""A task so small that every number can be worked out by hand; tests put it among the tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from timbrel.audio.mel import PRESETS
from timbrel.models.griffin_lim import GriffinLimConfig
from timbrel.train.data import Batch, Data
from timbrel.train.tasks import Export, Preview, Task, Update


@dataclass(frozen=True, slots=True)
class Settings:
    """What should go wrong, and when."""

    nan_at: int = -1
    infinite_gradient_at: int = -1
    validation: list[float] = field(default_factory=list)
    best_second: float | None = None


def build(settings: Settings, data: Data) -> Toy:
    return Toy(settings)


class Toy(Task):
    """Two numbers; the loss of the first runs through the second, as a generator's through its judge."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.first, self.second = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.first.weight, 2.0)
        nn.init.constant_(self.second.weight, 3.0)
        self.validated = 0
        self.after: list[int] = []

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"first": self.first, "second": self.second}

    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        one = torch.ones(1, 1, device=self.first.weight.device)
        loss = self.second(self.first(one)).sum()
        if step == self.settings.nan_at:
            loss = loss * float("nan")
        if step == self.settings.infinite_gradient_at:
            loss = loss + (self.first.weight.sum() - self.first.weight.sum()).sqrt()
        yield Update(loss, "first", {"loss": loss, "draw": torch.rand((), generator=generator)})
        loss = self.second(one).square().sum()
        yield Update(loss, "second", {"global_draw": torch.rand(())})

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        self.validated += 1
        if self.settings.best_second is not None:
            # The weight falls from 3 by about the rate a step, past this value, and on.
            return {"loss": float((self.second.weight - self.settings.best_second).abs())}
        planned = self.settings.validation
        return {"loss": planned[self.validated - 1] if planned else 1.0, "clips": float(len(batches))}

    def preview(self, batch: Batch) -> Preview:
        return Preview({"mel": torch.zeros(4, 3)})

    def after_step(self, step: int) -> None:
        self.after.append(step)

    def export(self) -> Export:
        config = GriffinLimConfig(PRESETS["timbrel-16k"])
        return Export("griffin_lim", config, {"weight": self.first.weight}, "# Toy\n")
