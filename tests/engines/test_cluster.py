"""`prepare` and `convert --batch` on a real Ray cluster, of whose two nodes one is killed meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors import safe_open
from tests.engines import labour

from timbrel import VoiceConverter
from timbrel.batch import convert_rows, read_pairs
from timbrel.cli.app import app
from timbrel.engines.cluster import connect
from timbrel.errors import ConfigError, EngineError
from timbrel.ledger import LEDGER

Start = Callable[..., "subprocess.Popen[str]"]

RATE, CLIPS = 16000, 30


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the workers have, since the order of sums goes with the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def kill_a_node(cluster: Any, made: Callable[[], int]) -> int:
    """The node and its worker are gone at once, as when a machine loses power; what was made by then."""
    (node,) = cluster.worker_nodes
    node.kill_raylet(check_alive=False)
    count = made()
    cluster.remove_node(node, allow_graceful=False)
    return count


def contents(folder: Path) -> dict[str, Any]:
    """What every file says; safetensors writes its metadata in an order of its own in each process."""
    return {str(path.relative_to(folder)): _content(path) for path in folder.rglob("*") if path.is_file()}


def _content(path: Path) -> Any:
    if path.suffix != ".safetensors":
        return path.read_bytes()
    with safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        return file.metadata(), {name: (t.dtype, t.shape, t.tobytes()) for name, t in tensors.items()}


def test_prepare_survives_the_loss_of_a_node(tmp_path: Path, two_nodes: Any, start_timbrel: Start) -> None:
    raw, out, alone = (tmp_path / name for name in ("raw", "out", "alone"))
    for number in range(CLIPS):
        (raw / f"speaker{number % 3}").mkdir(parents=True, exist_ok=True)
        time = np.arange(RATE * (1 + number % 4) // 2) / RATE
        sound = sum(np.sin(2 * np.pi * (90 + number) * k * time) / k for k in range(1, 9))
        soundfile.write(raw / f"speaker{number % 3}" / f"{number}.wav", 0.1 * sound, RATE)
    (raw / "speaker0/broken.wav").write_text("no audio")
    process = start_timbrel("prepare", "folder", raw, out, "--engine", "ray", "--address", two_nodes.address)
    labour.wait_for(lambda: process.poll() is not None or any(out.glob("clips/*/*.safetensors")))
    assert kill_a_node(two_nodes, lambda: len(list(out.glob("clips/*/*.safetensors")))) < CLIPS
    printed, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert f"{CLIPS} clips made" in printed
    local = start_timbrel("prepare", "folder", raw, alone)
    local.communicate(timeout=300)
    assert local.returncode == 0
    assert contents(out) == contents(alone)


def test_a_batch_survives_the_loss_of_a_node(
    tmp_path: Path, two_nodes: Any, start_timbrel: Start, demo_pair: tuple[Path, Path]
) -> None:
    source, rate = soundfile.read(demo_pair[0])
    rows = []
    for number in range(6):
        soundfile.write(tmp_path / f"{number}.flac", source[: rate * (2 + number % 3) // 2], rate)
        rows.append(f"{number}.flac,{demo_pair[1]},{number}.wav\n")
    table, out, alone = tmp_path / "pairs.csv", tmp_path / "out", tmp_path / "alone"
    table.write_text("source,target,output\n" + "".join(rows) + f"absent.wav,{demo_pair[1]},7.wav\n")
    command = ("convert", "--batch", table, "-o", out, "--engine", "ray", "--address", two_nodes.address)
    process = start_timbrel(*command)
    labour.wait_for(lambda: process.poll() is not None or any(out.glob("*.wav")))
    assert kill_a_node(two_nodes, lambda: len(list(out.glob("*.wav")))) < 6
    printed, said = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "6 converted, 0 done before, 1 failed" in printed
    assert "row 8: " in said
    assert "absent.wav" in said
    alone.mkdir()
    list(convert_rows(read_pairs(table, alone), VoiceConverter.from_pretrained(device="cpu"), alone))
    results = contents(out)
    ledger = results.pop(LEDGER).decode().splitlines()
    expected = contents(alone)
    assert sorted(map(json.loads, ledger), key=str) == sorted(
        map(json.loads, expected.pop(LEDGER).decode().splitlines()), key=str
    )
    assert results == expected


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "ada").mkdir()
    soundfile.write(tmp_path / "ada/a.wav", np.zeros(RATE), RATE)
    with pytest.raises(EngineError, match=r'^Ray is not installed: .* pip install "timbrel\[ray\]"'):
        app(
            ["prepare", "folder", str(tmp_path), str(tmp_path / "out"), "--engine", "ray"],
            standalone_mode=False,
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_an_address_where_nobody_answers_is_named(address: str) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with (
        pytest.raises(EngineError, match=rf"^No Ray cluster answers at {address}: .*--address\.$"),
        connect(address),
    ):
        pass


def test_an_address_without_ray_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ada").mkdir()
    soundfile.write(tmp_path / "ada/a.wav", np.zeros(RATE), RATE)
    arguments = ["prepare", "folder", str(tmp_path), str(tmp_path / "out"), "--address", "auto"]
    with pytest.raises(ConfigError, match="add --engine ray"):
        app(arguments, standalone_mode=False)


def test_workers_share_the_folder_of_the_caller(
    two_nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    with connect(two_nodes.address) as cluster:
        gone.rmdir()
        worker = cluster.hire(list)
        with pytest.raises(EngineError, match=rf"finds no folder {gone}: run from a folder that all"):
            cluster.result(worker.begin())
