"""Small metrics that need no network; a module of its own, since workers import it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import soundfile

from timbrel.errors import EvaluationError
from timbrel.evaluation.metrics import Column, Judged


@dataclass(frozen=True)
class Length:
    """Seconds, and an error rate: of the converted samples, those beyond the source's."""

    name: str = "length"
    fingerprint: str = "length-1"
    log: Path | None = None
    columns: tuple[Column, ...] = (
        Column("seconds", "s", "neither", "a clock", "length"),
        Column("excess", "%", "lower", "a ruler", "too long", ("excess_errors", "excess_length")),
    )

    def measure(self, case: Judged) -> dict[str, float]:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{case.converted}\n")
        source, converted = (soundfile.info(path).frames for path in (case.source, case.converted))
        errors = max(0, converted - source)
        return {
            "seconds": converted / soundfile.info(case.converted).samplerate,
            "excess": 100 * errors / source,
            "excess_errors": errors,
            "excess_length": source,
        }


@dataclass(frozen=True)
class Parallel:
    """A figure that is known only where there is a parallel recording, and fails at one case."""

    name: str = "parallel"
    fingerprint: str = "parallel-1"
    columns: tuple[Column, ...] = (Column("near", "", "higher", "a ruler", "nearness"),)

    def measure(self, case: Judged) -> dict[str, float]:
        if case.converted.stem == "0002":
            raise ZeroDivisionError("by zero")
        return {"near": math.nan if case.parallel is None else 1.0}


@dataclass(frozen=True)
class Named:
    """A speaker encoder that hears the speaker's folder: exact for true recordings."""

    name: str = "named"
    fingerprint: str = "named-1"
    columns: tuple[Column, ...] = (Column("alike", "cosine", "higher", "a ruler", "likeness"),)

    def measure(self, case: Judged) -> dict[str, float]:
        return {
            "alike": sum(
                a * b for a, b in zip(self.embed(case.converted), self.embed(case.target), strict=True)
            )
        }

    def embed(self, path: Path) -> tuple[float, ...]:
        angle = float(int.from_bytes(path.parent.name.encode()[-2:], "big")) % 97 / 97 * math.pi
        return (math.cos(angle), math.sin(angle))


def length(_model: str, _download: bool) -> Length:
    return Length()


def parallel(_model: str, _download: bool) -> Parallel:
    return Parallel()


def named(_model: str, _download: bool) -> Named:
    return Named()


def none(_model: str, _download: bool) -> Length:
    raise EvaluationError("The metric none needs a wheel that is not here.")
