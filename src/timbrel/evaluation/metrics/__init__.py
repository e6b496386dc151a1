"""The measures of a conversion, one module for each kind; nothing is imported before it is asked for.

A metric says of one case what its columns hold. Its judge is a published network, or a formula: the
column's `paper` says which. Networks come inside Python packages where that is possible, so that most
metrics work without a network connection; `load` says in one sentence what is missing for one.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from timbrel.errors import EvaluationError, TimbrelError

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a metric.

    Fields:
        name: its key in what `Metric.measure` returns.
        unit: "%", "cosine", "Hz"; empty for a ratio.
        better: which direction is better; "neither" where a value of its own is best, or none is.
        paper: who proposed it, or whose weights judge it.
        title: what a table says above it.
        pooled: two further keys, the errors and how many there could be: the figure of several cases is
            the sum of the one over the sum of the other, not the mean. Empty if the mean is meant.
    """

    name: str
    unit: str
    better: Better
    paper: str
    title: str
    pooled: tuple[str, str] | tuple[()] = ()


class Judged(Protocol):
    """What metrics read of a case; see `timbrel.evaluation.case.Case`."""

    @property
    def source(self) -> Path: ...
    @property
    def target(self) -> Path: ...
    @property
    def converted(self) -> Path: ...
    @property
    def text(self) -> str | None: ...
    @property
    def parallel(self) -> Path | None: ...
    @property
    def language(self) -> str | None: ...


@runtime_checkable
class Metric(Protocol):
    """Measures one case at a time; its networks are loaded when the first case comes.

    Fields:
        name: the key of `METRICS`.
        columns: what it measures.
        fingerprint: names the package's version, the weights and our own formulas: figures with equal
            fingerprints of equal files are equal.
    """

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> tuple[Column, ...]: ...
    @property
    def fingerprint(self) -> str: ...

    def measure(self, case: Judged) -> dict[str, float]:
        """A number for each column, and for its `pooled` keys; NaN where it is not defined for the case.

        Raises:
            AudioError: a recording cannot be read.
        """
        ...


@runtime_checkable
class SpeakerMetric(Metric, Protocol):
    """A metric of voices, which can also be asked for a recording's voice."""

    def embed(self, path: Path) -> tuple[float, ...]:
        """A recording's voice as a unit vector: the cosine of two is their product."""
        ...


#: Where each metric is made: "module:factory"; the factory takes the model's name and whether it may be
#: downloaded.
METRICS = {
    "campp": "timbrel.evaluation.metrics.speaker:campp",
    "ge2e": "timbrel.evaluation.metrics.speaker:ge2e",
    "ecapa": "timbrel.evaluation.metrics.speaker_hub:ecapa",
    "wavlm-sv": "timbrel.evaluation.metrics.speaker_hub:wavlm_sv",
    "moonshine": "timbrel.evaluation.metrics.words:moonshine",
    "whisper": "timbrel.evaluation.metrics.words:whisper",
    "phones": "timbrel.evaluation.metrics.phones:hama",
    "distillmos": "timbrel.evaluation.metrics.naturalness:distillmos",
    "dnsmos": "timbrel.evaluation.metrics.naturalness:dnsmos",
    "utmos": "timbrel.evaluation.metrics.naturalness_hub:utmos",
    "nisqa": "timbrel.evaluation.metrics.naturalness_hub:nisqa",
    "prosody": "timbrel.evaluation.metrics.prosody:prosody",
    "melody": "timbrel.evaluation.metrics.melody:melody",
    "spectrum": "timbrel.evaluation.metrics.spectrum:spectrum",
    "soundness": "timbrel.evaluation.metrics.soundness:soundness",
}

#: Metrics of which a name may say more: a model, a folder or a file.
_OPEN = ("ecapa", "wavlm-sv", "whisper", "utmos")


def load(name: str, *, download: bool = False) -> Metric:
    """A metric ready to measure.

    Args:
        name: of `METRICS`; "whisper:large-v3" also names the model, or a folder that holds one, where a
            metric leaves that open (ecapa, wavlm-sv, whisper, utmos).
        download: whether a network may be fetched that is not on this machine.

    Raises:
        EvaluationError: there is no such metric, or what it needs is missing: the sentence says what, how to
            get it, and whether it then works without a network connection.
    """
    key, _, model = name.partition(":")
    if key not in METRICS:
        raise EvaluationError(f"There is no metric {key}: there are {', '.join(METRICS)}.")
    if model and key not in _OPEN:
        raise EvaluationError(f"The metric {key} has one model, so {name} cannot be: say {key}.")
    module, _, factory = METRICS[key].partition(":")
    metric: Metric = getattr(importlib.import_module(module), factory)(model, download)
    return metric


def available() -> dict[str, str | None]:
    """For each metric None if `load` gives it, otherwise why it does not."""
    return {name: _missing(name) for name in METRICS}


def _missing(name: str) -> str | None:
    try:
        load(name)
    except TimbrelError as error:
        return str(error)
    return None
