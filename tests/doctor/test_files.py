"""Published files are looked at from outside: which container, which names, whose code; nothing is run."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from timbrel.doctor.files import examine_file
from timbrel.doctor.parts import gather
from timbrel.errors import CheckpointError


def traps(path: Path) -> set[int]:
    return {trap for finding in examine_file(path) for trap in finding.traps}


def saved(path: Path, tensors: dict[str, Any], *, legacy: bool = False) -> Path:
    torch.save(tensors, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.mark.parametrize("legacy", [True, False])
def test_plain_weights_only_have_to_be_imported(tmp_path: Path, legacy: bool) -> None:
    path = saved(tmp_path / "a.pt", {"generator": {"conv_pre.weight": torch.ones(2, 2)}}, legacy=legacy)
    (finding,) = examine_file(path)
    assert f"timbrel import auto {path}" in finding.remedy


@pytest.mark.parametrize("legacy", [True, False])
def test_names_tell_of_weight_norm_and_wrappers(tmp_path: Path, legacy: bool) -> None:
    weights = {"module.a.weight_g": torch.ones(1), "module.a.weight_v": torch.ones(1)}
    assert {29, 30, 46} <= traps(saved(tmp_path / "a.pt", weights, legacy=legacy))


def test_safetensors_are_looked_at_as_well(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"module.a.weight_g": torch.ones(1), "module.a.weight_v": torch.ones(1)}, path)
    assert {29, 30} <= traps(path)
    path.write_bytes(b"no header")
    with pytest.raises(CheckpointError, match="cannot be read"):
        traps(path)


def test_a_published_file_may_have_any_name(tmp_path: Path) -> None:
    saved(tmp_path / "g_02500000", {"generator": {"conv_pre.weight": torch.ones(2, 2)}})
    assert gather([tmp_path / "g_02500000"]).published == [tmp_path / "g_02500000"]


def test_a_package_is_told_from_a_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "packaged_hifigan.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/.data/version", "6")
        archive.writestr("x/models/hifigan.pkl", pickle.dumps({}))
    assert 44 in traps(path)


def test_torchscript_is_told_from_a_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    assert 44 in traps(path)


class _Malice:
    """Unpickling it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("legacy", [True, False])
def test_code_in_a_file_is_named_and_not_run(tmp_path: Path, legacy: bool) -> None:
    trace = tmp_path / "trace"
    path = saved(tmp_path / "a.pt", {"model": _Malice(trace)}, legacy=legacy)
    assert 45 in traps(path)
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 broken"])
def test_what_are_no_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(CheckpointError):
        list(examine_file(tmp_path / "a.pt"))
