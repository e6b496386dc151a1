"""What is heard in a trial: the samples that are rated, and what they are compared with."""

from __future__ import annotations

from timbrel.listening.design import Trial, plan
from timbrel.listening.study import SIMILARITY, Study


def recordings(study: Study, trial: Trial) -> tuple[str, ...]:
    """Ids of the recordings of a trial in the order of the page."""
    if trial.kind == "attention":
        return trial.samples
    first = study.sample(trial.samples[0])
    if trial.test in SIMILARITY:
        return (first.id, first.voice)
    if trial.test == "mushra":
        return (study.open_reference(first.item).id, *trial.samples)
    return trial.samples


def minutes(study: Study) -> float:
    """How long the first listener hears recordings, each once."""
    seconds = study.seconds()
    return sum(seconds[one] for trial in plan(study, 0) for one in recordings(study, trial)) / 60
