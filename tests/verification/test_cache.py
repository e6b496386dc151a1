"""The cache survives damage, other writers and a folder that cannot be written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from timbrel.verification.cache import Cache, Entry

CONTENT = "ab" * 32


def entry(value: float = 0.5) -> Entry:
    return Entry(np.full(4, value, "<f4").tobytes())


def only_file(home: Path) -> Path:
    (path,) = (path for path in home.rglob("*") if path.is_file())
    return path


def test_what_is_put_is_there_for_the_same_encoder_only(home: Path) -> None:
    Cache("one").put(CONTENT, entry())
    found = Cache("one").get(CONTENT)
    assert found == entry()
    assert found.vector.tolist() == [0.5] * 4
    assert Cache("two").get(CONTENT) is None
    assert Cache("one").get("cd" * 32) is None
    assert "one" in only_file(home).parts


@pytest.mark.parametrize(
    "damage", [b"", b"short", lambda data: data[:-1], lambda data: data[:-3] + b"\0\0\0"]
)
def test_a_damaged_entry_is_none(home: Path, damage: object) -> None:
    Cache("one").put(CONTENT, entry())
    path = only_file(home)
    path.write_bytes(damage(path.read_bytes()) if callable(damage) else damage)
    assert Cache("one").get(CONTENT) is None
    Cache("one").put(CONTENT, entry())
    assert Cache("one").get(CONTENT) == entry()


def test_many_writers_leave_one_whole_entry(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: Cache("one").put(CONTENT, entry()), range(64)))
    assert Cache("one").get(CONTENT) == entry()
    assert only_file(home).name == CONTENT[2:]


def test_a_home_that_cannot_be_written_is_no_trouble(home: Path) -> None:
    (home / "cache").write_text("a file where the folder should be")
    Cache("one").put(CONTENT, entry())
    assert Cache("one").get(CONTENT) is None
