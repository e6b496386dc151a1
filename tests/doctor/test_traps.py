"""The list of the known traps is whole: a finding names each, or a reason says why not."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
ROWS = {
    int(number): found
    for number, found in re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE)
}
NOT_FOUND = {number for number, found in ROWS.items() if "not found" in found}


def test_every_trap_is_listed() -> None:
    assert sorted(ROWS) == list(range(1, 55))


def test_what_is_not_found_has_a_reason() -> None:
    reasons = PAGE.partition("Not found, and why:")[2]
    explained = {
        int(number)
        for head in re.findall(r"^- \*\*([\d, ]+)\*\*", reasons, re.MULTILINE)
        for number in head.split(",")
    }
    assert explained >= NOT_FOUND


def test_a_finding_can_name_each_of_the_others() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/timbrel/doctor").glob("*.py"))
    numbers = {
        int(n)
        for group in re.findall(r"\(((?:\d+,? ?)+)\)|, (\d+)\)", sources)
        for n in re.findall(r"\d+", "".join(group))
    }
    assert set(ROWS) - NOT_FOUND <= numbers
