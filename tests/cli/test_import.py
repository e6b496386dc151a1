"""`timbrel import`: published weights in, a checkpoint of ours out, or one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from timbrel import checkpoint

from ..interop import publishing
from .conftest import Command


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """An AutoVC of small sizes as its authors' file has it."""
    weights = publishing.filled(publishing.autovc(neck=4, pre=8, wide=8, last=8))
    return publishing.save_zip(tmp_path / "autovc.ckpt", {"model": weights})


def test_a_family_and_a_file(timbrel: Command, published: Path, home: Path) -> None:
    ended = timbrel("import", "autovc", published)
    assert ended.code == 0
    assert "autovc" in ended.out
    assert "freq is 32" in ended.out
    assert "autovc-16k" in ended.out
    assert "licence" in ended.out
    assert "timbrel compose --converter autovc" in ended.out
    assert checkpoint.read(home / "models" / "autovc").family == "autovc"
    listed = timbrel("models")
    assert "autovc\n  kind      autovc" in listed.out


@pytest.mark.parametrize("words", [("auto",), (), ("--family", "auto"), ("--family", "autovc")])
def test_a_file_that_is_recognised(timbrel: Command, published: Path, words: tuple[str, ...]) -> None:
    ended = timbrel("import", *words, published, "-o", "mine", "--freq", "16")
    assert ended.code == 0
    assert "freq is 16" in ended.out
    found = checkpoint.read("mine")
    assert found.config["freq"] == 16
    assert found.name == "mine"
    assert found.provenance["imported"]["sha256"] in ended.out


def test_nothing_is_replaced_unasked(timbrel: Command, published: Path) -> None:
    assert timbrel("import", published, "-o", "mine").code == 0
    before = Path("mine/config.toml").read_text()
    again = timbrel("import", published, "-o", "mine", "--freq", "16")
    assert again.code == 2
    assert "mine exists already" in again.err
    assert Path("mine/config.toml").read_text() == before
    assert timbrel("import", published, "-o", "mine", "--freq", "16", "--force").code == 0
    assert checkpoint.read("mine").config["freq"] == 16


def test_a_folder_that_is_no_checkpoint_is_never_replaced(timbrel: Command, published: Path) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years of work")
    assert timbrel("import", published, "-o", "mine", "--force").code == 2
    assert Path("mine/thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("import", "autovc", "nothing.ckpt"), "nothing.ckpt cannot be read: No such file or directory."),
        (("import", "autovcc", "FILE"), 'no family "autovcc" to import'),
        (("import", "autovcc", "FILE"), 'did you mean "autovc"?'),
        (("import", "vocgan", "FILE"), "does not fit the family vocgan"),
        (("import", "gru-embedder", "FILE"), "rnn_stack.weight_hh_l0 is missing."),
        (("import", "autovc", "FILE", "--layer", "6"), "layer means nothing to autovc"),
        (("import", "autovc", "FILE", "--mel", "x"), 'no mel "x"'),
        (("import", "autovc", "FILE", "--freq", "0"), "freq must be at least 1, not 0."),
        (("import", "autovc", "FILE", "--family", "vocos"), "given twice, as autovc and as vocos"),
    ],
)
def test_refusals_are_one_sentence(
    timbrel: Command, published: Path, words: tuple[str, ...], told: str, home: Path
) -> None:
    ended = timbrel(*(published if word == "FILE" else word for word in words))
    assert ended.code == 2
    assert told in ended.err
    assert ended.err.count("\n") == 1
    assert not (home / "models").exists()


def test_a_hostile_file_runs_nothing(timbrel: Command, tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"model": Attack()}, tmp_path / "x.ckpt")
    ended = timbrel("import", tmp_path / "x.ckpt")
    assert ended.code == 2
    assert "nothing was run" in ended.err
    assert not (tmp_path / "ran").exists()


def test_help_names_the_families_without_loading_torch() -> None:
    program = "import sys; from timbrel.cli import import_; print('torch' in sys.modules, *import_.FAMILIES)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded, *families = ended.stdout.split()
    assert loaded == "False"
    assert {"autovc", "simple-autovc", "resemblyzer", "gru-embedder"} <= set(families)
