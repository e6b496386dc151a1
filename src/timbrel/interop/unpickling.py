"""Reads what a pickle says without doing what it asks.

A pickle is a program: it names classes and functions and has them called. Here every name but those of
plain containers and of torch's tensors stands for an `Inert` object, which keeps what it was given and
does nothing. Tensors come out as references to their storages, so nothing large is read yet.
"""

from __future__ import annotations

import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

import torch

from timbrel.errors import CheckpointError

#: A checkpoint's pickle has some 40 instructions for each tensor; this allows for 100,000 tensors.
MOST_INSTRUCTIONS = 4_000_000
#: Values that calls in such a pickle may copy in all: a few bytes can name a long list and have it copied.
_MOST_COPIED = 4_000_000
#: Dimensions of a tensor.
_MOST_DIMENSIONS = 64
#: Bytes of such a pickle; the weights themselves lie outside.
LARGEST = 1 << 26

#: Storage classes that pickles name.
DTYPES: dict[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}

# What no checkpoint has a use for. It would be inert like anything else; whoever finds it in a file
# should know all the same.
_HOSTILE_MODULES = frozenset(
    (
        "os",
        "posix",
        "nt",
        "subprocess",
        "sys",
        "importlib",
        "runpy",
        "shutil",
        "socket",
        "pty",
        "ctypes",
        "code",
    )
)
_HOSTILE_BUILTINS = frozenset(("eval", "exec", "compile", "execfile", "open", "input", "__import__"))


@dataclass(frozen=True, slots=True)
class StorageReference:
    """A run of `numel` values that lies elsewhere in the file, from value `start` of storage `key` on."""

    key: str
    dtype: torch.dtype
    numel: int
    start: int = 0


@dataclass(frozen=True, slots=True)
class TensorReference:
    """A tensor as a pickle describes it: which values of a storage, in which shape."""

    storage: StorageReference
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pickled:
    """What a pickle holds, and every storage that it names, by key."""

    tree: Any
    storages: dict[str, StorageReference]


class Inert:
    """An object of a class that is not created; it keeps what the pickle gives it."""

    def __new__(cls, *arguments: Any, **_named: Any) -> Inert:
        made = object.__new__(cls)
        made.arguments, made.state, made.items = arguments, None, []
        return made

    def __init__(self, *_arguments: Any, **_named: Any) -> None:
        self.arguments: tuple[Any, ...]
        self.state: Any
        self.items: list[Any]

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))

    def append(self, item: Any) -> None:
        self.items.append(item)

    def extend(self, items: Any) -> None:
        self.items.extend(items)

    add = append


def read_pickle(stream: BinaryIO, name: str) -> Pickled:
    """The next pickle of a stream, which is left where the pickle ends.

    Args:
        name: the file, for messages.

    Raises:
        CheckpointError: it is too large, names what only an attack would, or is no pickle.
    """
    start = stream.tell()
    length = _length(stream, name)
    stream.seek(start)
    reader = _InertUnpickler(BytesIO(stream.read(length)), name)
    return Pickled(reader.load(), reader.storages)


def _length(stream: BinaryIO, name: str) -> int:
    """Bytes from here to the end of the pickle, found without running it."""
    start = stream.tell()
    for count, (instruction, argument, _) in enumerate(pickletools.genops(stream)):
        index = argument if instruction.name.endswith("PUT") else None
        if count > MOST_INSTRUCTIONS or stream.tell() - start > LARGEST:
            raise CheckpointError(f"{name} has a table of contents too large for a checkpoint.")
        if isinstance(index, int) and index > MOST_INSTRUCTIONS:
            raise CheckpointError(f"{name} is no plain checkpoint: its pickle asks for too much memory.")
        if instruction.name.startswith("EXT"):
            raise CheckpointError(f"{name} is no plain checkpoint: its pickle uses extension codes.")
    return stream.tell() - start


class _InertUnpickler(pickle.Unpickler):
    def __init__(self, stream: BinaryIO, name: str) -> None:
        # Strings that Python 2 wrote may be bytes of any kind.
        super().__init__(stream, encoding="latin1")
        self._name = name
        self._inert: dict[tuple[str, str], type[Inert]] = {}
        self._copied = 0
        self.storages: dict[str, StorageReference] = {}
        # Functions made anew for each file, so that a pickle can change nothing that stays.
        self._known: dict[tuple[str, str], Callable[..., Any]] = {
            place: self._metered(make) for place, make in _KNOWN.items()
        }

    def _metered(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def metered(*arguments: Any, **named: Any) -> Any:
            held = sum(len(one) for one in arguments if isinstance(one, list | tuple | dict))
            self._copied += len(arguments) + held
            if self._copied > _MOST_COPIED:
                raise CheckpointError(
                    f"{self._name} is no plain checkpoint: its pickle asks for too much memory."
                )
            return make(*arguments, **named)

        return metered

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) in self._known:
            return self._known[module, name]
        if module in ("torch", "torch.storage") and name in DTYPES:
            return DTYPES[name]
        self._refuse_hostile(module, name)
        # A class of its own for each name and file, for the same reason.
        body = {"origin": f"{module}.{name}", "__new__": self._metered(Inert.__new__)}
        return self._inert.setdefault((module, name), type("Inert", (Inert,), body))

    def persistent_load(self, identifier: Any, /) -> Any:
        kind, *rest = identifier
        if kind == "module":  # the class of a module, with its source code beside it
            return rest[0]
        if kind != "storage":
            return Inert(*rest)
        dtype, key, _location, numel, *view = rest
        if not isinstance(dtype, torch.dtype) or not _is_count(numel):
            raise CheckpointError(f"{self._name} holds values of a kind that Timbrel does not read.")
        start = 0
        if view and view[0] is not None:  # a part of a storage, as the first versions had them
            _key, start, numel = view[0]
        reference = StorageReference(str(key), dtype, numel, start)
        return self.storages.setdefault(reference.key, reference) if not start else reference

    def _refuse_hostile(self, module: str, name: str) -> None:
        root = module.partition(".")[0]
        builtin = root in ("builtins", "__builtin__", "__builtins__") and name in _HOSTILE_BUILTINS
        if builtin or root in _HOSTILE_MODULES:
            raise CheckpointError(
                f"{self._name} asks to run {module}.{name} when it is loaded, which no checkpoint needs: "
                "nothing was run; do not open this file with other programs."
            )


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_rest: Any) -> TensorReference:
    if len(size) != len(stride) or len(size) > _MOST_DIMENSIONS:
        raise ValueError("a tensor has no such shape")
    if not isinstance(storage, StorageReference) or not all(map(_is_count, (offset, *size, *stride))):
        raise ValueError("a tensor is described by something else than counts")
    return TensorReference(storage, offset, tuple(size), tuple(stride))


def _rebuild_parameter(data: Any, *_rest: Any) -> Any:
    return data


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
}
