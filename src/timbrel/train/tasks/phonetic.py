"""Training of the content encoder: a student of Moonshine that hears perturbed speech.

The teacher heard the clean recording, the student hears it faster or slower, through another throat,
equaliser and room, louder or softer and in noise. What it can predict of the teacher's frames all the
same is what was said. How it was said, which the teacher forgets, is read in a middle layer of the student,
in directions that the same perturbations leave alone; see `timbrel.train.detail`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.config import decode_config
from timbrel.errors import ConfigError
from timbrel.models.phonetic import PhoneticConfig, PhoneticEncoder
from timbrel.train.augment import Perturbation, change_speed, draw_speeds, perturb_waveform
from timbrel.train.average import follow
from timbrel.train.data import Batch, Crops, Data, check_sample_rate
from timbrel.train.detail import SteadyDirections
from timbrel.train.moonshine import start_from_moonshine
from timbrel.train.start import start_from
from timbrel.train.tasks import Export, Preview, Task, Update, mean_figures
from timbrel.train.taught import ContentFrames
from timbrel.train.tracks import Tracks, frame_places

#: Frames, of 16 ms, over which the movement of the content is compared.
_MOVE = 4
#: Of so many steps one is looked at for steady directions.
_OBSERVED = 8
#: What a `PhoneticEncoder` with detail has more.
_DETAIL = ("detail_mean", "detail_map")

CARD = """# Content encoder

A waveform at the standard level in, 62.5 frames a second of what is said out, in nearly the same values
for every voice. Taught by the encoder of Moonshine tiny-en (Useful Sensors, MIT), of which it is a local
version.
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """Fields:

    model: sizes of the network, see `PhoneticConfig`, but for its detail.
    detail: further values of a content frame, found during training behind the model's layer `detail_after`.
    perturbation: what the student hears that the teacher did not.
    movement: weight of the error in how the frames move, over 64 ms; it keeps short sounds distinct.
    moonshine: file of the teacher, the encoder of Moonshine tiny-en, whose weights to start from.
    start: checkpoint whose weights to start from instead.
    average: the largest share that the averaged weights, which are exported, keep in a step.
    """

    model: dict[str, Any] = field(default_factory=dict)
    detail: int = 0
    perturbation: Perturbation = field(default_factory=Perturbation)
    movement: float = 0.0
    moonshine: str = ""
    start: str = ""
    average: float = 0.998

    def __post_init__(self) -> None:
        if self.moonshine and self.start:
            raise ConfigError("settings.moonshine and settings.start are two beginnings: choose one.")
        if "detail" in self.model:
            raise ConfigError("settings.model.detail is found in training: set settings.detail.")


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the student hears and what it should say.

    Fields:
        waveform: at the standard level, (B, hop * K, 1).
        speeds: (B,) of it, where the recording's is 1.
        content: the teacher's frames, (B, K, C).
        mask: (B, K), true where there is a recording.
    """

    waveform: Tensor
    speeds: Tensor
    content: Tensor
    mask: Tensor


def build(settings: Settings, data: Data) -> PhoneticTask:
    """The task, with the teacher's frames of the corpus of `data`.

    Raises:
        CheckpointError: a model that the settings name is missing or of another kind.
        ConfigError: a setting cannot be.
        TrainingError: the corpus has another sample rate, or was not prepared for this.
    """
    config = decode_config(settings.model, PhoneticConfig, name="settings.model")
    check_sample_rate(data, config.spec_in.sample_rate)
    teacher = ContentFrames(data.root)
    if config.width != teacher.dim:
        raise ConfigError(f"settings.model.width must be the teacher's {teacher.dim}.")
    replace(config, detail=settings.detail)  # for its refusal of sizes that cannot be
    model = PhoneticEncoder(config)
    start_from(model, settings.start, without=_DETAIL)
    if settings.moonshine:
        start_from_moonshine(model, Path(settings.moonshine), teacher)
    return PhoneticTask(model, settings, teacher)


class PhoneticTask(Task):
    """Squared error and angle, and if wanted movement, between the student's frames and the teacher's.

    A running average of the weights is validated and exported.
    """

    def __init__(self, model: PhoneticEncoder, settings: Settings, teacher: ContentFrames) -> None:
        super().__init__()
        self.model, self.teacher, self.settings = model, teacher, settings
        self.averaged = copy.deepcopy(model).requires_grad_(False)
        self.steady = SteadyDirections(model.config.width) if settings.detail else None
        self.tracks = Tracks(teacher.root)
        self.hop = model.spec_out.hop

    @property
    def networks(self) -> dict[str, nn.Module]:
        steady = {} if self.steady is None else {"steady": self.steady}
        return {"model": self.model, "average": self.averaged, **steady}

    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        lesson = self.perturbed(batch.source, generator)
        if self.steady is not None and step % _OBSERVED == 0:
            self._observe(self.steady, lesson, self.clean(batch.source))
        figures = self._figures(self.model, lesson)
        yield Update(figures["loss"], "model", dict(figures))

    def after_step(self, step: int) -> None:
        follow(self.averaged, self.model, step, self.settings.average)

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        return mean_figures([self._figures(self.averaged, self.clean(batch.source)) for batch in batches])

    def preview(self, batch: Batch) -> Preview:
        lesson = self.clean(batch.source)
        return Preview({"teacher": lesson.content[0], "student": self.averaged(lesson.waveform[:1])[0]})

    def export(self) -> Export:
        config, tensors = self.model.config, self.averaged.state_dict()
        if self.steady is not None:
            count = self.settings.detail
            config = replace(config, detail=count)
            tensors |= dict(zip(_DETAIL, self.steady.find(count), strict=True))
        return Export(PhoneticEncoder.family, config, tensors, CARD)

    @torch.no_grad()
    def perturbed(self, crops: Crops, generator: torch.Generator) -> Lesson:
        """A lesson in what `Perturbation` says."""
        rate, ranges = self.model.spec_in.sample_rate, self.settings.perturbation
        speeds = draw_speeds(len(crops.ids), ranges, generator)
        samples = int(crops.audio.shape[1] / ranges.speed[1]) // self.hop * self.hop
        audio = change_speed(self._levelled(crops), speeds, rate, samples)
        return self._lesson(crops, perturb_waveform(audio, rate, ranges, generator), speeds)

    def clean(self, crops: Crops) -> Lesson:
        """A lesson in what the teacher heard."""
        samples = crops.audio.shape[1] // self.hop * self.hop
        return self._lesson(crops, self._levelled(crops)[:, :samples], torch.ones(len(crops.ids)))

    @torch.no_grad()
    def _observe(self, steady: SteadyDirections, disguised: Lesson, clean: Lesson) -> None:
        """Shows `steady` how the averaged student hears both, each frame beside the one of its time."""
        layer = self.model.config.detail_after
        there, here = (
            next(islice(self.averaged.behind_layers(lesson.waveform), layer, None)).float()
            for lesson in (clean, disguised)
        )
        places = torch.arange(here.shape[1], device=here.device) * disguised.speeds.to(here.device)[:, None]
        places = places.clamp(max=there.shape[1] - 1)
        before, share = places.long(), places.frac().unsqueeze(-1)
        after = (before + 1).clamp(max=there.shape[1] - 1)
        row = torch.arange(len(there), device=here.device)[:, None]
        steady.observe(there[row, before].lerp(there[row, after], share), here, disguised.mask)

    def _levelled(self, crops: Crops) -> Tensor:
        """The crops (B, L) with their clips at the standard level."""
        gains = torch.tensor([track.gain for track in self.tracks.of(crops.ids)])
        return crops.audio * gains[:, None].to(crops.audio.device)

    def _lesson(self, crops: Crops, audio: Tensor, speeds: Tensor) -> Lesson:
        frames = audio.shape[1] // self.hop
        places = frame_places(crops, speeds, frames)
        content = np.stack([self.teacher.at(clip, row) for clip, row in zip(crops.ids, places, strict=True)])
        filled = (crops.lengths / speeds.to(audio.device) // self.hop).clamp(min=1)
        return Lesson(
            waveform=audio[..., None],
            speeds=speeds,
            content=torch.from_numpy(content).to(audio.device),
            mask=torch.arange(frames, device=audio.device) < filled[:, None],
        )

    def _figures(self, model: PhoneticEncoder, lesson: Lesson) -> dict[str, Tensor]:
        student, mask = model(lesson.waveform).float(), lesson.mask.float()
        error = functional.mse_loss(student, lesson.content, reduction="none").mean(dim=-1)
        angle = 1 - functional.cosine_similarity(student, lesson.content, dim=-1)
        moved = (_steps(student) - _steps(lesson.content)).square().mean(dim=-1)
        figures = {
            "squared_error": _mean(error, mask),
            "cosine_distance": _mean(angle, mask),
            "movement": _mean(moved, mask[:, _MOVE:]),
        }
        movement = self.settings.movement * figures["movement"]
        return {"loss": figures["squared_error"] + figures["cosine_distance"] + movement, **figures}


def _steps(frames: Tensor) -> Tensor:
    """How far frames (B, K, C) move in 64 ms, (B, K - 4, C)."""
    return frames[:, _MOVE:] - frames[:, :-_MOVE]


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Over the frames that count, ()."""
    return (values * mask).sum() / mask.sum().clamp(min=1)
