"""Paths, and small files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from timbrel.errors import OutputError


def resolved(path: str | Path) -> Path:
    """The path that links lead to; a loop of links, at which `Path.resolve` raises, leads to itself."""
    return Path(os.path.realpath(path))


def keep_apart(output: Path, given: Path) -> None:
    """Raises OutputError if one of two folders is the other or lies in it."""
    one, other = resolved(output), resolved(given)
    if one == other or one in other.parents or other in one.parents:
        raise OutputError(
            f"{output} and {given}, which is read, lie one in the other: choose another folder."
        )


def check_output(path: Path, force: bool) -> None:
    """Refuses a file that could not be written, before any work is done for it.

    Raises:
        OutputError: it is a folder or would lie in none, or it exists and `force` is not set.
    """
    if not path.parent.is_dir() or path.is_dir():
        raise OutputError(f"{path} cannot be written: give a file in a folder that exists.")
    if path.exists() and not force:
        raise OutputError(f"{path} exists already; use --force to replace it.")


def make_folder(folder: Path) -> None:
    """Makes a folder, and those it lies in, unless it is there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made a folder: {error.strerror}.") from error


def flush(path: Path, flags: int = os.O_RDONLY) -> None:
    """Waits until a file or folder has reached the disk.

    Args:
        flags: to open it with; outside of POSIX a file must be open for writing.
    """
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def content_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str, *, errors: str = "strict") -> None:
    """Writes UTF-8 to a draft beside `path` and puts it there, in place of a file that is there.

    Args:
        errors: what becomes of characters that have no code, as in `str.encode`.

    Raises:
        OutputError: it cannot be written; a file that was there is as it was.
    """
    try:
        write_bytes(path, text.encode("utf-8", errors))
    except UnicodeEncodeError as error:
        raise OutputError(f"{path} cannot be written: {error}.") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file as `write_text` does, once all of it has reached the disk.

    Raises:
        OutputError: it cannot be written; a file that was there is as it was.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):  # it has its name, or could not be made
            draft.unlink()
