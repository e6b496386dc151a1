"""A checkpoint directory is written whole or not at all and says of itself what it is."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from timbrel import checkpoint
from timbrel.config import decode_config
from timbrel.contract import FeatureSpec
from timbrel.errors import CheckpointError

MEL = FeatureSpec("mel", 16000, 128, 80, n_fft=512, window=512, f_max=8000.0)


@dataclass(frozen=True, slots=True)
class Config:
    mel: FeatureSpec = MEL
    width: int = 3


def tensors() -> dict[str, Tensor]:
    return {"weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(7)}


def write(path: Path, **changes: Any) -> Path:
    options: dict[str, Any] = {
        "family": "vqvc",
        "name": "little",
        "config": Config(width=5),
        "tensors": tensors(),
        "provenance": {"licence": "MIT", "measured": {"loss": 0.5}},
        "card": "# little\n",
    }
    checkpoint.write(path, **(options | changes))
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    read = checkpoint.read(write(tmp_path / "little"))
    assert (read.family, read.name) == ("vqvc", "little")
    assert decode_config(read.config, Config) == Config(width=5)
    assert read.provenance == {"licence": "MIT", "measured": {"loss": 0.5}}
    loaded = checkpoint.load_tensors(read)
    assert loaded.keys() == {"weight", "steps"}
    assert torch.equal(loaded["weight"], torch.arange(6.0).reshape(2, 3))
    assert loaded["steps"].dtype == torch.int64


def test_half_precision_saves_space_and_loads_as_single(tmp_path: Path) -> None:
    read = checkpoint.read(write(tmp_path / "half", tensors={"w": torch.full((4,), 0.5).half()}))
    assert checkpoint.load_tensors(read)["w"].dtype == torch.float32


def test_tensors_that_share_memory_are_written(tmp_path: Path) -> None:
    base = torch.arange(4.0)
    read = checkpoint.read(write(tmp_path / "tied", tensors={"a": base, "b": base, "c": base.view(2, 2).T}))
    assert checkpoint.load_tensors(read)["c"].tolist() == [[0.0, 2.0], [1.0, 3.0]]


def test_an_existing_checkpoint_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = write(tmp_path / "little")
    with pytest.raises(CheckpointError, match="exists already"):
        write(path, name="other")
    assert checkpoint.read(path).name == "little"
    write(path, name="other", overwrite=True)
    assert checkpoint.read(path).name == "other"
    assert [item.name for item in tmp_path.iterdir()] == ["little"]


def test_overwriting_spares_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("dear")
    # As sites made by other programs have it.
    (tmp_path / "letters" / "config.toml").write_text('title = "Letters"\n')
    with pytest.raises(CheckpointError, match="exists already"):
        write(tmp_path / "letters", overwrite=True)
    assert (tmp_path / "letters" / "dear.txt").read_text() == "dear"


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "little")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        write(path, name="other", overwrite=True)
    assert checkpoint.read(path).name == "little"
    assert [item.name for item in tmp_path.iterdir()] == ["little"]


def test_a_kill_between_the_renames_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "little")
    rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", killed)
        write(path, name="other", overwrite=True)
    assert not path.exists()
    assert checkpoint.read(path).name == "little"


def test_a_reader_waits_for_a_writer_between_the_renames(tmp_path: Path) -> None:
    path, new = write(tmp_path / "little"), write(tmp_path / "new", name="other")
    path.rename(tmp_path / ".little.previous")
    writer = threading.Timer(0.1, lambda: new.rename(path))
    writer.start()
    assert checkpoint.read(path).name == "other"
    writer.join()


def test_a_draft_that_was_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    """Processes of two containers have the same number."""
    (tmp_path / f".little.{os.getpid()}.partial").mkdir()
    assert checkpoint.read(write(tmp_path / "little")).name == "little"


def test_parts_are_copied_in(tmp_path: Path) -> None:
    part = write(tmp_path / "part")
    whole = write(
        tmp_path / "whole",
        family="pipeline",
        config={"content": "content"},
        tensors={},
        parts={"content": part},
    )
    assert checkpoint.read(whole / "content").name == "little"
    assert not (whole / checkpoint.WEIGHTS).exists()


def test_missing_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent is no checkpoint folder: there is no such folder"):
        checkpoint.read(tmp_path / "absent")
    with pytest.raises(CheckpointError, match=r"it has no config\.toml"):
        checkpoint.read(tmp_path)
    path = write(tmp_path / "little")
    (path / checkpoint.WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        checkpoint.load_tensors(checkpoint.read(path))
    (path / checkpoint.PROVENANCE).unlink()
    with pytest.raises(CheckpointError, match=r"no readable provenance\.json"):
        checkpoint.read(path)


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "little") / checkpoint.CONFIG
    path.write_text('colour = "red"\n' + path.read_text())
    with pytest.raises(CheckpointError, match=r'config\.toml: unknown key "colour"'):
        checkpoint.read(path.parent)


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "little") / checkpoint.CONFIG
    path.write_text(path.read_text().replace("format = 1", "format = 2"))
    with pytest.raises(CheckpointError, match="format 2, and this Timbrel reads format 1"):
        checkpoint.read(path.parent)


@pytest.mark.parametrize("kept", [0, 5, 60])
def test_a_damaged_weight_file_is_named(tmp_path: Path, kept: int) -> None:
    path = write(tmp_path / "little") / checkpoint.WEIGHTS
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        checkpoint.load_tensors(checkpoint.read(path.parent))


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_damaged_provenance_is_named(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "little") / checkpoint.PROVENANCE
    path.write_text(text)
    with pytest.raises(CheckpointError, match=r"provenance\.json"):
        checkpoint.read(path.parent)


def test_the_files_are_plain_formats(tmp_path: Path) -> None:
    path = write(tmp_path / "little")
    # A safetensors file is an 8-byte little-endian length, then JSON, then the bytes.
    raw = (path / checkpoint.WEIGHTS).read_bytes()
    header = json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])
    assert header["weight"]["shape"] == [2, 3]
    assert {item.name for item in path.iterdir()} == {
        "config.toml",
        "model.safetensors",
        "provenance.json",
        "CARD.md",
    }


def test_the_fingerprint_by_hand() -> None:
    one = struct.pack("<2f", 1.0, 2.0)
    two = struct.pack("<q", 7)
    digest = hashlib.sha256(b"a|torch.float32|(2,)|" + one + b"b|torch.int64|()|" + two)
    weights = {"b": torch.tensor(7), "a": torch.tensor([1.0, 2.0])}
    assert checkpoint.fingerprint(weights) == digest.hexdigest()[:16]


@pytest.mark.parametrize(
    "other",
    [
        {"b": torch.zeros(4)},
        {"a": torch.zeros(2, 2)},
        {"a": torch.zeros(4, dtype=torch.int32)},
        {"a": torch.tensor([0.0, 0.0, 0.0, 1e-45])},
        {"a": torch.zeros(4), "b": torch.zeros(0)},
    ],
    ids=["name", "shape", "type", "value", "another"],
)
def test_other_weights_have_another_fingerprint(other: dict[str, Tensor]) -> None:
    assert checkpoint.fingerprint(other) != checkpoint.fingerprint({"a": torch.zeros(4)})


def test_the_fingerprint_survives_the_file(tmp_path: Path) -> None:
    read = checkpoint.read(write(tmp_path / "little"))
    assert checkpoint.fingerprint(checkpoint.load_tensors(read)) == checkpoint.fingerprint(tensors())
