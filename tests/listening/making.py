"""Makes a small study: short sounds of two systems and of natural speech, in two conditions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from timbrel.audio.io import Waveform, write

RATE = 16000
SECONDS = 0.45
SYSTEMS = ("baseline", "proposed")

STUDY = """
title = "Which voice is better?"
instructions = "Judge the voice."
tests = {tests}
pairs = "pairs.csv"
converted = "converted"
seed = 3
listeners = {listeners}
headphones = "{headphones}"
attention = {attention}

[systems.baseline]
[systems.proposed]
[systems.natural]
role = "reference"
column = "source"
"""


def sound(hertz: float, level: float = 0.2, seconds: float = SECONDS) -> Waveform:
    """Harmonics of a pitch, swelling and ebbing as syllables do."""
    steps = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * hertz * part * steps) / part for part in range(1, 6))
    samples = level * tone * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * steps))
    return Waveform(torch.from_numpy(samples.astype(np.float32)), RATE)


def material(
    folder: Path,
    tests: tuple[str, ...] = ("mos", "smos"),
    *,
    items: int = 4,
    listeners: int = 15,
    headphones: str = "off",
    attention: int = 2,
    seconds: float = SECONDS,
) -> Path:
    """Writes recordings, pairs.csv and STUDY.toml into a folder; gives the last one's path."""
    for name in ("recordings", *(f"converted/{system}" for system in SYSTEMS)):
        (folder / name).mkdir(parents=True)
    rows = ["source,target,condition"]
    for item in range(items):
        rows.append(f"recordings/s{item}.wav,recordings/t{item}.wav,{('seen', 'unseen')[item % 2]}")
        write(folder / f"recordings/s{item}.wav", sound(110 + 10 * item, 0.05, seconds))
        write(folder / f"recordings/t{item}.wav", sound(190 + 10 * item, 0.1, seconds))
        for place, system in enumerate(SYSTEMS):
            made = sound(150 + 20 * item + 5 * place, 0.02 + 0.1 * place, seconds)
            write(folder / f"converted/{system}/{item:04d}.wav", made)
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")
    text = STUDY.format(
        tests=json.dumps(tests), listeners=listeners, headphones=headphones, attention=attention
    )
    (folder / "STUDY.toml").write_text(text)
    return folder / "STUDY.toml"


class Clock:
    """A clock that is set by hand; seconds since the epoch."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += seconds
