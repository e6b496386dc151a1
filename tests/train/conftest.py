"""A tiny corpus of made-up voices, prepared, and recipes small enough to train in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from timbrel.config import to_toml
from timbrel.corpora import folder
from timbrel.train.prepare import prepare

RATE = 16000
SECONDS = 1.4


def made_up_voice(f0: float, seconds: float, seed: int) -> np.ndarray:
    """Harmonics with a wandering pitch and a slow envelope, (T,) within [-1, 1]."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = f0 * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(0.5, 2) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    sound = sum(np.sin(k * phase) / k for k in range(1, 12))
    envelope = 0.6 + 0.4 * np.sin(2 * np.pi * 3 * time + random.uniform(0, 6))
    return np.asarray(0.2 * sound * envelope + 0.001 * random.standard_normal(len(time)))


def _write_corpus(root: Path, clips: int = 4) -> Path:
    """Three speakers of `clips` recordings each, a folder per speaker."""
    for number, (speaker, f0) in enumerate({"ada": 210.0, "bob": 110.0, "eve": 250.0}.items()):
        (root / speaker).mkdir(parents=True)
        for clip in range(clips):
            sound = made_up_voice(f0, SECONDS + 0.1 * clip, 10 * number + clip)
            soundfile.write(root / speaker / f"clip{clip}.wav", sound, RATE)
    return root


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The order of sums, and so the last bit, goes with the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def write_corpus() -> Callable[..., Path]:
    """Writes three speakers of `clips` recordings each, a folder per speaker."""
    return _write_corpus


@pytest.fixture(scope="session")
def raw_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings in a folder per speaker."""
    return _write_corpus(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="session")
def prepared(raw_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same prepared at 16 kHz: 11 clips to train on, one, of ada, to validate on."""
    out = tmp_path_factory.mktemp("prepared")
    prepare(folder.read(raw_corpus), out)
    return out


@pytest.fixture
def write_recipe(prepared: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a small VQVC recipe; arguments replace keys of its [run] table."""

    def write(**run: object) -> Path:
        tables: dict[str, object] = {
            "name": "tiny",
            "task": "vqvc",
            "data": {"corpus": str(prepared), "batch": 2, "seconds": 0.5},
            "run": {"steps": 6, "log_every": 1, "save_every": 3, "validate_every": 3, **run},
            "optimizer": {"model": {"learning_rate": 1e-3, "schedule": "cosine", "warmup": 2, "clip": 1.0}},
            "settings": {
                "model": {
                    "codes": 8,
                    "code_dim": 8,
                    "stem": 8,
                    "hidden": 8,
                    "width": 8,
                    "encoder_dilations": [1],
                    "decoder_dilations": [1],
                }
            },
        }
        path = tmp_path / "tiny.toml"
        path.write_text(to_toml(tables), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def write_content() -> Callable[[Path], Path]:
    """Writes the checkpoint of a small WavLM."""
    pytest.importorskip("transformers")
    from tests.methods.making import part
    from tests.models.small import wavlm

    return lambda folder: part(folder, wavlm())
