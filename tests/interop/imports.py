"""A published file imported as the command does it, and built again from what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from timbrel import checkpoint as checkpoints
from timbrel import registry
from timbrel.errors import TimbrelError
from timbrel.interop.family import Options
from timbrel.interop.importing import Report, import_checkpoint

NOTHING_STATED = Options()


def imported(path: Path, family: str = "auto", options: Options = NOTHING_STATED) -> tuple[Any, Report]:
    """The network, ready for use, and what was said of it."""
    report = import_checkpoint(path, family, path.with_suffix(".ours"), options)
    return registry.build(checkpoints.read(report.path)), report


def refusal(path: Path, family: str = "auto", options: Options = NOTHING_STATED) -> str:
    """The message, one sentence, after which nothing has been written."""
    out = path.with_suffix(".ours")
    with pytest.raises(TimbrelError) as caught:
        import_checkpoint(path, family, out, options)
    assert not out.exists()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message
