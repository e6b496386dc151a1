"""The real command with the toy among its tasks, and a death in the middle of a save if wanted.

TIMBREL_TEST_DIES_AT names the step whose checkpoint is half-written when the process is killed.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch
from safetensors.torch import save
from tests.train import toy

from timbrel.cli import main
from timbrel.train import state, tasks

STEP = os.environ.get("TIMBREL_TEST_DIES_AT", "")
write = state.save_file


def write_and_die(tensors: dict[str, torch.Tensor], path: Path) -> None:
    if STEP and STEP in str(path):
        whole = save(tensors)
        path.write_bytes(whole[: len(whole) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    write(tensors, path)


if __name__ == "__main__":
    tasks.TASKS["toy"] = toy.__name__
    state.save_file = write_and_die
    main()
