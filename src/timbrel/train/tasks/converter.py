"""The task "converter" as a recipe states it: its settings, and the networks that take part."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from timbrel import checkpoint, registry
from timbrel.config import decode_config, encode_config
from timbrel.contract import require_exact
from timbrel.errors import ConfigError, TrainingError
from timbrel.models.converter import Converter, ConverterConfig
from timbrel.models.phonetic import PhoneticEncoder
from timbrel.models.speaker import ConvSpeakerEncoder
from timbrel.train.adversary import Adversary
from timbrel.train.data import Data, check_sample_rate
from timbrel.train.start import start_from
from timbrel.train.state import TENSORS, restore
from timbrel.train.tasks.conversion import ConverterTask
from timbrel.train.tasks.guide import Guide
from timbrel.train.tasks.judges import Adversaries, Teachers, Weights
from timbrel.train.tasks.scenes import Disturbance, Stage
from timbrel.train.teachers import SAMPLE_RATE, Resemblyzer
from timbrel.train.voice_adversary import VoiceAdversary

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Settings:
    """Fields:

    student: checkpoint of the content encoder, who says what is said.
    start: checkpoint of a converter whose weights to start from.
    resemblyzer: file of its weights, needed where `weights.similarity` is above 0.
    speaker: checkpoint of our speaker encoder, needed where `weights.likeness`, `weights.speaker`,
        `weights.apart` or `weights.voice` is.
    guide: checkpoint of a converter that makes two attempts or has people in its crowd, needed where
        `weights.guided` is.
    beyond: the guidance with which it is heard; 0 for one that has only its second attempt to teach.
    model: sizes of the network, see `ConverterConfig`.
    disturbance: what training does to a scene.
    discriminators: checkpoint of a run like this one, whose discriminators to start from.
    discriminator_width: channels of the discriminators' first layers.
    voice_width: channels of the discriminator of voices.
    voice_after: steps in which it learns before the converter begins to deceive it.
    discriminators_alone: steps at the beginning in which they learn and the converter does not; for one that
        starts from good weights with discriminators that know nothing.
    average: the largest share that the averaged weights, which are exported, keep in a step.
    retell: whether every piece is converted and each conversion said again in the piece's own voice.
    """

    student: str
    start: str = ""
    resemblyzer: str = ""
    speaker: str = ""
    guide: str = ""
    beyond: float = 0.5
    model: dict[str, Any] = field(default_factory=dict)
    disturbance: Disturbance = field(default_factory=Disturbance)
    weights: Weights = field(default_factory=Weights)
    discriminators: str = ""
    discriminator_width: int = 20
    voice_width: int = 256
    voice_after: int = 0
    discriminators_alone: int = 0
    average: float = 0.999
    retell: bool = False

    def __post_init__(self) -> None:
        if (self.weights.similarity > 0) != bool(self.resemblyzer):
            raise ConfigError("settings.resemblyzer, a file, belongs to weights.similarity, which needs it.")
        if self.weights.hears != bool(self.speaker):
            raise ConfigError(
                "settings.speaker, a checkpoint, belongs to weights.likeness, weights.speaker, "
                "weights.apart and weights.voice, which need it."
            )
        if (self.weights.guided > 0) != bool(self.guide):
            raise ConfigError("settings.guide, a checkpoint, belongs to weights.guided, which needs it.")
        if self.beyond < 0:
            raise ConfigError("settings.beyond must be at least 0.")
        for name in ("discriminators", "discriminators_alone"):
            if getattr(self, name) and max(self.weights.adversarial, self.weights.voice) <= 0:
                raise ConfigError(
                    f"settings.{name} needs discriminators, which settings.weights.adversarial and "
                    "settings.weights.voice ask for."
                )
        if self.retell and not self.weights.converts:
            raise ConfigError(
                "settings.retell needs conversions, which no weight in settings.weights asks for."
            )


def build(settings: Settings, data: Data) -> ConverterTask:
    """The converter and all that it learns from.

    Raises:
        CheckpointError: a model that the settings name is missing or of another kind.
        ConfigError: a setting cannot be.
        TrainingError: the corpus has another sample rate, or was not prepared for this.
    """
    check_sample_rate(data, SAMPLE_RATE)
    if data.recipe.reference_seconds <= 0:
        raise ConfigError("data.reference_seconds must be above 0: the converter needs references.")
    student = _frozen(PhoneticEncoder, "student", settings.student)
    tables = {"content": encode_config(student.spec_out), **settings.model}
    model = Converter(decode_config(tables, ConverterConfig, name="settings.model"))
    start_from(model, settings.start)
    teachers = _teachers(settings, model)
    if teachers.guide is not None and model.crowd is not None:
        model.config = replace(model.config, beyond=teachers.guide.altogether)
    return ConverterTask(
        model,
        Stage(data.root, model.config.mel, student, settings.disturbance),
        data.root,
        settings.weights,
        _adversaries(settings, student, teachers),
        teachers,
        settings.average,
        settings.retell,
    )


def _adversaries(settings: Settings, student: PhoneticEncoder, teachers: Teachers) -> Adversaries:
    weights, width, voice = settings.weights, settings.voice_width, None
    if weights.voice > 0 and teachers.own is not None:
        voice = VoiceAdversary(2 * student.config.width, teachers.own.spec_out.dim, width)
    sound = Adversary(width=settings.discriminator_width) if weights.adversarial > 0 else None
    adversaries = Adversaries(sound, voice, settings.voice_after, settings.discriminators_alone)
    _begin(adversaries, settings.discriminators)
    return adversaries


def _begin(adversaries: Adversaries, path: str) -> None:
    """What the discriminators of another run have learned, if there is one."""
    if not path:
        return
    if not (Path(path) / TENSORS).is_file():
        raise ConfigError(
            f"settings.discriminators: {path} holds no {TENSORS}; give a checkpoint that training wrote, "
            "such as runs/timbrel-converter/final."
        )
    try:
        restore(Path(path), adversaries.networks, {})
    except TrainingError as error:
        raise ConfigError(f"settings.discriminators: {error}") from error


def _teachers(settings: Settings, model: Converter) -> Teachers:
    resemblyzer = Resemblyzer.load(Path(settings.resemblyzer)) if settings.resemblyzer else None
    own = _frozen(ConvSpeakerEncoder, "speaker", settings.speaker) if settings.speaker else None
    if own is not None:
        require_exact(model.config.mel, own.spec_in)
    return Teachers(resemblyzer, own, _guide(settings, model) if settings.guide else None)


def _guide(settings: Settings, model: Converter) -> Guide:
    converter = _frozen(Converter, "guide", settings.guide)
    require_exact(model.config.content, converter.config.content)
    require_exact(model.config.mel, converter.config.mel)
    try:
        return Guide(converter, settings.beyond)
    except ConfigError as error:
        raise ConfigError(f"settings.guide: {settings.guide}: {error}") from error


def _frozen(kind: type[N], setting: str, path: str) -> N:
    """The network of a checkpoint, which is not trained here."""
    network = registry.build(checkpoint.read(path))
    if not isinstance(network, kind):
        raise ConfigError(f"settings.{setting}: {path} holds a {network.family}, not a {kind.__name__}.")
    return network.requires_grad_(False)
