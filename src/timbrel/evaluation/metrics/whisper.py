"""Whisper (Radford et al. 2022) as a recogniser, run by faster-whisper."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from timbrel.errors import EvaluationError
from timbrel.evaluation.metrics.packages import fingerprint, not_here
from timbrel.evaluation.metrics.recordings import Kept, hear

#: Beams of the search, as in the paper; the temperature stays 0, so that equal audio gives equal text.
_BEAMS = 5
_WEIGHTS = "model.bin"


class Whisper:
    """Says what is said, in the case's language, or in the one it hears.

    Raises:
        EvaluationError: the model is not on this machine, and may not or cannot be downloaded.
    """

    def __init__(self, model: str, download: bool) -> None:
        self._folder = _folder(model, download)
        self._kept: dict[str | None, Kept[str]] = {}

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint("whisper-1", ["faster-whisper", "ctranslate2"], [self._folder / _WEIGHTS])

    def text(self, path: Path, language: str | None) -> str | None:
        code = language.replace("_", "-").split("-")[0].lower() if language else None
        if code not in self._kept:
            self._kept[code] = Kept(lambda wanted: self._transcribe(hear(wanted), code))
        return self._kept[code](path)

    def _transcribe(self, samples: np.ndarray, language: str | None) -> str:
        segments, _ = self._network.transcribe(
            samples, language=language, beam_size=_BEAMS, temperature=0.0, condition_on_previous_text=False
        )
        return " ".join(segment.text.strip() for segment in segments)

    @cached_property
    def _network(self) -> Any:
        from faster_whisper import WhisperModel

        return WhisperModel(str(self._folder), device="cpu", compute_type="default", cpu_threads=1)


def _folder(model: str, download: bool) -> Path:
    given = Path(model)
    if given.is_dir():
        if not (given / _WEIGHTS).is_file():
            raise EvaluationError(
                f"{given} holds no model.bin: name a folder with a model of faster-whisper."
            )
        return given
    from faster_whisper.utils import available_models, download_model
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    if model not in available_models():
        raise EvaluationError(
            f"There is no Whisper model {model}: name a folder, or one of {', '.join(available_models())}."
        )
    try:
        return Path(download_model(model, local_files_only=not download))
    except (LocalEntryNotFoundError, HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        raise EvaluationError(not_here("Whisper", model, download)) from error
