"""A prepared corpus with teachers' features in the published format, and runs small enough for a test."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from timbrel.config import to_toml
from timbrel.train import loop
from timbrel.train.recipe import load

#: Values of a frame of the made-up content teacher.
CONTENT_DIM = 16


@pytest.fixture(scope="session")
def taught(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared corpus: 8 clips to train on, 4 of ada and bob to validate on, and what teachers say.

    The content is a function of the loudness around a frame, the vector one of the speaker.
    """
    root = tmp_path_factory.mktemp("taught") / "corpus"
    shutil.copytree(prepared, root)
    clips = [json.loads(line) for line in (root / "index.jsonl").read_text().splitlines()]
    for clip in clips:
        held_out = clip["speaker"] in ("ada", "bob") and clip["id"].endswith(("2", "3"))
        clip["split"] = "dev" if held_out else "train"
        _teach(root, clip)
    (root / "index.jsonl").write_text("".join(json.dumps(clip) + "\n" for clip in clips))
    statistics = {"teacher": "made-up", "mean": [0.5] * CONTENT_DIM, "deviation": [0.25] * CONTENT_DIM}
    (root / "teachers/moonshine.json").write_text(json.dumps(statistics))
    return root


def _teach(root: Path, clip: dict[str, Any]) -> None:
    audio = load_file(root / clip["file"])["audio"] / 32768
    count = 1 + (len(audio) - 894) // 384
    loud = np.array([np.abs(audio[384 * i : 384 * i + 894]).mean() for i in range(count)])
    frames = 0.5 + 0.25 * np.sin(np.outer(20 * loud, np.arange(1, CONTENT_DIM + 1)))
    random = np.random.default_rng({"ada": 1, "bob": 2, "eve": 3}[clip["speaker"]])
    vector = np.abs(random.standard_normal(256))
    for name, tensors in (
        ("moonshine", {"frames": frames.astype(np.float16)}),
        ("resemblyzer", {"vector": (vector / np.linalg.norm(vector)).astype(np.float32)}),
    ):
        path = root / "teachers" / name / f"{clip['id']}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path)


Train = Callable[..., Path]


@pytest.fixture
def train(taught: Path, tmp_path: Path) -> Train:
    """Trains by tables like those of a recipe and returns the last checkpoint."""

    def run(out: str = "run", **tables: Any) -> Path:
        defaults = {"steps": 2, "log_every": 1, "validate_every": 2, "validation_batches": 1}
        tables["run"] = {**defaults, **tables.get("run", {})}
        tables["data"] = {"corpus": str(taught), "batch": 4, **tables["data"]}
        path = tmp_path / f"{out}.toml"
        path.write_text(to_toml({"name": "tiny", **tables}), encoding="utf-8")
        return loop.run(load(path), tmp_path / out, cpu=True)

    return run
