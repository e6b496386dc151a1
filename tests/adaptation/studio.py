"""A small model and recordings of somebody: all that an adaptation needs, in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import torch
from tests.methods import making

from timbrel.adaptation import base as bases
from timbrel.adaptation.base import Base
from timbrel.adaptation.material import CROP, Material, Stretch


def base(folder: Path) -> Base:
    """A pipeline of small random networks, ready to be adapted."""
    return bases.load(making.attending(folder / "small"), torch.device("cpu"))


def recordings(folder: Path, *seconds: float) -> list[Path]:
    """Recordings of something like speech, each at a pitch of its own."""
    paths = []
    for number, length in enumerate(seconds):
        paths.append(folder / f"take{number}.wav")
        soundfile.write(paths[-1], making.speechlike(length, pitch=110 + 7 * number), 16000)
    return paths


def stretch(seed: int, frames: int = CROP + 30, content: int = 16) -> Stretch:
    """Random frames with a random sound to them."""
    generator = torch.Generator().manual_seed(seed)
    return Stretch(
        audio=0.1 * torch.randn(256 * frames - 128, generator=generator),
        content=torch.randn(frames, content, generator=generator),
        mel=torch.randn(frames, 160, generator=generator) - 4,
        speech=torch.ones(frames, dtype=torch.bool),
        f0=100 + 50 * torch.rand(frames, generator=generator),
        voicing=torch.rand(frames, generator=generator),
    )


def material(count: int = 4) -> Material:
    """Some stretches to learn from, and two to measure on."""
    train = tuple(stretch(seed) for seed in range(count))
    return Material(train, (stretch(100), stretch(101)), 40.0, (Path("take0.wav"),), ())


def figures(network: torch.nn.Module) -> np.ndarray:
    """All its weights in a row."""
    return np.concatenate([tensor.detach().flatten().numpy() for tensor in network.state_dict().values()])
