"""Runs the command line, in this process where that is enough, in one of its own where it matters."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from timbrel.cli import main


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit status and what it printed."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def timbrel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Runs `timbrel ARGUMENTS` in an empty folder, within this process."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["timbrel", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return Ended(int(end.value.code or 0), printed.out, printed.err)

    yield run
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def timbrel_process(tmp_path: Path) -> Command:
    """Runs `timbrel ARGUMENTS` in an empty folder, as a process of its own."""
    (tmp_path / "work").mkdir(exist_ok=True)

    def run(*arguments: str | Path) -> Ended:
        command = [sys.executable, "-m", "timbrel", *map(str, arguments)]
        ended = subprocess.run(command, cwd=tmp_path / "work", capture_output=True, text=True, check=False)
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A recording of one second of noise: audio, but no speech."""
    path = tmp_path / "noise.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 16000), 16000)
    return path


def is_one_sentence(text: str) -> bool:
    """Whether `text` is a single line as the command line says errors, without a traceback."""
    line = text.rstrip("\n")
    return line.startswith("timbrel: ") and "\n" not in line and line.endswith((".", "?"))
