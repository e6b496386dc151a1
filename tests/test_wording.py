"""Counts as people say them."""

from __future__ import annotations

import pytest

from timbrel.wording import counted


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 speakers"), (1, "1 speaker"), (2, "2 speakers"), (1200, "1,200 speakers")]
)
def test_one_is_singular_and_all_else_plural(count: int, said: str) -> None:
    assert counted(count, "speaker") == said
