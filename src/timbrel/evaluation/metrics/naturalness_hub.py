"""Further judges of naturalness, whose weights are downloaded once: UTMOS and NISQA."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from timbrel.errors import EvaluationError
from timbrel.evaluation.metrics import Column, Judged
from timbrel.evaluation.metrics.naturalness import Listen, Opinion, OpinionMetric
from timbrel.evaluation.metrics.packages import fingerprint, hub_folder, not_here
from timbrel.evaluation.metrics.recordings import Judge, Kept, raw
from timbrel.packages import require

_DOWNLOADED = "its weights are then downloaded once"
_UTMOS = "Blinorot/UTMOS-PyTorch"
_UTMOS_WEIGHTS = "utmos_state_dict.pt"
#: Where torchmetrics keeps NISQA's weights.
_NISQA_WEIGHTS = Path("~/.torchmetrics/NISQA/nisqa.tar")


def utmos(model: str, download: bool) -> OpinionMetric:
    """UTMOS's strong learner; `model` is a file with its weights.

    Raises:
        EvaluationError: the package or the weights are missing.
    """
    require("UTMOS", ["utmos_pytorch"], "pip install 'timbrel[utmos]'", _DOWNLOADED)
    weights = (
        Path(model) if model else hub_folder("UTMOS", _UTMOS, [_UTMOS_WEIGHTS], download) / _UTMOS_WEIGHTS
    )
    if not weights.is_file():
        raise EvaluationError(f"{weights} does not exist: name the file with UTMOS's weights.")
    judge = Judge(lambda: _utmos(weights), lambda: fingerprint("utmos-1", ["utmos-pytorch"], [weights]))
    column = Column("utmos", "MOS", "higher", "Saeki et al. 2022, UTMOS", "UTMOS")
    return OpinionMetric("utmos", (column,), judge)


def _utmos(weights: Path) -> Listen:
    import torch
    from utmos_pytorch import UTMOSScoreTorch

    network = UTMOSScoreTorch(ckpt_path=str(weights), device="cpu")

    def listen(samples: np.ndarray) -> Opinion:
        with torch.inference_mode():
            return {"utmos": float(network.score(torch.from_numpy(samples)[None]).mean())}

    return listen


class NisqaMetric:
    """NISQA 2.0 by torchmetrics: overall quality at the recording's own rate; NaN if that is too long for it.

    Its weights are for non-commercial use (CC BY-NC-SA 4.0).
    """

    name = "nisqa"
    columns = (Column("nisqa", "MOS", "higher", "Mittag et al. 2021, NISQA", "NISQA"),)

    def __init__(self, weights: Path) -> None:
        self._weights = weights
        self._kept = Kept(_nisqa)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint("nisqa-1", ["torchmetrics", "librosa"], [self._weights])

    def measure(self, case: Judged) -> dict[str, float]:
        return {"nisqa": self._kept(case.converted)}


def nisqa(model: str, download: bool) -> NisqaMetric:
    """NISQA; the argument `model` goes unused.

    Raises:
        EvaluationError: a package or the weights are missing.
    """
    require("NISQA", ["torchmetrics", "librosa", "requests"], "pip install 'timbrel[nisqa]'", _DOWNLOADED)
    weights = _NISQA_WEIGHTS.expanduser()
    if not weights.is_file():
        _fetch_nisqa(weights, download)
    return NisqaMetric(weights)


def _fetch_nisqa(weights: Path, download: bool) -> None:
    import requests
    import torch
    from torchmetrics.functional.audio.nisqa import non_intrusive_speech_quality_assessment

    if download:
        try:
            non_intrusive_speech_quality_assessment(torch.zeros(16000), 16000)  # fetches them first
        except (requests.RequestException, OSError, RuntimeError) as error:
            raise EvaluationError(not_here("NISQA", str(weights), download)) from error
    if not weights.is_file():
        raise EvaluationError(not_here("NISQA", str(weights), download))


def _nisqa(path: Path) -> float:
    import torch
    from torchmetrics.functional.audio.nisqa import non_intrusive_speech_quality_assessment

    samples, rate = raw(path)
    try:
        return float(non_intrusive_speech_quality_assessment(torch.from_numpy(samples), rate)[0])
    except RuntimeError:  # it says so where a recording has too many windows, or none
        return float("nan")
