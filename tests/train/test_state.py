"""Checkpoints of training go only where they came from."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import nn

from timbrel.errors import TrainingError
from timbrel.train import state


def test_another_network_is_refused_in_one_line(tmp_path: Path) -> None:
    small, large = nn.Linear(1, 2), nn.Linear(1, 3)
    save_file(state.collect({"model": small}, {}), tmp_path / state.TENSORS)
    said = r"was trained with another model: .*weight.*\[3, 1\]\)\.$"
    with pytest.raises(TrainingError, match=said) as error:
        state.restore(tmp_path, {"model": large}, {})
    assert "\n" not in str(error.value)
