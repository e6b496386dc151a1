"""Training of the content encoder: a student of Moonshine that hears perturbed speech.

The teacher heard the clean recording, the student hears it faster or slower, through another throat,
equaliser and room, louder or softer and in noise. What it can predict of the teacher's frames all the
same is what was said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.audio.mel import MelSpectrogram
from timbrel.config import decode_config
from timbrel.errors import ConfigError
from timbrel.models.phonetic import PhoneticConfig, PhoneticEncoder
from timbrel.train.augment import Perturbation, change_speed, draw_speeds, perturb_mel, perturb_waveform
from timbrel.train.data import Batch, Crops, Data, check_sample_rate
from timbrel.train.start import start_from
from timbrel.train.tasks import Export, Preview, Task, Update, mean_figures
from timbrel.train.taught import ContentFrames
from timbrel.train.tracks import frame_places

#: Frames, of 16 ms, over which the movement of the content is compared.
_MOVE = 4

CARD = """# Content encoder

Log-mel frames in, 62.5 frames a second of what is said out, in nearly the same values for every voice.
Taught by the encoder of Moonshine tiny-en (Useful Sensors, MIT), which is not part of it.
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """Fields:

    model: sizes of the network, see `PhoneticConfig`.
    perturbation: what the student hears that the teacher did not.
    movement: weight of the error in how the frames move, over 64 ms; it keeps short sounds distinct.
    start: checkpoint whose weights to start from.
    """

    model: dict[str, Any] = field(default_factory=dict)
    perturbation: Perturbation = field(default_factory=Perturbation)
    movement: float = 0.0
    start: str = ""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the student hears and what it should say.

    Fields:
        mel: (B, stride * K, D).
        content: the teacher's frames, (B, K, C).
        mask: (B, K), true where there is a recording.
    """

    mel: Tensor
    content: Tensor
    mask: Tensor


def build(settings: Settings, data: Data) -> PhoneticTask:
    """The task, with the teacher's frames of the corpus of `data`."""
    config = decode_config(settings.model, PhoneticConfig, name="settings.model")
    check_sample_rate(data, config.mel.sample_rate)
    teacher = ContentFrames(data.root)
    if config.content_dim != teacher.dim:
        raise ConfigError(f"settings.model.content_dim must be the teacher's {teacher.dim}.")
    task = PhoneticTask(config, settings, teacher)
    start_from(task.model, settings.start)
    return task


class PhoneticTask(Task):
    """Squared error and angle, and if wanted movement, between the student's frames and the teacher's."""

    def __init__(self, config: PhoneticConfig, settings: Settings, teacher: ContentFrames) -> None:
        super().__init__()
        self.model = PhoneticEncoder(config)
        self.front_end = MelSpectrogram(config.mel)
        self.perturbation, self.movement, self.teacher = settings.perturbation, settings.movement, teacher
        self.hop = self.model.spec_out.hop

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"model": self.model}

    def updates(self, batch: Batch, step: int, generator: torch.Generator) -> Iterator[Update]:
        figures = self._figures(self.perturbed(batch.source, generator))
        yield Update(figures["loss"], "model", dict(figures))

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        return mean_figures([self._figures(self.clean(batch.source)) for batch in batches])

    def preview(self, batch: Batch) -> Preview:
        lesson = self.clean(batch.source)
        student = self.model(lesson.mel[:1])[0]
        return Preview({"mel": lesson.mel[0], "teacher": lesson.content[0], "student": student})

    def export(self) -> Export:
        return Export(PhoneticEncoder.family, self.model.config, self.model.state_dict(), CARD)

    @torch.no_grad()
    def perturbed(self, crops: Crops, generator: torch.Generator) -> Lesson:
        """A lesson in what `Perturbation` says."""
        speeds = draw_speeds(len(crops.ids), self.perturbation, generator)
        samples = int(crops.audio.shape[1] / self.perturbation.speed[1]) // self.hop * self.hop
        audio = change_speed(crops.audio, speeds, self.front_end.spec.sample_rate, samples)
        audio = perturb_waveform(audio, self.front_end.spec.sample_rate, self.perturbation, generator)
        mel = perturb_mel(self.front_end(audio), self.front_end.spec, self.perturbation, generator)
        return self._lesson(crops, mel, speeds, samples)

    def clean(self, crops: Crops) -> Lesson:
        """A lesson in what the teacher heard."""
        samples = crops.audio.shape[1] // self.hop * self.hop
        mel = self.front_end(crops.audio[:, :samples])
        return self._lesson(crops, mel, torch.ones(len(crops.ids)), samples)

    def _lesson(self, crops: Crops, mel: Tensor, speeds: Tensor, samples: int) -> Lesson:
        frames = samples // self.hop
        places = frame_places(crops, speeds, frames)
        content = np.stack([self.teacher.at(clip, row) for clip, row in zip(crops.ids, places, strict=True)])
        filled = (crops.lengths / speeds.to(mel.device) // self.hop).clamp(min=1)
        return Lesson(
            mel=mel[:, : self.model.config.stride * frames],
            content=torch.from_numpy(content).to(mel.device),
            mask=torch.arange(frames, device=mel.device) < filled[:, None],
        )

    def _figures(self, lesson: Lesson) -> dict[str, Tensor]:
        student, mask = self.model(lesson.mel).float(), lesson.mask.float()
        error = functional.mse_loss(student, lesson.content, reduction="none").mean(dim=-1)
        angle = 1 - functional.cosine_similarity(student, lesson.content, dim=-1)
        moved = (_steps(student) - _steps(lesson.content)).square().mean(dim=-1)
        figures = {
            "squared_error": _mean(error, mask),
            "cosine_distance": _mean(angle, mask),
            "movement": _mean(moved, mask[:, _MOVE:]),
        }
        loss = figures["squared_error"] + figures["cosine_distance"] + self.movement * figures["movement"]
        return {"loss": loss, **figures}


def _steps(frames: Tensor) -> Tensor:
    """How far frames (B, K, C) move in 64 ms, (B, K - 4, C)."""
    return frames[:, _MOVE:] - frames[:, :-_MOVE]


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Over the frames that count, ()."""
    return (values * mask).sum() / mask.sum().clamp(min=1)
