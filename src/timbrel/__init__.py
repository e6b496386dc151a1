"""Timbrel: the same words in another person's voice, from one recording of that person.

from timbrel import VoiceConverter

converter = VoiceConverter.from_pretrained()
voice = converter.enrol("target.wav")
converter.convert("source.wav", voice).save("out.wav")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from timbrel.errors import (
    AudioError,
    CheckpointError,
    ConfigError,
    ContractError,
    CorpusError,
    OutputError,
    TimbrelError,
    TrainingError,
)

if TYPE_CHECKING:
    from timbrel.pipeline import VoiceConverter
    from timbrel.results import Conversion
    from timbrel.steering import Steering
    from timbrel.voice import Voice

__version__ = "0.1.0"

__all__ = [
    "AudioError",
    "CheckpointError",
    "ConfigError",
    "ContractError",
    "Conversion",
    "CorpusError",
    "OutputError",
    "Steering",
    "TimbrelError",
    "TrainingError",
    "Voice",
    "VoiceConverter",
    "__version__",
]

# What needs torch is imported when it is first asked for.
_LATE = {
    "Conversion": "timbrel.results",
    "Steering": "timbrel.steering",
    "Voice": "timbrel.voice",
    "VoiceConverter": "timbrel.pipeline",
}


def __getattr__(name: str) -> object:
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
