"""Counts and lists as people say them."""

from __future__ import annotations

import pytest

from timbrel.wording import counted, listed


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 speakers"), (1, "1 speaker"), (2, "2 speakers"), (1200, "1,200 speakers")]
)
def test_one_is_singular_and_all_else_plural(count: int, said: str) -> None:
    assert counted(count, "speaker") == said


def test_of_many_names_the_first_are_listed() -> None:
    assert listed(["a", "b"], 2) == "a, b"
    assert listed(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert listed(["a is missing", "b is, too"], 5, "; ") == "a is missing; b is, too"
