"""A list of pairs of four speakers, each with two recordings of noise that is no speech."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from timbrel.evaluation import metrics

ROOT = Path(__file__).parents[2]
SPEAKERS = ("ann", "bob", "cid", "dot")


@pytest.fixture(autouse=True)
def fake_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only metrics that need no network, and one that cannot be had; workers find them too."""
    monkeypatch.syspath_prepend(str(ROOT))
    fakes = {name: f"tests.evaluation.fakes:{name}" for name in ("length", "parallel", "named", "none")}
    monkeypatch.setattr(metrics, "METRICS", fakes)
    monkeypatch.setattr("timbrel.evaluation.scoring.METRICS", metrics.METRICS)


def tone(path: Path, seconds: float, pitch: float) -> None:
    """A recording with some noise, so that no two are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * 16000)) / 16000
    noise = np.random.default_rng(round(pitch)).normal(0, 0.01, len(time))
    soundfile.write(path, 0.2 * np.sin(2 * np.pi * pitch * time) + noise, 16000)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A folder for each speaker, with a.wav and b.wav."""
    for place, name in enumerate(SPEAKERS):
        for number, clip in enumerate("ab"):
            tone(tmp_path / name / f"{clip}.wav", 1.0 + 0.25 * number, 100 + 20 * place + number)
    return tmp_path


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    """A CSV of rows that all have the same columns."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def pairs(recordings: Path) -> Path:
    """Every speaker's a.wav to the next two speakers' b.wav: eight rows."""
    rows = [
        {"source": f"{SPEAKERS[place]}/a.wav", "target": f"{SPEAKERS[(place + step) % 4]}/b.wav"}
        for place in range(4)
        for step in (1, 2)
    ]
    return write_table(recordings / "pairs.csv", rows)


@pytest.fixture
def converted(recordings: Path) -> Path:
    """What another system made: 0000.wav to 0007.wav, a tenth longer than the sources."""
    for number in range(8):
        tone(recordings / "made" / f"{number:04d}.wav", 1.1, 300 + number)
    return recordings / "made"
