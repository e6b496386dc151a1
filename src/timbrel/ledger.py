"""What each file of a folder of results is made from, so that work can be continued: a JSON object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from timbrel.errors import OutputError

LEDGER = "timbrel-batch.jsonl"

#: What a file is made from: source, target, model, seed, and how it was steered if it was.
Entry = dict[str, str | int]


class Ledger:
    """What each file in `folder` is made from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / LEDGER
        text = self._path.read_text(encoding="utf-8", errors="replace") if self._path.is_file() else ""
        self._entries = dict(_ledger_entries(text))
        # A kill may have cut the last line short; the next one must not continue it.
        self._separator = "\n" if text and not text.endswith("\n") else ""

    def has_made(self, output: Path, entry: Entry) -> bool:
        """Whether `output`, which is there, is made from `entry` and finished."""
        known, replaced = self._entries.get(self._key(output), ({}, None))
        return known == entry and replaced != _identity(output)

    def append(self, output: Path, entry: Entry) -> None:
        """Records durably what `output` is about to be made from, and what stands there yet.

        Raises:
            OutputError: it cannot be recorded.
        """
        replaced = _identity(output)
        note = {} if replaced is None else {"replaces": replaced}
        line = json.dumps({"output": self._key(output), **entry, **note})
        try:
            with self._path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(f"{self._separator}{line}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"{self._path} cannot be written: {error.strerror or error}.") from error
        self._separator = ""
        self._entries[self._key(output)] = entry, replaced

    def _key(self, output: Path) -> str:
        return output.relative_to(self._folder).as_posix()


def _ledger_entries(text: str) -> Iterator[tuple[str, tuple[Entry, list[int] | None]]]:
    for line in text.split("\n"):  # names may hold what else ends a line elsewhere
        try:
            entry = json.loads(line)
            output = entry.pop("output")
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            continue  # cut short by a kill, before the work on that row began, or nothing of ours
        if isinstance(output, str):
            yield output, (entry, entry.pop("replaces", None))


def _identity(path: Path) -> list[int] | None:
    """What tells the file that is there from the one that takes its place; None if there is none."""
    if not path.exists():
        return None
    found = path.stat()
    return [found.st_ino, found.st_mtime_ns]
