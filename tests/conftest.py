"""What all tests share: real speech where it lies beside the checkout, and a home of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run, and no complaint about a busy machine.
settings.register_profile(
    "timbrel", derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("timbrel")

# What a script starts in the background is born deaf to Ctrl-C, and so would be every command started here.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Folder of real speech with `manifest.csv` and `pairs_dev.csv`; the test is skipped without it."""
    folder = ROOT.parent / "shared" / "corpus"
    if not (folder / "manifest.csv").is_file():
        pytest.skip("no real speech: ../shared/corpus is not there")
    return folder


@pytest.fixture(scope="session")
def demo_pair() -> tuple[Path, Path]:
    """The two recordings shipped with the package: speech of two people."""
    folder = ROOT / "src" / "timbrel" / "assets" / "demo"
    return folder / "first.flac", folder / "second.flac"


@pytest.fixture(scope="session", autouse=True)
def _home_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For fixtures that outlive a test, which are made before its own `home`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIMBREL_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty TIMBREL_HOME, so that what the tester has installed does not matter."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("TIMBREL_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def start_timbrel() -> Iterator[Start]:
    """Starts the real command in a process of its own, on one thread.

    With `launch` it is what follows `accelerate launch`; `module` may stand in for timbrel.
    """
    started: list[subprocess.Popen[str]] = []

    def start(
        *arguments: str | Path, launch: str = "", module: str = "timbrel", **environment: str
    ) -> subprocess.Popen[str]:
        threads = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        launcher = ["accelerate.commands.launch", *launch.split(), "-m"] if launch else []
        process = subprocess.Popen(
            [sys.executable, "-m", *launcher, module, *map(str, arguments)],
            env={**os.environ, **threads, **environment},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
