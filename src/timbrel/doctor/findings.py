"""What the doctor says of one thing that is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is: the output is useless, it is worse than it could be, or hardly anyone will hear it."""

    FAULT = "fault"
    RISK = "risk"
    MINOR = "minor"


class Area(StrEnum):
    """Where it was found, causes before symptoms."""

    WEIGHTS = "weights"
    VOICE = "voice"
    JOINT = "joint"
    FEATURES = "features"
    RECORDING = "recording"
    SOUND = "sound"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, in sentences.

    Fields:
        subject: the part, joint or file.
        what: what is wrong, with its numbers.
        why: what it sounds like, and why.
        remedy: what to do.
        traps: numbers of the list in docs/doctor.md that it belongs to.
    """

    severity: Severity
    area: Area
    subject: str
    what: str
    why: str
    remedy: str
    traps: tuple[int, ...] = ()


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The most likely cause of bad sound first: by severity, then causes before what they bring about."""
    severities, areas = list(Severity), list(Area)
    return tuple(sorted(findings, key=lambda one: (severities.index(one.severity), areas.index(one.area))))
