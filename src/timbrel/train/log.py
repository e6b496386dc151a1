"""The log of a run: one line of JSON per event, and TensorBoard with losses, pictures and audio.

Only the first process of a run writes it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from timbrel.train import pictures
from timbrel.train.tasks import Preview

LOG, PICTURES = "log.jsonl", "pictures"


class Screen(Protocol):
    """Where a run tells a person how it goes."""

    def say(self, text: str) -> None:
        """Something that happened."""

    def step(self, done: int, steps: int, figures: Mapping[str, float]) -> None:
        """A step is done; `figures` are the latest logged."""


class Silent:
    """A screen that shows nothing."""

    def say(self, text: str) -> None:
        pass

    def step(self, done: int, steps: int, figures: Mapping[str, float]) -> None:
        pass


class Log:
    """Writes log.jsonl, pictures/NAME-STEP.png and TensorBoard's files into a folder.

    What an earlier run wrote after step `resumed` never happened and is dropped.
    """

    def __init__(self, folder: Path, resumed: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        path = folder / LOG
        _keep_until(path, resumed)
        self._lines = path.open("a", encoding="utf-8")
        self._pictures = folder / PICTURES
        self._board: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=resumed + 1)

    def figures(self, kind: str, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """Losses and rates of a step; `kind` is "train" or "validation"."""
        row = {"kind": kind, "step": step, "seconds": round(seconds, 3), **values}
        self._lines.write(json.dumps({k: _finite(v) for k, v in row.items()}) + "\n")
        self._lines.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{kind}/{name}", value, step)

    def preview(self, step: int, preview: Preview) -> None:
        """Pictures and recordings."""
        for name, mel in preview.mels.items():
            self._board.add_image(name, _picture(mel), step, dataformats="HW")
        for name, picture in preview.pictures.items():
            self._board.add_image(name, picture.cpu(), step)
            pictures.save(picture, self._pictures / f"{name}-{step:08d}.png")
        for name, sound in preview.audio.items():
            self._board.add_audio(
                name, sound.samples[None].float().cpu().clamp(-1, 1), step, sound.sample_rate
            )

    def close(self) -> None:
        """Makes sure that everything is written."""
        self._lines.flush()
        os.fsync(self._lines.fileno())
        self._lines.close()
        self._board.close()


def read(folder: Path) -> list[dict[str, Any]]:
    """The rows of log.jsonl; a last line cut short by a kill is left out."""
    path = folder / LOG
    return list(_rows(path.read_text(encoding="utf-8"))) if path.is_file() else []


def _rows(text: str) -> list[dict[str, Any]]:
    rows = []
    for line in text.splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _keep_until(path: Path, step: int) -> None:
    if not path.is_file():
        return
    kept = [row for row in _rows(path.read_text(encoding="utf-8")) if row["step"] <= step]
    draft = path.with_name(f".{path.name}.partial")
    draft.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    draft.replace(path)


def _finite(value: Any) -> Any:
    """JSON knows no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _picture(mel: Tensor) -> Tensor:
    """(T, D) -> (D, T) in 0..1, low bands at the bottom."""
    picture = mel.detach().float().cpu().T.flip(0)
    span = picture.max() - picture.min()
    return (picture - picture.min()) / span.clamp(min=1e-6)
