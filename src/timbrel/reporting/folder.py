"""What was found, as plain data for JSON and as a page; both lie in one folder, written whole or not at all.

REPORT/report.json   every figure
REPORT/report.html   the same to look at, one file that needs no network
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from timbrel.errors import OutputError

JSON, HTML = "report.json", "report.html"
#: Endings of tables that lie beside them.
_TABLE = ".csv"


def check_output(folder: Path, force: bool) -> None:
    """Refuses a report that could not be written, before any work is done.

    Raises:
        OutputError: the folder exists and `force` is not set, is no report or holds more than one, or cannot
            be made.
    """
    folder = Path(os.path.realpath(folder))
    if folder.suffix.lower() in (".html", ".json"):
        raise OutputError(f"{folder} must be a folder: {HTML} and {JSON} are written into it.")
    if not folder.parent.is_dir():
        raise OutputError(f"{folder} cannot be written: there is no folder {folder.parent}.")
    if not os.access(folder.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} cannot be written: {folder.parent} is closed to you; choose another.")
    if not (folder.exists() or folder.is_symlink()):
        return
    if not (folder / JSON).is_file():
        raise OutputError(f"{folder} exists and is no report: choose another name.")
    more = [one.name for one in folder.iterdir() if one.name not in (JSON, HTML) and one.suffix != _TABLE]
    if more:  # all of the folder would be replaced
        raise OutputError(f"{folder} holds more than a report, such as {min(more)}: choose another name.")
    if not force:
        raise OutputError(f"{folder} exists already; use --force to replace it.")


def write(
    folder: Path, document: Mapping[str, Any], html: str, force: bool, files: Mapping[str, str] | None = None
) -> None:
    """Writes both files into a new folder; with `force` it takes the place of an older report.

    Args:
        files: tables that lie beside them, texts by a name that ends in .csv.

    Raises:
        OutputError: as `check_output`.
    """
    check_output(folder, force)
    folder = Path(os.path.realpath(folder))
    draft, previous = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("partial", "old"))
    text = json.dumps(rounded(document), indent=1, allow_nan=False) + "\n"
    try:
        draft.mkdir()
        (draft / JSON).write_text(text, encoding="utf-8")
        for name, content in {HTML: html, **(files or {})}.items():
            (draft / name).write_text(content, encoding="utf-8", errors="backslashreplace")
        if folder.exists():
            folder.rename(previous)
        draft.rename(folder)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(previous, ignore_errors=True)
        elif previous.is_dir():  # stopped between the two, by whatever it was
            previous.rename(folder)


def rounded(found: Any, digits: int = 6) -> Any:
    """The same with floats of so many digits, and null for what is not a number."""
    if isinstance(found, float):
        return round(found, digits) if np.isfinite(found) else None
    if isinstance(found, Mapping):
        return {key: rounded(value, digits) for key, value in found.items()}
    return [rounded(value, digits) for value in found] if isinstance(found, list | tuple) else found
