"""Targets as they are written: recordings of one voice, a saved voice, or voices with weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from timbrel.errors import ConfigError
from timbrel.steering import check_weight
from timbrel.voice import SUFFIX, Voice

if TYPE_CHECKING:
    from timbrel.pipeline import VoiceConverter


@dataclass(frozen=True, slots=True)
class Target:
    """A file, a recording or a saved voice, and its weight in a blend if it is part of one."""

    path: Path
    weight: float | None = None


def parse_targets(texts: Sequence[str | Path]) -> tuple[Target, ...]:
    """Targets from FILE or FILE:WEIGHT; a file whose whole name is such is meant by it.

    Raises:
        ConfigError: a weight is not a positive number, or not all of several targets have one.
    """
    targets = tuple(parse_target(str(text)) for text in texts)
    weighted = [target for target in targets if target.weight is not None]
    for target in weighted:
        try:
            check_weight(target.weight or 0.0)
        except ConfigError as error:
            raise ConfigError(f"{target.path}: {error}") from error
    if weighted and len(targets) == 1:
        raise ConfigError(
            f"{weighted[0].path} is the only target, so a weight says nothing: leave it away, or go part of "
            "the way with --strength."
        )
    if weighted and len(weighted) < len(targets):
        plain = next(target for target in targets if target.weight is None)
        raise ConfigError(
            f"{plain.path} has no weight and {weighted[0].path} has one: give all of them weights to blend "
            "voices, or none if they are one voice."
        )
    return targets


def target_voice(converter: VoiceConverter, targets: Sequence[Target], *, denoise: bool = False) -> Voice:
    """The voice of a saved file, of recordings of one person heard together, or a blend by weights.

    Raises:
        AudioError: a recording cannot be used.
        CheckpointError: a saved voice is missing or damaged.
        ConfigError: a saved voice is to be denoised, or given with something else and without weights.
        ContractError: a voice in a blend was made by another model.
    """
    if all(target.weight is not None for target in targets):
        parts = [(_voice(converter, [target], denoise), target.weight or 0.0) for target in targets]
        return converter.blend(*parts)
    return _voice(converter, targets, denoise)


def parse_target(text: str) -> Target:
    """PATH or PATH:WEIGHT; the weight is any number."""
    name, colon, number = text.rpartition(":")
    if not colon or not name or Path(text).exists():
        return Target(Path(text))
    try:
        return Target(Path(name), float(number))
    except ValueError:
        return Target(Path(text))


def _voice(converter: VoiceConverter, targets: Sequence[Target], denoise: bool) -> Voice:
    paths = [target.path for target in targets]
    saved = [path for path in paths if path.suffix == SUFFIX]
    if not saved:
        return converter.enrol(*paths, denoise=denoise)
    if len(paths) > 1:
        raise ConfigError(
            "A saved voice cannot be joined with another target: give it alone, give each a weight "
            f"({saved[0].name}:0.5), or enrol all recordings of the speaker together."
        )
    if denoise:
        raise ConfigError(f"{saved[0]} is a voice that was heard before: denoise when it is enrolled.")
    return converter.recall(saved[0])
