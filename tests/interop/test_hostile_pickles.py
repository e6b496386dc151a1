"""A pickle that would run something stays dead, whatever it is wrapped in and whatever it calls."""

from __future__ import annotations

import builtins
import contextlib
import os
import pathlib
import pickle
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from timbrel.errors import CheckpointError
from timbrel.interop import unpickling
from timbrel.interop.containers import read_tensors
from timbrel.interop.importing import import_checkpoint

from . import publishing

Save = Callable[[Path, object], Path]


class Attack:
    """Has `function(*arguments)` called by whoever loads it trustfully."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def attacks(payload: Path) -> dict[str, Attack]:
    touch = f"import pathlib; pathlib.Path({str(payload)!r}).touch()"
    return {
        "os.system": Attack(os.system, f"touch {payload}"),
        "subprocess": Attack(subprocess.check_call, ["touch", str(payload)]),
        "exec": Attack(builtins.exec, touch),
        "eval": Attack(builtins.eval, f"open({str(payload)!r}, 'w')"),
        "open": Attack(builtins.open, str(payload), "w"),
        # None of these is on any list of bad names; they are simply on none of good ones.
        "os.mkdir": Attack(os.mkdir, str(payload)),
        "torch.save": Attack(torch.save, [1], str(payload)),
        "shutil": Attack(shutil.copy, __file__, str(payload)),
        "method": Attack(pathlib.Path.touch, pathlib.Path(payload)),
    }


NAMES = list(attacks(Path("x")))


@pytest.mark.parametrize("name", NAMES)
def test_the_attacks_are_live(tmp_path: Path, name: str) -> None:
    """They work on whoever unpickles without care; otherwise the tests below would prove nothing."""
    pickle.loads(pickle.dumps(attacks(tmp_path / "ran")[name]))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", NAMES)
def test_they_stay_dead_in_a_file_of_torch(tmp_path: Path, save: Save, name: str) -> None:
    ran = tmp_path / "ran"
    weights = publishing.filled({"lstm.weight_ih_l0": (8, 40)})
    path = save(tmp_path / "x.pt", {"model_state": weights, "step": attacks(ran)[name]})
    _read_or_refuse(path)
    with pytest.raises(CheckpointError):
        import_checkpoint(path, "resemblyzer", out=tmp_path / "out")
    assert not ran.exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", NAMES)
def test_they_stay_dead_in_a_torch_package(tmp_path: Path, name: str) -> None:
    ran = tmp_path / "ran"
    path = tmp_path / "packaged.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("packaged/models/hifigan.pkl", pickle.dumps({"w": attacks(ran)[name]}))
        archive.writestr("packaged/models/hifigan.py", f"open({str(ran)!r}, 'w')")
        archive.writestr("packaged/.data/version", "6")
    _read_or_refuse(path)
    assert not ran.exists()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", range(3))
def test_they_stay_dead_in_the_heads_of_a_legacy_file(tmp_path: Path, name: str, place: int) -> None:
    ran = tmp_path / "ran"
    heads: list[object] = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    heads[place] = attacks(ran)[name]
    (tmp_path / "x.pt").write_bytes(b"".join(pickle.dumps(head, 2) for head in [*heads, {}, []]))
    _read_or_refuse(tmp_path / "x.pt")
    assert not ran.exists()


@pytest.mark.parametrize("name", NAMES)
def test_they_stay_dead_as_the_key_or_type_of_a_storage(tmp_path: Path, name: str) -> None:
    """What stands for a storage is part of the program as well."""
    ran = tmp_path / "ran"

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing: object) -> object:
            return ("storage", attacks(ran)[name], attacks(ran)[name], "cpu", 4) if thing is nn else None

    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive, archive.open("x/data.pkl", "w") as stream:
        Pickler(stream, 2).dump({"w": nn})
    _read_or_refuse(tmp_path / "x.pt")
    assert not ran.exists()


def test_an_open_attack_is_called_one(tmp_path: Path, save: Save) -> None:
    path = save(tmp_path / "x.pt", {"w": attacks(tmp_path / "ran")["os.system"]})
    with pytest.raises(CheckpointError, match=r"x\.pt asks to run posix\.system.*nothing was run"):
        read_tensors(path)


def test_one_pickle_changes_nothing_for_the_next(tmp_path: Path, save: Save) -> None:
    """A program may also try to put its own things into the objects it is handed."""

    class Setter:
        def __reduce__(self) -> tuple[object, ...]:
            return (object, (), (None, {"extend": "spoiled", "__call__": "spoiled"}))

    before = set(dir(__import__("timbrel.interop.unpickling", fromlist=["Inert"]).Inert))
    _read_or_refuse(save(tmp_path / "x.pt", {"w": Setter(), "object": object}))
    assert set(dir(__import__("timbrel.interop.unpickling", fromlist=["Inert"]).Inert)) == before
    weights = {"w": torch.ones(2)}
    assert torch.equal(read_tensors(save(tmp_path / "y.pt", weights)).tensors["w"], weights["w"])


def test_functions_are_made_anew_for_each_file(tmp_path: Path) -> None:
    program = (
        b"\x80\x02ctorch._utils\n_rebuild_parameter\n(N}X\x08\x00\x00\x00__name__X\x04\x00\x00\x00evilstb."
    )
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("x/data.pkl", program)
    with contextlib.suppress(CheckpointError):
        read_tensors(tmp_path / "x.pt")
    assert unpickling._rebuild_parameter.__name__ == "_rebuild_parameter"


def _copies(called: bytes, items: int, times: int) -> bytes:
    """A list of so many tuples, put away once, and a call with it made so many times."""
    listed = b"](" + b"K\x01K\x01\x86" * items + b"eq\x00"
    return b"\x80\x02(" + listed + (called + b"h\x00\x85R") * times + b"t."


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (b"\x80\x02]r\xff\xff\xff\x7f.", "asks for too much memory"),  # LONG_BINPUT at the largest place
        (b"\x80\x02\x82\x01.", "extension codes"),
        (b"\x80\x02]2222", "damaged or cut short|damaged"),
        (_copies(b"ctorch\nSize\n", 300_000, 40), "asks for too much memory"),
        (_copies(b"ccollections\nOrderedDict\n", 300_000, 40), "asks for too much memory"),
        (_copies(b"cmine\nThing\n", 300_000, 40), "asks for too much memory"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\x00\x00\x00abc.", "damaged"),  # a string of 2**40 bytes
    ],
)
def test_programs_that_ask_for_the_machine(tmp_path: Path, program: bytes, told: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("x/data.pkl", program)
    with pytest.raises(CheckpointError, match=told):
        read_tensors(tmp_path / "x.pt")


def _read_or_refuse(path: Path) -> None:
    try:
        stored = read_tensors(path)
    except CheckpointError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(tensor, torch.Tensor) for tensor in stored.tensors.values())
