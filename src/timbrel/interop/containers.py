"""The files that published weights come in, read without running anything that lies in them.

torch zip       torch.save since PyTorch 1.6: a zip with `data.pkl` and a file for each storage
torch legacy    torch.save before: pickles one after the other, then the storages
torch.package   a zip with pickled modules, their source code and `.data/*.storage`
safetensors     a table of contents in JSON, then the values
a folder        as Hugging Face lays it out: `config.json` beside the weights
"""

from __future__ import annotations

import json
import math
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from timbrel.errors import CheckpointError
from timbrel.interop.tree import sort_out
from timbrel.interop.unpickling import StorageReference, TensorReference, read_pickle

#: The first pickle of a legacy file, and the second.
LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
#: Weights that a Hugging Face folder may hold, the better one first.
FOLDER_WEIGHTS = ("model.safetensors", "pytorch_model.bin")

#: What parsers raise that meet something else than they expect.
_STUMBLES = (
    *(EOFError, zipfile.BadZipFile, struct.error, pickle.UnpicklingError, ArithmeticError, AttributeError),
    *(LookupError, MemoryError, RuntimeError, TypeError, ValueError),
)

_Storages = Callable[[StorageReference], Tensor]


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file holds.

    Fields:
        tensors: by dotted name, on the CPU, in the file's order.
        extras: plain values that lie beside them, as nested tables; of a folder, `config`.
        container: which kind of file it is.
        path: the file that holds the tensors.
    """

    tensors: dict[str, Tensor]
    extras: dict[str, Any]
    container: str
    path: Path = field(default_factory=Path)


def read_tensors(path: Path) -> Stored:
    """The tensors and plain values of a published checkpoint; nothing in the file is run.

    Raises:
        CheckpointError: it is missing, cut short, damaged, hostile or of no kind that is known here.
    """
    if path.is_dir():
        return _read_folder(path)
    try:
        with path.open("rb") as stream:
            read = _reader(stream, path)
            with _readable(path):
                return read(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error


def _reader(stream: BinaryIO, path: Path) -> Callable[[Path], Stored]:
    """What reads this file, going by its first bytes."""
    start = stream.read(512)
    if start.startswith(b"PK\x03\x04"):
        return _read_zip
    if len(start) > 9 and start[8:9] == b"{":
        return _read_safetensors
    if start.startswith(b"\x80"):
        return _read_legacy
    raise CheckpointError(f"{path} is no checkpoint: {_what_it_is(start)}.")


def _what_it_is(start: bytes) -> str:
    if not start:
        return "the file is empty"
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS; fetch the file itself"
    if start.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        return "it is a web page; download the file itself"
    if start[257:262] == b"ustar":
        return "it is a tar archive; files of PyTorch 0.1 are not read, and others are to be unpacked"
    return "it is neither a torch file nor a torch.package nor safetensors"


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Whatever a damaged file makes a parser stumble over becomes one sentence."""
    try:
        yield
    except _STUMBLES as error:
        raise CheckpointError(f"{path} is damaged or cut short: {_detail(error)}.") from error


def _detail(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__


# A zip: of torch.save, or of torch.package.


def _read_zip(path: Path) -> Stored:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        root = names[0].partition("/")[0] if names else ""
        if f"{root}/constants.pkl" in names:
            raise CheckpointError(
                f"{path} is a TorchScript program, which is not read: save its state_dict() with torch.save."
            )
        _check_sizes(archive, path)
        if f"{root}/data.pkl" in names:
            return _read_saved(archive, root, path)
        if any(name.startswith(f"{root}/.data/") for name in names):
            return _read_package(archive, root, path)
    raise CheckpointError(f"{path} is a zip archive without weights: unpack it and name the file inside.")


def _check_sizes(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuses archives that would take more memory than the file takes on disk."""
    # Source code, which nobody reads, may be compressed.
    entries = [entry for entry in archive.infolist() if not entry.filename.endswith(".py")]
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise CheckpointError(
                f"{path} is a zip archive with compressed files, which torch never writes: "
                "unpack it and name the file inside."
            )
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise CheckpointError(f"{path} is damaged: it claims to hold more than the file is large.")


def _read_saved(archive: zipfile.ZipFile, root: str, path: Path) -> Stored:
    order = f"{root}/byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise CheckpointError(f"{path} was written on a big-endian machine, which is not read.")
    with archive.open(f"{root}/data.pkl") as stream:
        tensors, extras = sort_out(read_pickle(stream, str(path)).tree)  # type: ignore[arg-type]
    load = _from_entries(archive, f"{root}/data/{{}}")
    return Stored(_materialise(tensors, load, path), extras, "torch zip", path)


def _read_package(archive: zipfile.ZipFile, root: str, path: Path) -> Stored:
    """The pickled objects of a torch.package; with several, names begin with the resource's."""
    resources = [name for name in archive.namelist() if name.endswith(".pkl")]
    if not resources:
        raise CheckpointError(f"{path} is a torch.package without any pickled module.")
    trees = {}
    for name in resources:
        with archive.open(name) as stream:
            trees[Path(name).stem] = read_pickle(stream, str(path)).tree  # type: ignore[arg-type]
    tensors, extras = sort_out(trees if len(trees) > 1 else next(iter(trees.values())))
    load = _from_entries(archive, f"{root}/.data/{{}}.storage")
    return Stored(_materialise(tensors, load, path), extras, "torch.package", path)


def _from_entries(archive: zipfile.ZipFile, pattern: str) -> _Storages:
    def load(storage: StorageReference) -> Tensor:
        entry = archive.getinfo(pattern.format(storage.key))
        content = bytearray(entry.file_size)
        with archive.open(entry) as stream:
            read = 0
            while read < len(content):
                count = stream.readinto(memoryview(content)[read:])  # type: ignore[attr-defined]
                if not count:
                    raise EOFError("a storage ends too early")
                read += count
        return _values(content, storage)

    return load


# A file of torch.save before PyTorch 1.6.


def _read_legacy(path: Path) -> Stored:
    with path.open("rb") as stream:
        try:
            magic, protocol, system = (read_pickle(stream, str(path)).tree for _ in range(3))
        except (EOFError, ValueError) as error:
            raise CheckpointError(
                f"{path} is a pickle or another file, but no checkpoint of torch."
            ) from error
        if magic != LEGACY_MAGIC or protocol != LEGACY_PROTOCOL:
            raise CheckpointError(f"{path} is a pickle, but no checkpoint of torch.")
        if not system.get("little_endian", True):
            raise CheckpointError(f"{path} was written on a big-endian machine, which is not read.")
        pickled = read_pickle(stream, str(path))
        keys = [str(key) for key in read_pickle(stream, str(path)).tree]
        tensors, extras = sort_out(pickled.tree)
        load = _from_stream(stream, keys, pickled.storages)
        return Stored(_materialise(tensors, load, path), extras, "torch legacy", path)


def _from_stream(stream: BinaryIO, keys: list[str], storages: dict[str, StorageReference]) -> _Storages:
    """Storages lie one after the other, each behind its number of values."""
    values: dict[str, Tensor] = {}
    for key in keys:
        if key not in storages:
            raise ValueError(f"storage {key} belongs to no tensor")
        (numel,) = struct.unpack("<q", stream.read(8))
        wanted = numel * storages[key].dtype.itemsize
        content = bytearray(stream.read(wanted)) if 0 <= wanted <= _rest(stream) else bytearray()
        if len(content) != wanted:
            raise EOFError(f"storage {key} ends too early")
        values[key] = _values(content, storages[key])
    return lambda storage: values[storage.key]


def _rest(stream: BinaryIO) -> int:
    here = stream.tell()
    end = stream.seek(0, 2)
    stream.seek(here)
    return end - here


# Safetensors and folders.


def _read_safetensors(path: Path) -> Stored:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            return Stored(tensors, dict(opened.metadata() or {}), "safetensors", path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged or cut short: {_detail(error)}.") from error


def _read_folder(path: Path) -> Stored:
    weights = next((path / name for name in FOLDER_WEIGHTS if (path / name).is_file()), None)
    if weights is None:
        raise CheckpointError(f"{path} is a folder without {' or '.join(FOLDER_WEIGHTS)}: name a file.")
    stored, settings = read_tensors(weights), path / "config.json"
    try:
        config = json.loads(settings.read_text(encoding="utf-8-sig")) if settings.is_file() else {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{settings} cannot be read: {error}.") from error
    container = f"Hugging Face folder, {stored.container}"
    return Stored(stored.tensors, {**stored.extras, "config": config}, container, weights)


# From references to tensors.


def _values(content: bytearray, storage: StorageReference) -> Tensor:
    whole = len(content) // storage.dtype.itemsize * storage.dtype.itemsize
    if not whole:
        return torch.empty(0, dtype=storage.dtype)
    return torch.frombuffer(memoryview(content)[:whole], dtype=storage.dtype)


def _materialise(tensors: dict[str, TensorReference], load: _Storages, path: Path) -> dict[str, Tensor]:
    storages: dict[str, Tensor] = {}
    made: dict[str, Tensor] = {}
    for name, reference in tensors.items():
        key = reference.storage.key
        if key not in storages:
            storages[key] = load(reference.storage)
        made[name] = _cut(storages[key], reference, name, path)
    return made


def _cut(values: Tensor, reference: TensorReference, name: str, path: Path) -> Tensor:
    """The tensor's part of its storage, after checking that there is as much."""
    storage, size, stride = reference.storage, reference.size, reference.stride
    if values.dtype != storage.dtype:
        values = values.view(storage.dtype)
    numel = math.prod(size)
    first = storage.start + reference.offset
    last = first + sum((count - 1) * step for count, step in zip(size, stride, strict=True)) if numel else 0
    if numel and (last >= len(values) or last - first >= storage.numel or numel > len(values)):
        raise CheckpointError(
            f"{path} is damaged: {name} is {size}, which is more than its {len(values)} stored values."
        )
    return torch.as_strided(values, size, stride, first)
