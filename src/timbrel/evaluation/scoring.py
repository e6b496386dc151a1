"""Scores of cases by metrics, each computed once: kept by the content of the files and by the metric."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from timbrel.cache import Cache
from timbrel.engines import Engine, spread
from timbrel.errors import EvaluationError, TimbrelError
from timbrel.evaluation.case import Case
from timbrel.evaluation.hashes import Hashes
from timbrel.evaluation.metrics import METRICS, Metric, SpeakerMetric, load
from timbrel.evaluation.metrics import available as all_available

#: The folders' number is raised when what is kept changes.
_SCORES, _VOICES = "scores-1", "voices-1"

Progress = Callable[[float, float], None]
Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Task:
    """A case and the metrics that have not measured it yet."""

    number: int
    case: Case
    metrics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """What metrics say of the case of that number; of a metric that failed, why."""

    number: int
    values: dict[str, dict[str, float]]
    problems: dict[str, str]


@dataclass(frozen=True, slots=True)
class Voices:
    """What a speaker metric heard of recordings.

    Fields:
        vectors: of unit length; recordings that it could not hear are missing.
        problems: why they are, in sentences.
    """

    vectors: dict[Path, tuple[float, ...]]
    problems: dict[Path, str]


def choose(wanted: Sequence[str], *, download: bool = False) -> tuple[dict[str, Metric], dict[str, str]]:
    """The metrics asked for by what they were asked for, or all that can be had; and why others cannot.

    Raises:
        EvaluationError: one that was asked for does not exist, cannot be had, or was asked for twice.
    """
    if not wanted:
        missing = {name: why for name, why in all_available().items() if why}
        return {name: load(name) for name in METRICS if name not in missing}, missing
    chosen: dict[str, Metric] = {}
    for text in dict.fromkeys(wanted):
        metric = load(text, download=download)
        if any(other.name == metric.name for other in chosen.values()):
            raise EvaluationError(f"The metric {metric.name} was asked for twice: its figures have one name.")
        chosen[text] = metric
    return chosen, {}


def score(
    cases: Sequence[Case],
    chosen: Mapping[str, Metric],
    hashes: Hashes,
    engine: Engine | None = None,
    progress: Progress | None = None,
    *,
    download: bool = False,
) -> list[Scored]:
    """What the metrics say of each case, in the order of the cases.

    A metric that fails at a case says nothing of it, and why is in `problems`; the others go on.

    Args:
        chosen: by the name that `load` knows.

    Raises:
        EngineError: no worker can be started.
    """
    metrics = list(chosen.values())
    keys = {metric.name: [_key(metric, case, hashes) for case in cases] for metric in metrics}
    found = [Scored(number, {}, {}) for number in range(len(cases))]
    for metric in metrics:
        cache = Cache(_SCORES, _folder(metric))
        for number, key in enumerate(keys[metric.name]):
            values = _decode(cache.get(key), dict[str, float])
            if values is not None:
                found[number].values[metric.name] = values
    tasks = list(_missing(cases, metrics, found))
    for done, scored in enumerate(_measured(tasks, chosen, engine, download), 1):
        found[scored.number].values.update(scored.values)
        found[scored.number].problems.update(scored.problems)
        for metric in metrics:
            if metric.name in scored.values:
                payload = msgspec.msgpack.encode(scored.values[metric.name])
                Cache(_SCORES, _folder(metric)).put(keys[metric.name][scored.number], payload)
        if progress is not None:
            progress(done, len(tasks))
    return found


def voices(metric: SpeakerMetric, paths: Sequence[Path], hashes: Hashes) -> Voices:
    """Unit vectors of recordings by a speaker metric; one that it cannot hear has a problem instead.

    Raises:
        EvaluationError: a file cannot be read.
    """
    cache = Cache(_VOICES, _folder(metric))
    found = Voices({}, {})
    for path in dict.fromkeys(paths):
        key = hashes.of(path)
        vector = _decode(cache.get(key), tuple[float, ...])
        if vector is None:
            try:
                vector = metric.embed(path)
            except Exception as error:
                found.problems[path] = _sentence(error, path, metric.name)
                continue
            cache.put(key, msgspec.msgpack.encode(vector))
        found.vectors[path] = vector
    return found


def _folder(metric: Metric) -> str:
    """A folder of the cache for what this metric, of these weights, has said."""
    return hashlib.sha256(f"{metric.name}\0{metric.fingerprint}".encode()).hexdigest()[:24]


def _key(metric: Metric, case: Case, hashes: Hashes) -> str:
    files = [hashes.of(path) for path in (case.source, case.target, case.converted)]
    parallel = hashes.of(case.parallel) if case.parallel else None
    made_of = [metric.fingerprint, *files, parallel, case.text, case.language]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()


def _decode(payload: bytes | None, kind: type[Kept]) -> Kept | None:
    try:
        return None if payload is None else msgspec.msgpack.decode(payload, type=kind)
    except msgspec.DecodeError:
        return None


def _missing(cases: Sequence[Case], metrics: Sequence[Metric], found: Sequence[Scored]) -> Iterator[Task]:
    for number, case in enumerate(cases):
        names = tuple(metric.name for metric in metrics if metric.name not in found[number].values)
        if names:
            yield Task(number, case, names)


def _measured(
    tasks: Sequence[Task], chosen: Mapping[str, Metric], engine: Engine | None, download: bool
) -> Iterator[Scored]:
    if engine is None:
        return map(partial(_measure, {metric.name: metric for metric in chosen.values()}), tasks)
    return spread(engine, partial(_bench, tuple(chosen), download), tasks, _lost)


def _bench(names: tuple[str, ...], download: bool) -> Callable[[Task], Scored]:
    """What a worker does with a task."""
    metrics = [load(name, download=download) for name in names]
    return partial(_measure, {metric.name: metric for metric in metrics})


def _measure(metrics: dict[str, Metric], task: Task) -> Scored:
    scored = Scored(task.number, {}, {})
    for name in task.metrics:
        try:
            measured = metrics[name].measure(task.case)
        except Exception as error:
            scored.problems[name] = _sentence(error, task.case.converted, name)
        else:
            columns = {column.name for column in metrics[name].columns}
            values = {key: float(value) for key, value in measured.items()}
            scored.values[name] = {**dict.fromkeys(columns - values.keys(), math.nan), **values}
    return scored


def _sentence(error: Exception, path: Path, metric: str) -> str:
    """What is said of a failure; judges are others' code, which may raise anything on odd audio, and hours
    of work go on without it."""
    if isinstance(error, TimbrelError):
        return str(error)
    return f"{path}: the metric {metric} failed ({type(error).__name__}: {error})."


def _lost(task: Task, reason: str) -> Scored:
    sentence = f"{task.case.converted}: {reason}"
    return Scored(task.number, {}, dict.fromkeys(task.metrics, sentence))
