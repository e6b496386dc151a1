"""What `import timbrel` offers, and that it costs little."""

from __future__ import annotations

import subprocess
import sys

import pytest

import timbrel


def test_the_public_names() -> None:
    assert sorted(timbrel.__all__) == [
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
    assert dir(timbrel) == sorted(timbrel.__all__)


@pytest.mark.parametrize("name", timbrel.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(timbrel, name) is not None


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Converter'"):
        timbrel.Converter  # noqa: B018


def test_every_error_can_be_caught_as_one() -> None:
    errors = [getattr(timbrel, name) for name in timbrel.__all__ if name.endswith("Error")]
    assert all(issubclass(error, timbrel.TimbrelError) for error in errors)


@pytest.mark.parametrize("heavy", ["torch", "scipy", "pyloudnorm", "accelerate", "onnxruntime", "numpy"])
def test_importing_is_light(heavy: str) -> None:
    code = f"import sys, timbrel; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
