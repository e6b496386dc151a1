"""A task says what one step of training is; the loop does everything else.

A task is a generator of updates: an autoencoder yields one a step, a GAN two. For each the loop
computes gradients, averages them over processes, clips, and steps the optimizer of the network
named, before it asks for the next.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from timbrel.audio.io import Waveform
from timbrel.config import decode_config
from timbrel.errors import ConfigError
from timbrel.train.data import Batch, Data
from timbrel.train.recipe import Recipe

#: A module each, with the dataclass `Settings` and `build(settings, data) -> Task`.
TASKS = {
    "autovc": "timbrel.train.tasks.autovc",
    "converter": "timbrel.train.tasks.converter",
    "ge2e": "timbrel.train.tasks.ge2e",
    "hifigan": "timbrel.train.tasks.hifigan",
    "istft": "timbrel.train.tasks.istft",
    "phonetic": "timbrel.train.tasks.phonetic",
    "speaker": "timbrel.train.tasks.speaker",
    "vocgan": "timbrel.train.tasks.vocgan",
    "vqvc": "timbrel.train.tasks.vqvc",
}


@dataclass(frozen=True, slots=True)
class Update:
    """One step of one optimizer.

    Fields:
        loss: (), to be minimised in the parameters of `network` alone.
        network: a key of `Task.networks`.
        logs: figures to log, numbers or () tensors.
    """

    loss: Tensor
    network: str
    logs: dict[str, float | Tensor]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a person may look at and listen to, by name.

    Fields:
        mels: (T, D) each.
        audio: recordings.
        pictures: (3, H, W) each, red, green and blue in 0..1.
    """

    mels: dict[str, Tensor] = field(default_factory=dict)
    audio: dict[str, Waveform] = field(default_factory=dict)
    pictures: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Export:
    """What goes into a checkpoint; see `timbrel.checkpoint.write`."""

    family: str
    config: Any
    tensors: Mapping[str, Tensor]
    card: str
    parts: Mapping[str, Path] = field(default_factory=dict)


class Task(nn.Module, ABC):
    """What to train and how; a module, so that networks and front ends move to a device together."""

    @property
    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """What training changes and saves; those with a table in the recipe get an optimizer."""

    @abstractmethod
    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        """The updates of a step, in training mode; `generator`, on the CPU, is the step's own."""

    @abstractmethod
    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Figures over the batches, in evaluation mode without gradients."""

    @abstractmethod
    def preview(self, batch: Batch) -> Preview:
        """Pictures and recordings for the log, in evaluation mode without gradients."""

    @abstractmethod
    def export(self) -> Export:
        """The model as a user gets it."""

    def after_step(self, step: int) -> None:
        """Called after all updates of a step, for example to average weights."""


def build(recipe: Recipe, data: Data) -> Task:
    """The task of a recipe.

    Raises:
        ConfigError: there is no such task, a setting is unknown or wrong, or an optimizer is for a
            network that the task does not have.
    """
    if recipe.task not in TASKS:
        raise ConfigError(f'There is no task "{recipe.task}": those that exist are {", ".join(TASKS)}.')
    module = importlib.import_module(TASKS[recipe.task])
    task: Task = module.build(decode_config(recipe.settings, module.Settings, name="settings"), data)
    for name in recipe.optimizer:
        if name not in task.networks:
            raise ConfigError(
                f"optimizer.{name}: the task {recipe.task} has no such network, "
                f"but {', '.join(task.networks)}."
            )
    return task


def mean_figures(figures: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """The mean of each figure over batches."""
    return {name: float(torch.stack([one[name] for one in figures]).mean()) for name in figures[0]}
