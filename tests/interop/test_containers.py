"""Every container gives back the tensors that torch put in; damaged, lying and foreign files are refused."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from timbrel.errors import CheckpointError
from timbrel.interop.containers import read_tensors

from . import publishing

Save = Callable[[Path, object], Path]


def values(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def assert_same(given: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert list(given) == list(wanted)
    for name, tensor in wanted.items():
        assert given[name].dtype == tensor.dtype, name
        assert torch.equal(given[name], tensor), name


def test_tensors_and_what_lies_beside_them(tmp_path: Path, save: Save, container: str) -> None:
    content = {
        "generator": {"conv.weight": values(4, 3, 5), "conv.bias": values(4)},
        "step": 2_500_000,
        "cfg": {"layers": 24, "normalize": True, "conv": "[(512,10,5)]", "rate": 0.1, "none": None},
        "optimizer": {"state": {0: {"exp_avg": values(4)}}, "param_groups": [{"lr": 1e-4, "params": [0, 1]}]},
    }
    stored = read_tensors(save(tmp_path / "file", content))
    assert stored.container == container
    assert stored.path == tmp_path / "file"
    assert_same(
        stored.tensors,
        {
            "generator.conv.weight": content["generator"]["conv.weight"],
            "generator.conv.bias": content["generator"]["conv.bias"],
            "optimizer.state.0.exp_avg": content["optimizer"]["state"][0]["exp_avg"],
        },
    )
    assert stored.extras["step"] == 2_500_000
    assert stored.extras["cfg"] == content["cfg"]
    assert stored.extras["optimizer"]["param_groups"] == [{"lr": 1e-4, "params": [0, 1]}]


@pytest.mark.parametrize(
    "kind", ["float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
)
def test_every_type_of_value(tmp_path: Path, save: Save, kind: str) -> None:
    tensor = (20 * values(3, 7)).to(getattr(torch, kind))
    assert_same(read_tensors(save(tmp_path / "x", {"a": tensor})).tensors, {"a": tensor})


def test_views_into_shared_and_reordered_values(tmp_path: Path, save: Save) -> None:
    whole = values(6, 8)
    content = {
        "whole": whole,
        "part": whole[2:5, 1::2],
        "turned": whole.T,
        "empty": whole[:0],
        "one": whole[0, 0],
    }
    content["tied"] = nn.Parameter(whole)
    stored = read_tensors(save(tmp_path / "x", content))
    assert_same(stored.tensors, {name: tensor.detach() for name, tensor in content.items()})


def test_a_module_pickled_whole_is_its_state_dict(tmp_path: Path, save: Save) -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.utils.weight_norm(nn.Conv1d(4, 2, 3)))
    module.register_buffer("scratch", torch.zeros(2), persistent=False)
    wanted = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    stored = read_tensors(save(tmp_path / "x", {"model": module}))
    assert {name.removeprefix("model.") for name in stored.tensors} == set(wanted)
    for name, tensor in wanted.items():
        assert torch.equal(stored.tensors[f"model.{name}"], tensor)


def test_settings_in_classes_of_others_are_plain_values(tmp_path: Path, save: Save) -> None:
    import argparse
    import datetime

    content = {
        "args": argparse.Namespace(lr=0.1, mel={"bins": 80}),
        "w": values(2),
        "day": datetime.date(2020, 1, 1),
    }
    stored = read_tensors(save(tmp_path / "x", content))
    assert stored.extras["args"] == {"lr": 0.1, "mel": {"bins": 80}}
    assert list(stored.tensors) == ["w"]


def test_safetensors(tmp_path: Path) -> None:
    wanted = {"a.weight": values(2, 3), "b": values(4).half()}
    safetensors.torch.save_file(wanted, tmp_path / "x", metadata={"format": "pt"})
    stored = read_tensors(tmp_path / "x")
    assert_same(dict(sorted(stored.tensors.items())), wanted)
    assert (stored.container, stored.extras) == ("safetensors", {"format": "pt"})


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_as_hugging_face_lays_it_out(tmp_path: Path, name: str) -> None:
    weights = {"encoder.weight": values(2, 3)}
    if name.endswith("bin"):
        torch.save(weights, tmp_path / name)
    else:
        safetensors.torch.save_file(weights, tmp_path / name)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "wavlm", "layers": 3}))
    stored = read_tensors(tmp_path)
    assert_same(stored.tensors, weights)
    assert stored.extras["config"] == {"model_type": "wavlm", "layers": 3}
    assert stored.path == tmp_path / name
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read"):
        read_tensors(tmp_path)


PACKAGED = """
from torch import nn
from torch.nn.utils import weight_norm

class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_pre = weight_norm(nn.Conv1d(80, 6, 7))
        self.ups = nn.ModuleList([nn.ConvTranspose1d(6, 3, 4)])
"""


def test_a_torch_package_is_read_without_its_code(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    source = f"{PACKAGED}\nif __name__.startswith('<torch_package'): open({str(ran)!r}, 'w')"
    module: list[nn.Module] = []

    def make(package: object) -> nn.Module:
        module.append(package.Generator())  # type: ignore[attr-defined]
        return module[0]

    path = publishing.save_package(tmp_path / "packaged_hifigan.pt", source, make, _shelf(tmp_path))
    stored = read_tensors(path)
    assert stored.container == "torch.package"
    assert not ran.exists()
    wanted = module[0].state_dict()
    assert set(stored.tensors) == set(wanted) >= {"conv_pre.weight_g", "conv_pre.weight_v", "ups.0.weight"}
    for name, tensor in wanted.items():
        assert torch.equal(stored.tensors[name], tensor)


def _shelf(folder: Path) -> Path:
    (folder / "shelf").mkdir()
    return folder / "shelf"


# Files that are not what they should be.


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"hello", "neither a torch file nor"),
        (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "neither a torch file nor"),
        (b"PK\x03\x04" + bytes(40), "damaged or cut short"),
        (b"\x80\x02]q\x00.", "no checkpoint of torch"),
        (pickle.dumps([["p225", [0.1] * 4]]), "no checkpoint of torch"),
        (struct.pack("<Q", 1 << 40) + b"{}", "damaged or cut short"),
    ],
)
def test_foreign_files(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"x\.pt.*{told}") as caught:
        read_tensors(tmp_path / "x.pt")
    assert str(caught.value).count("\n") == 0


def test_missing_files_and_folders_without_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing\.pt cannot be read: No such file"):
        read_tensors(tmp_path / "nothing.pt")
    with pytest.raises(CheckpointError, match=r"folder without model\.safetensors"):
        read_tensors(tmp_path)


def test_torchscript_is_told_from_a_checkpoint(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py", "version"):
            archive.writestr(f"x/{name}", pickle.dumps(0))
    with pytest.raises(CheckpointError, match="TorchScript program"):
        read_tensors(tmp_path / "x.pt")


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_a_file_cut_short(tmp_path: Path, save: Save, kept: float) -> None:
    path = save(tmp_path / "x.pt", {"model": {"w": values(40, 40), "b": values(40)}})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(CheckpointError, match=r"x\.pt"):
        read_tensors(path)


@given(data=st.data(), legacy=st.booleans())
@settings(max_examples=150)
def test_damage_is_one_sentence_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, legacy: bool
) -> None:
    """Some bytes changed: the file is refused, or it still holds tensors; it never fails in another way."""
    path = tmp_path_factory.mktemp("damage") / "x.pt"
    save = publishing.save_legacy if legacy else publishing.save_zip
    content = bytearray(save(path, {"model": {"w": values(3, 4), "b": values(4)}, "step": 3}).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    try:
        tensors = read_tensors(path).tensors
    except CheckpointError as error:
        assert "x.pt" in str(error)
        assert "\n" not in str(error)
    else:
        assert all(isinstance(tensor, Tensor) for tensor in tensors.values())


def rewritten(path: Path, change: Callable[[zipfile.ZipInfo, bytes], tuple[zipfile.ZipInfo, bytes]]) -> None:
    """The same archive with entries changed."""
    made = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(made, "w") as other:
        for entry in archive.infolist():
            other.writestr(*change(entry, archive.read(entry)))
    path.write_bytes(made.getvalue())


def test_a_compressed_archive_may_be_a_bomb(tmp_path: Path) -> None:
    path = publishing.save_zip(tmp_path / "x.pt", {"w": torch.zeros(100_000)})

    def compress(entry: zipfile.ZipInfo, content: bytes) -> tuple[zipfile.ZipInfo, bytes]:
        entry.compress_type = zipfile.ZIP_DEFLATED
        return entry, content

    rewritten(path, compress)
    with pytest.raises(CheckpointError, match="compressed files, which torch never writes"):
        read_tensors(path)


def test_an_entry_that_claims_to_be_enormous(tmp_path: Path) -> None:
    path = publishing.save_zip(tmp_path / "x.pt", {"w": values(100)})
    content = path.read_bytes()
    directory = content.index(b"PK\x01\x02")
    lie = struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFF0)
    path.write_bytes(content[: directory + 20] + lie + content[directory + 28 :])
    with pytest.raises(CheckpointError, match="claims to hold more than the file is large"):
        read_tensors(path)


def shape_rewritten(path: Path, old: bytes, new: bytes) -> None:
    """The pickle of the archive with some bytes exchanged."""

    def change(entry: zipfile.ZipInfo, content: bytes) -> tuple[zipfile.ZipInfo, bytes]:
        if entry.filename.endswith("data.pkl"):
            assert old in content
            content = content.replace(old, new)
        return entry, content

    rewritten(path, change)


@pytest.mark.parametrize("size", [101, 60_000])
def test_a_shape_larger_than_what_is_stored(tmp_path: Path, size: int) -> None:
    path = publishing.save_zip(tmp_path / "x.pt", {"w": values(100)})
    shape_rewritten(path, b"K\x64\x85", b"M" + struct.pack("<H", size) + b"\x85")  # (100,) -> (size,)
    with pytest.raises(CheckpointError, match=rf"damaged: w is \({size},\), which is more than its 100"):
        read_tensors(path)


def test_a_shape_that_repeats_one_value_without_end(tmp_path: Path) -> None:
    """A stride of zero takes no memory here and all of it in the first copy."""
    path = publishing.save_zip(tmp_path / "x.pt", {"w": torch.zeros(1).expand(1_000_000)})
    with pytest.raises(CheckpointError, match=r"damaged: w is \(1000000,\)"):
        read_tensors(path)


def test_a_storage_that_is_not_there(tmp_path: Path) -> None:
    path = publishing.save_zip(tmp_path / "x.pt", {"w": values(8)})

    def rename(entry: zipfile.ZipInfo, content: bytes) -> tuple[zipfile.ZipInfo, bytes]:
        entry.filename = entry.filename.replace("data/0", "data/9")
        return entry, content

    rewritten(path, rename)
    with pytest.raises(CheckpointError, match=r"x\.pt is damaged"):
        read_tensors(path)


def test_a_table_that_holds_itself(tmp_path: Path, save: Save) -> None:
    table: dict[str, object] = {"w": values(2)}
    table["again"] = table
    with pytest.raises(CheckpointError, match="more than a checkpoint does, or itself"):
        read_tensors(save(tmp_path / "x.pt", table))


def test_tables_that_multiply(tmp_path: Path, save: Save) -> None:
    """Forty lists that each hold the next one twice: small in the file, without end when unfolded."""
    nested: object = [values(2)]
    for _ in range(40):
        nested = [nested, nested]
    with pytest.raises(CheckpointError, match="more than a checkpoint does, or itself"):
        read_tensors(save(tmp_path / "x.pt", nested))
