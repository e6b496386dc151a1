"""The task "converter" as a recipe states it: its settings, and the networks that take part."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from timbrel import checkpoint, registry
from timbrel.config import decode_config, encode_config
from timbrel.contract import FeatureSpec, require_exact
from timbrel.errors import ConfigError
from timbrel.models.converter import Converter, ConverterConfig
from timbrel.models.phonetic import PhoneticEncoder
from timbrel.train.adversary import Adversary
from timbrel.train.data import Data, check_sample_rate
from timbrel.train.start import start_from
from timbrel.train.tasks.conversion import ConverterTask, Weights
from timbrel.train.tasks.scenes import Disturbance, Stage
from timbrel.train.taught import ContentFrames
from timbrel.train.teachers import SAMPLE_RATE, Resemblyzer


@dataclass(frozen=True, slots=True)
class Settings:
    """Fields:

    content: who says what is said: Moonshine, by `timbrel teach`, its student, or in "both" either of
        them for half of the pieces, which keeps what the student misses within reach.
    student: checkpoint of the content encoder, for "student" and "both".
    start: checkpoint of a converter whose weights to start from.
    resemblyzer: file of its weights, needed where `weights.similarity` is above 0.
    model: sizes of the network, see `ConverterConfig`.
    disturbance: what training does to a scene.
    discriminator_width: channels of the discriminators' first layers.
    average: the largest share that the averaged weights, which are exported, keep in a step.
    """

    content: Literal["teacher", "student", "both"] = "student"
    student: str = ""
    start: str = ""
    resemblyzer: str = ""
    model: dict[str, Any] = field(default_factory=dict)
    disturbance: Disturbance = field(default_factory=Disturbance)
    weights: Weights = field(default_factory=Weights)
    discriminator_width: int = 20
    average: float = 0.999

    def __post_init__(self) -> None:
        if (self.content != "teacher") != bool(self.student):
            raise ConfigError(
                'settings.student, a checkpoint, belongs to content = "student" or "both", which needs it.'
            )
        if self.weights.words > 0 and not self.student:
            raise ConfigError("settings.weights.words needs settings.student, who hears the words.")
        if (self.weights.similarity > 0) != bool(self.resemblyzer):
            raise ConfigError("settings.resemblyzer, a file, belongs to weights.similarity, which needs it.")


def build(settings: Settings, data: Data) -> ConverterTask:
    """The converter and all that it learns from."""
    check_sample_rate(data, SAMPLE_RATE)
    if data.recipe.reference_seconds <= 0:
        raise ConfigError("data.reference_seconds must be above 0: the converter needs references.")
    student = _student(settings.student) if settings.student else None
    teacher = ContentFrames(data.root) if settings.content != "student" else None
    content = encode_config(student.spec_out if student else _taught(teacher))
    tables = {"content": content, **settings.model}
    model = Converter(decode_config(tables, ConverterConfig, name="settings.model"))
    if student:
        require_exact(model.config.mel, student.spec_in)
    if student and teacher and student.spec_out.dim != teacher.dim:
        raise ConfigError(f"settings.student: {settings.student} has another teacher than the corpus.")
    start_from(model, settings.start)
    return ConverterTask(
        model,
        Stage(data.root, model.config.mel, student, teacher, settings.disturbance),
        data.root,
        settings.weights,
        Adversary(width=settings.discriminator_width) if settings.weights.adversarial > 0 else None,
        Resemblyzer.load(Path(settings.resemblyzer)) if settings.resemblyzer else None,
        settings.average,
    )


def _taught(teacher: ContentFrames | None) -> FeatureSpec:
    """What the teacher's frames are at the rate that the converter takes, signed with the teacher's name."""
    assert teacher is not None
    return FeatureSpec("learned", SAMPLE_RATE, hop=256, dim=teacher.dim, encoder=teacher.teacher)


def _student(path: str) -> PhoneticEncoder:
    student = registry.build(checkpoint.read(path))
    if not isinstance(student, PhoneticEncoder):
        raise ConfigError(f"settings.student: {path} is of the family {student.family}, not phonetic.")
    return student
