"""A published file before it is imported: which container it is, and what its names tell.

Only the outside is looked at: the list of a zip, and the instructions of a pickle, which are read and
never carried out.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path

from timbrel.doctor.findings import Area, Finding, Severity
from timbrel.doctor.weights import spelling
from timbrel.errors import CheckpointError

SUFFIXES = (".pt", ".pth", ".ckpt", ".tar", ".bin", ".pkl")
#: Modules whose names a plain file of weights refers to.
_PLAIN = ("torch", "collections", "_codecs", "numpy._core.multiarray", "numpy.core.multiarray", "numpy")
_MOST_BYTES = 64 * 2**20


def examine_file(path: Path) -> Iterator[Finding]:
    """What stands in the way of a published file's use.

    Raises:
        CheckpointError: there is no such file, or it is neither a zip nor a pickle.
    """
    yield Finding(
        Severity.FAULT,
        Area.WEIGHTS,
        str(path),
        "It is a file as others publish it, not a checkpoint of Timbrel: it says nothing of its contract.",
        "Joined by shape alone, parts of different mels or speaker vectors make squeaks.",
        f"timbrel import auto {path}",
        (),
    )
    if (names := _safe(path)) is not None:
        yield from spelling(str(path), names)
        return
    names, program = _contents(path)
    if any(".data/" in name for name in names) and not any(name.endswith("/data.pkl") for name in names):
        yield _container(path, "torch.package archive", "data.pkl", "its tensors are read without its code")
    elif any(name.endswith("constants.pkl") for name in names):
        yield _container(
            path, "TorchScript archive", "constants.pkl", "a program, from which no names are had"
        )
    strangers = sorted({name for name in _globals(program) if not name.startswith(_PLAIN)})
    if strangers:
        yield Finding(
            Severity.RISK,
            Area.WEIGHTS,
            str(path),
            f"It names code to be run when loaded: {', '.join(strangers[:4])}.",
            "Loaded without care it runs whatever its author put there; with care it fails.",
            "Import it with timbrel import, which reads numbers and runs nothing; never switch that off.",
            (45,),
        )
    yield from spelling(str(path), list(_keys(program)))


def _safe(path: Path) -> list[str] | None:
    """Names in a file of safetensors; None if it is something else.

    Raises:
        CheckpointError: it ends as one and cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            return list(file.keys())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error


def _container(path: Path, kind: str, missing: str, how: str) -> Finding:
    return Finding(
        Severity.MINOR,
        Area.WEIGHTS,
        str(path),
        f"It is a {kind}: {how}.",
        f'torch.load fails on it with words about "{missing}".',
        f"timbrel import auto {path}",
        (44,),
    )


def _contents(path: Path) -> tuple[list[str], bytes]:
    """Names inside a zip, and the pickle that says how the tensors lie."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                pickles = [n for n in names if n.endswith(".pkl") and not n.endswith("constants.pkl")]
                sizes = {name: archive.getinfo(name).file_size for name in pickles}
                small = [name for name in pickles if sizes[name] <= _MOST_BYTES]
                return names, b"".join(archive.read(name) for name in small[:1])
        with path.open("rb") as file:
            program = file.read(_MOST_BYTES)
    except (OSError, zipfile.BadZipFile, RuntimeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    if not program.startswith(b"\x80"):
        raise CheckpointError(f"{path} is neither a file that torch.save wrote nor a checkpoint folder.")
    return [], program


def _instructions(program: bytes) -> Iterator[tuple[str, object]]:
    """Those of all pickles that stand one behind the other, up to what is none."""
    stream = io.BytesIO(program)
    try:
        while stream.tell() < len(program):
            for code, argument, _ in pickletools.genops(stream):
                yield code.name, argument
    except ValueError:  # the numbers begin, or the file is damaged
        return


def _globals(program: bytes) -> Iterator[str]:
    """Dotted names that unpickling would look up."""
    strings: list[str] = []
    for name, argument in _instructions(program):
        if name == "GLOBAL":
            yield str(argument).replace(" ", ".")
        elif name == "STACK_GLOBAL" and len(strings) >= 2:
            yield f"{strings[-2]}.{strings[-1]}"
        elif isinstance(argument, str):
            strings.append(argument)


def _keys(program: bytes) -> Iterator[str]:
    """Strings that look like names of tensors."""
    for name, argument in _instructions(program):
        if name.endswith(("UNICODE", "STRING")) and isinstance(argument, str):
            tail = argument.rpartition(".")[2]
            if "." in argument and tail.startswith(("weight", "bias", "original", "running")):
                yield argument
