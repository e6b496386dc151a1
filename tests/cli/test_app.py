"""The command line answers at once, and errors are one sentence and exit status 2."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

import timbrel as package
from timbrel import registry
from timbrel.checkpoint import write
from timbrel.cli.app import app
from timbrel.cli.shared import progress_line

from .conftest import Command, is_one_sentence

COMMANDS = {
    *("adapt", "average", "calibrate", "compose", "convert", "corpus", "demo", "doctor", "enrol"),
    *("evaluate", "identify", "import", "info", "listen", "models", "prepare", "pull", "remake"),
    *("teach", "train", "trials", "verify"),
}


@pytest.mark.parametrize("arguments", [["--help"], ["models"], ["--version"], ["convert", "--help"]])
def test_no_torch_where_none_is_needed(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom timbrel.cli import main\n"
        f"sys.argv = ['timbrel', *{arguments!r}]\n"
        "try:\n    main()\n"
        "finally:\n    print([m for m in ('torch', 'scipy', 'onnxruntime') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ImportError])
def test_ctrl_c_while_libraries_load_is_no_traceback(error: type[BaseException]) -> None:
    """Some turn the interrupt into an error of their own."""
    code = (
        "import os, signal, sys\nfrom timbrel.cli import app, main\n"
        "def run():\n"
        "    try:\n        os.kill(os.getpid(), signal.SIGINT)\n"
        f"    except KeyboardInterrupt:\n        raise {error.__name__} from None\n"
        "app.run = run\nmain()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (130, "")


def test_what_cannot_be_imported_is_not_taken_for_ctrl_c() -> None:
    code = (
        "from timbrel.cli import app, main\n"
        "def run():\n    raise ImportError('no such thing')\n"
        "app.run = run\nmain()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "no such thing" in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", "loop.wav", "-t", "second.flac", "-o", "x.wav"],
        ["convert", "second.flac", "-t", "loop.wav", "-o", "x.wav"],
        ["convert", "second.flac", "-t", "second.flac", "-o", "loop.wav"],
        ["convert", "--batch", "table.csv", "-o", "made"],
        ["average", "loop.wav", "-o", "made"],
        ["prepare", "folder", "loop.wav", "made"],
        ["prepare", "folder", "people", "loop.wav"],
        ["remake", "loop.wav", "-o", "made", "--moonshine", "second.flac", "--resemblyzer", "second.flac"],
    ],
)
def test_a_loop_of_links_is_no_traceback(
    timbrel: Command, demo_pair: tuple[Path, Path], arguments: list[str]
) -> None:
    Path("loop.wav").symlink_to("loop.wav")
    Path("second.flac").write_bytes(demo_pair[1].read_bytes())
    Path("people", "ada").mkdir(parents=True)
    Path("people", "ada", "a.flac").write_bytes(demo_pair[1].read_bytes())
    Path("table.csv").write_text("source,target\nloop.wav,second.flac\n")
    ended = timbrel(*arguments)
    assert ended.code == (1 if "--batch" in arguments else 2)
    assert "Traceback" not in ended.err
    assert "loop" in ended.err


def test_help_names_every_command(timbrel: Command) -> None:
    ended = timbrel("--help")
    assert ended.code == 0
    # A name stands at the beginning of its line, after a border.
    assert set(re.findall(r"^\W ([a-z]+) ", ended.out, re.MULTILINE)) == COMMANDS
    assert set(typer.main.get_command(app).commands) == COMMANDS


def test_the_version(timbrel: Command) -> None:
    assert timbrel("--version").out == f"timbrel {package.__version__}\n"


def test_it_runs_as_a_module(timbrel_process: Command) -> None:
    assert timbrel_process("--version").out.startswith("timbrel ")


@pytest.mark.parametrize(
    "arguments", [["sing"], ["convert", "--loud"], ["convert", "--seed", "high"], ["info"]]
)
def test_wrong_usage_ends_with_2(timbrel: Command, arguments: list[str]) -> None:
    ended = timbrel(*arguments)
    assert ended.code == 2
    assert "Usage" in ended.err


def test_a_path_the_system_refuses_is_no_traceback(timbrel: Command) -> None:
    ended = timbrel("info", "a" * 300 + ".voice")
    assert ended.code == 2
    assert is_one_sentence(ended.err)


def fails(number: int) -> Callable[[], None]:
    """A function that the system refuses something without naming a file."""

    def call() -> None:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_what_a_disk_says_is_no_traceback(
    timbrel: Command, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(registry, "installed", fails(number))
    ended = timbrel("models")
    assert (ended.code, ended.err) == (2, f"timbrel: {os.strerror(number)}.\n")


def test_what_the_system_says_of_anything_else_is_a_bug(
    timbrel: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "installed", fails(errno.ENOTTY))
    with pytest.raises(OSError, match=os.strerror(errno.ENOTTY)):
        timbrel("models")


def test_models_lists_what_is_installed(timbrel: Command, home: Path) -> None:
    spec = {
        "kind": "mel",
        "sample_rate": 16000,
        "hop": 200,
        "dim": 80,
        "n_fft": 800,
        "window": 800,
        "f_max": 8000.0,
    }
    provenance = {"licence": "CC0-1.0", "measured": {"nearer": 0.75}}
    write(
        home / "models" / "mine",
        family="vqvc",
        name="mine",
        config={"mel": spec},
        tensors={},
        provenance=provenance,
        card="",
    )
    ended = timbrel("models")
    assert ended.code == 0
    for text in ("mine\n", "vqvc", "CC0-1.0", "nearer 0.75", "80 values, 80 frames/s of 16000 Hz"):
        assert text in ended.out


def test_models_lists_the_bundled_one(timbrel: Command) -> None:
    assert "timbrel-one (default)" in timbrel("models").out


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_being_stopped_runs_the_clean_up(tmp_path: Path, number: int, status: int) -> None:
    code = (
        "import os, sys, time\n"
        "from timbrel.cli import app, main\n"
        "def stopped():\n"
        "    try:\n"
        f"        os.kill(os.getpid(), {int(number)}); time.sleep(5)\n"
        "    finally:\n"
        "        open('cleaned', 'w').close()\n"
        "app.app.command('wait')(stopped)\n"
        "sys.argv = ['timbrel', 'wait']\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False)
    assert ended.returncode == status
    assert (tmp_path / "cleaned").exists()


def test_a_progress_line_shows_names_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    with progress_line("take{1}[red].flac") as progress:
        progress(1.0, 2.0)
    assert "take{1}[red].flac" in capsys.readouterr().err
