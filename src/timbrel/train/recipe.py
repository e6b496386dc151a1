"""A recipe says everything about a training run; it is strict, so that a typing error trains nothing.

name = "vqvc"            # of the checkpoint
task = "vqvc"            # one of `timbrel.train.tasks.TASKS`

[data]                   # `DataRecipe`
[run]                    # `RunRecipe`
[optimizer.model]        # `OptimizerRecipe`, one table per network of the task
[settings]               # the task's own
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from timbrel.config import decode_config, encode_config, read_toml
from timbrel.corpora import is_file_name
from timbrel.errors import ConfigError

#: Of audio in a step; more is a slip of the keyboard that would fill the memory.
_MOST_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class DataRecipe:
    """What a batch is made of.

    Fields:
        corpus: folder made by `timbrel prepare`.
        batch: crops in a batch, over all processes together.
        seconds: length of a crop; shorter clips are padded with zeros.
        reference_seconds: length of a second crop of the same speaker; 0 for none.
        same_clip: share of those crops that come from the same clip although the speaker has others.
        balance: "clips" takes every clip once before any twice; "speakers" draws a speaker, then a clip;
            "seconds" draws clips in proportion to their length; "grid" draws different speakers, and of
            each `utterances_per_speaker` different clips, which stand side by side in the batch.
        utterances_per_speaker: with "grid"; it divides the batch. A validation split with fewer speakers
            than the batch has room for gives smaller batches.
        min_utterances: speakers with fewer clips in a split are left out.
        evenness: with "seconds", 0 hears a speaker as long as there is of them, 1 all equally long.
        favour: with "seconds", how many times as often clips are drawn for what a column says, such as
            { language = { en = 1.5 } }.
        split, validation: names of the splits to train on and to validate on.
        only: further conditions on a clip, such as { language = "en", tier = "hq" }.
    """

    corpus: str
    batch: int
    seconds: float
    reference_seconds: float = 0.0
    same_clip: float = 0.0
    balance: Literal["clips", "speakers", "seconds", "grid"] = "clips"
    utterances_per_speaker: int = 0
    min_utterances: int = 0
    evenness: float = 0.0
    favour: dict[str, dict[str, float]] = field(default_factory=dict)
    split: str = "train"
    validation: str = "dev"
    only: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_positive(self, "data", "batch", "seconds")
        if self.batch * self.seconds > _MOST_SECONDS:
            raise ConfigError(
                f"data.batch of {self.batch} times data.seconds of {self.seconds:g} are more than the "
                f"{_MOST_SECONDS / 3600:g} hours of audio that a step may hold."
            )
        _check_not_negative(self, "data", "reference_seconds", "same_clip", "evenness", "min_utterances")
        self._check_grid()
        if self.balance != "seconds" and (self.evenness or self.favour):
            raise ConfigError('data.evenness and data.favour belong to the balance "seconds".')
        factors = [factor for column in self.favour.values() for factor in column.values()]
        if any(factor <= 0 for factor in factors):
            raise ConfigError(f"data.favour must hold factors above 0, not {min(factors)}.")

    def _check_grid(self) -> None:
        per_speaker = self.utterances_per_speaker
        if self.balance != "grid" and per_speaker:
            raise ConfigError('data.utterances_per_speaker belongs to the balance "grid".')
        if self.balance == "grid" and (per_speaker < 1 or self.batch % per_speaker):
            raise ConfigError(
                f"data.utterances_per_speaker must divide the batch of {self.batch}, not be {per_speaker}."
            )


@dataclass(frozen=True, slots=True)
class RunRecipe:
    """How long and how often.

    Fields:
        precision: "no" is float32; "bf16" and "fp16" are mixed.
        save_every: steps between checkpoints, of which the newest `keep` stay beside best and last.
        validate_every: steps between validations, over `validation_batches`; 0 for none.
        monitor: the validation figure that says which checkpoint is best; lower is better.
        patience: validations without a better one after which to stop; 0 to go on to the end.
    """

    steps: int
    seed: int = 0
    precision: Literal["no", "bf16", "fp16"] = "no"
    log_every: int = 50
    save_every: int = 1000
    keep: int = 3
    validate_every: int = 1000
    validation_batches: int = 4
    monitor: str = "loss"
    patience: int = 0

    def __post_init__(self) -> None:
        _check_positive(self, "run", "steps", "log_every", "save_every", "keep", "validation_batches")
        _check_not_negative(self, "run", "seed", "validate_every", "patience")


@dataclass(frozen=True, slots=True)
class OptimizerRecipe:
    """AdamW (Loshchilov & Hutter 2019) for one network.

    Fields:
        schedule: "cosine" falls to `final_share` of the rate at the last step; "exponential" halves
            it every `half_life` steps.
        warmup: steps over which the rate rises from 0 first.
        clip: largest norm of the gradient; 0 for no limit.
    """

    learning_rate: float
    schedule: Literal["constant", "cosine", "exponential"] = "constant"
    warmup: int = 0
    final_share: float = 0.0
    half_life: int = 0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    clip: float = 0.0

    def __post_init__(self) -> None:
        _check_positive(self, "optimizer", "learning_rate")
        _check_not_negative(self, "optimizer", "warmup", "final_share", "half_life", "weight_decay", "clip")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"optimizer.betas must be at least 0 and below 1, not {list(self.betas)}.")
        if (self.schedule == "exponential") != (self.half_life > 0):
            raise ConfigError("optimizer.half_life belongs to the exponential schedule, which needs it.")
        if self.schedule != "cosine" and self.final_share:
            raise ConfigError("optimizer.final_share belongs to the cosine schedule.")

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of the 0-based `step` out of `steps`."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return self.learning_rate * rise * self._share(step, steps)

    def _share(self, step: int, steps: int) -> float:
        if self.schedule == "constant":
            return 1.0
        if self.schedule == "exponential":
            return float(0.5 ** (step / self.half_life))
        progress = max(0, step - self.warmup) / max(1, steps - 1 - self.warmup)
        return self.final_share + (1 - self.final_share) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole training run; `settings` are decoded by the task."""

    name: str
    task: str
    data: DataRecipe
    run: RunRecipe
    optimizer: dict[str, OptimizerRecipe]
    settings: dict[str, Any] = field(default_factory=dict)
    licence: str = "not stated"

    def __post_init__(self) -> None:
        if not is_file_name(self.name):
            raise ConfigError(f"name must be one that a folder can have, not {self.name!r}.")


def load(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe by its path or the name of a shipped one, with "key.key=value" overrides.

    Raises:
        ConfigError: there is no such recipe, or it has an unknown key or an impossible value.
    """
    path = find(name_or_path)
    tables = read_toml(path)
    for override in overrides:
        apply(tables, override)
    return decode_config(tables, Recipe, name=str(path))


def find(name_or_path: str | Path) -> Path:
    """The file of a recipe.

    Raises:
        ConfigError: there is none; the message lists the shipped ones.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml":
        if not path.is_file():
            raise ConfigError(f"{path}: no such recipe file.")
        return path
    if path.name == str(name_or_path) and path.name in shipped():
        return shipped()[path.name]
    raise ConfigError(
        f'There is no recipe "{name_or_path}": give a .toml file or one of {", ".join(shipped())}.'
    )


def shipped() -> dict[str, Path]:
    """The recipes in the package by name."""
    folder = Path(str(resources.files("timbrel"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def to_tables(recipe: Recipe) -> dict[str, Any]:
    """The recipe as tables of plain values, every default stated but those of its task's `settings`."""
    return encode_config(recipe)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Sentences such as "run.steps was 100 and is 200" for every key that differs."""
    one, two = dict(_flat(before)), dict(_flat(now))
    return [
        f"{key} was {one.get(key, 'not there')!r} and is {two.get(key, 'not there')!r}"
        for key in sorted({*one, *two})
        if one.get(key) != two.get(key)
    ]


def _flat(tables: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tables.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{where}{key}.")
        else:
            yield f"{where}{key}", list(value) if isinstance(value, tuple) else value


def apply(tables: dict[str, Any], override: str) -> None:
    """Puts "key=value" into tables, nested where the key has dots; the value is TOML, or a string.

    Raises:
        ConfigError: it is no such pair, or the key leads through a value.
    """
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f'--set {override}: expected "key=value", such as run.steps=2000.')
    *parents, last = key.split(".")
    table = tables
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override}: {parent} is a value, not a table.")
    table[last] = _value(text)


def _value(text: str) -> Any:
    """A TOML value; what is none is a string, so that names need no quotation marks."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _check_positive(table: object, where: str, *names: str) -> None:
    for name in names:
        if not getattr(table, name) > 0:
            raise ConfigError(f"{where}.{name} must be above 0, not {getattr(table, name)}.")


def _check_not_negative(table: object, where: str, *names: str) -> None:
    for name in names:
        if not getattr(table, name) >= 0:
            raise ConfigError(f"{where}.{name} must not be negative: {getattr(table, name)}.")
