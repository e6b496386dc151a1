"""Recordings of two people, and a small encoder that is not the bundled one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from timbrel import checkpoint
from timbrel.models.gru_embedder import GRUEmbedder, GRUEmbedderConfig


@pytest.fixture
def people(tmp_path: Path, demo_pair: tuple[Path, Path]) -> Path:
    """A folder for each of two people, with three pieces of 2.5 s of each one's demo recording."""
    for name, source in zip(("first", "second"), demo_pair, strict=True):
        samples, rate = soundfile.read(source)
        folder = tmp_path / "people" / name
        folder.mkdir(parents=True)
        length = round(2.5 * rate)
        for place in range(3):
            piece = samples[place * length : (place + 1) * length]
            soundfile.write(folder / f"{place}.wav", piece, rate)
    return tmp_path / "people"


@pytest.fixture
def small_encoder(tmp_path: Path) -> Path:
    """A checkpoint of another family, untrained."""
    torch.manual_seed(0)
    config = GRUEmbedderConfig(layers=1, width=8, embedding_dim=6)
    checkpoint.write(
        tmp_path / "small",
        family="gru-embedder",
        name="small",
        config=config,
        tensors=GRUEmbedder(config).state_dict(),
        provenance={},
        card="",
    )
    return tmp_path / "small"


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A recording of two seconds of noise."""
    path = tmp_path / "noise.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 32000), 16000)
    return path
