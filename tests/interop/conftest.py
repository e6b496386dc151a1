"""Ways to save an object as others do, and an attack that leaves a file if anything runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from . import publishing

Save = Callable[[Path, object], Path]


@pytest.fixture(params=["torch zip", "torch legacy"])
def container(request: pytest.FixtureRequest) -> str:
    """The containers of torch.save, one after the other."""
    return str(request.param)


@pytest.fixture
def save(container: str) -> Save:
    """Saves an object in that container."""
    return publishing.save_zip if container == "torch zip" else publishing.save_legacy
