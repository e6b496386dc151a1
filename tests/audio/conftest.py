"""Sounds made on the spot, and machines with and without ffmpeg."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def voice() -> np.ndarray:
    """3 s at 16 kHz that a tracker takes for speech: gliding buzzes with pauses between them."""
    time = np.arange(48000) / 16000
    phase = 2 * np.pi * np.cumsum(130 + 40 * np.sin(2 * np.pi * 0.7 * time)) / 16000
    buzz = sum(np.sin(k * phase) / k for k in range(1, 50))
    envelope = np.clip(2 * np.sin(2 * np.pi * 1.5 * time), 0, 1)
    noise = 1e-4 * np.random.default_rng(0).standard_normal(len(time))
    return (0.1 * buzz * envelope + noise).astype(np.float32)


@pytest.fixture
def no_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without ffmpeg."""
    empty = tmp_path / "empty-path"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))


@pytest.fixture
def fake_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program called ffmpeg on the PATH: the given lines of Python."""

    def install(body: str) -> None:
        folder = tmp_path / "fake-path"
        folder.mkdir()
        program = folder / "ffmpeg"
        program.write_text(f"#!{sys.executable}\nimport sys, struct\nout = sys.stdout.buffer\n{body}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return install
