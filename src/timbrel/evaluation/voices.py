"""Whose voice is it, to a machine: equal error rates as in kNN-VC, and how often verification is fooled.

Baas, van Niekerk and Kamper 2023 ("Voice conversion with just nearest neighbors") ask how well a speaker
encoder tells converted speech from the target speaker's own: pairs of two true recordings of a target
speaker are the one kind, pairs of a conversion and a true recording the other. An equal error rate of 50 %
says that the encoder cannot tell them apart, 0 % that it always can. The true recordings are all that the
list of pairs has of the speaker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timbrel import registry
from timbrel.detection import error_curve
from timbrel.errors import TimbrelError
from timbrel.evaluation.hashes import Hashes
from timbrel.evaluation.metrics import SpeakerMetric
from timbrel.evaluation.pairs import Pair
from timbrel.evaluation.scoring import voices
from timbrel.evaluation.statistics import LEAST_SPEAKERS
from timbrel.evaluation.systems import System
from timbrel.intervals import Rate, draws, limits
from timbrel.registry import DEFAULT_MODEL
from timbrel.verification import calibration
from timbrel.verification.conversions import Verdict, judge
from timbrel.verification.hearing import Hearing
from timbrel.verification.lists import Conversion

#: Weights that no model of ours was chosen by; taken where somebody has imported them.
_INDEPENDENT = "resemblyzer"
_BINS = 2000


@dataclass(frozen=True, slots=True)
class TrueVoices:
    """True recordings of each target speaker as an encoder hears them.

    Fields:
        rows: (N, E) unit vectors by speaker, of recordings that can be heard.
        same: cosines of every pair of a speaker's, by speaker.
        problems: why others cannot be heard.
    """

    metric: SpeakerMetric
    rows: Mapping[str, np.ndarray]
    same: Mapping[str, np.ndarray]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EqualErrors:
    """How well an encoder tells conversions from true recordings.

    Fields:
        rate: 0..0.5 and more, with a 95 % interval over target speakers; higher is better.
        true_pairs, converted_pairs: how many of each kind.
    """

    metric: str
    system: str
    rate: Rate
    true_pairs: int
    converted_pairs: int


@dataclass(frozen=True, slots=True)
class Spoofing:
    """What `timbrel verify --converted` says of each system, by what encoder; or why it says nothing."""

    encoder: str
    threshold: float
    verdicts: Mapping[str, Verdict]
    problem: str = ""


def true_voices(metric: SpeakerMetric, pairs: Sequence[Pair], hashes: Hashes) -> TrueVoices:
    """What one encoder hears in the true recordings of the list, the same for every system."""
    own = _recordings(pairs, hashes)
    heard = voices(metric, [path for paths in own.values() for path in paths], hashes)
    rows = {name: _rows(paths, heard.vectors) for name, paths in own.items()}
    same = {name: _within(vectors) for name, vectors in rows.items()}
    return TrueVoices(metric, rows, same, tuple(heard.problems.values()))


def equal_errors(
    true: TrueVoices, pairs: Sequence[Pair], system: System, hashes: Hashes
) -> tuple[EqualErrors | None, tuple[str, ...]]:
    """By one encoder, and why conversions are left out that it cannot hear.

    None where no target speaker has two recordings, or nothing was converted.
    """
    converted: dict[str, list[Path]] = {name: [] for name in true.rows}
    for pair in pairs:
        if pair.id in system.files:
            converted[pair.target_speaker].append(system.files[pair.id])
    heard = voices(true.metric, [path for paths in converted.values() for path in paths], hashes)
    problems = tuple(heard.problems.values())
    other = {
        name: _between(_rows(paths, heard.vectors), true.rows[name]) for name, paths in converted.items()
    }
    genuine, made = (np.concatenate([*scores.values(), np.zeros(0)]) for scores in (true.same, other))
    if not (len(genuine) and len(made)):
        return None, problems
    value = error_curve(genuine, made).equal_error_rate()
    rate = Rate(value, *_limits(list(true.same.values()), list(other.values())))
    return EqualErrors(true.metric.name, system.name, rate, len(genuine), len(made)), problems


def find_verifier(name: str | None) -> Hearing:
    """A speaker encoder by name or folder, ready to hear.

    By default Resemblyzer's weights if they were imported, and else the bundled encoder.

    Raises:
        CheckpointError: there is no such model, or it is no speaker encoder.
    """
    # As `timbrel pull` names it, or `timbrel import` by its file.
    found = sorted(one.name for one in registry.installed() if one.name.startswith(_INDEPENDENT))
    return Hearing(name or (found[0] if found else DEFAULT_MODEL))


def spoofing(pairs: Sequence[Pair], systems: Sequence[System], hearing: Hearing) -> Spoofing:
    """How often a verifier takes conversions for their target, at the threshold of its calibration."""
    known = calibration.bundled(hearing.fingerprint)
    if known is None:
        problem = f"The encoder {hearing.name} has no calibration that ships, so nobody knows its threshold."
        return Spoofing(hearing.name, float("nan"), {}, problem)
    verdicts: dict[str, Verdict] = {}
    problems = []
    for system in systems:
        made = [
            Conversion(pair.source, pair.target, system.files[pair.id])
            for pair in pairs
            if pair.id in system.files
        ]
        try:
            verdicts[system.name] = judge(made, hearing, known.threshold)
        except TimbrelError as error:
            problems.append(f"{system.name}: {error}")
    return Spoofing(hearing.name, known.threshold, verdicts, " ".join(problems))


def _recordings(pairs: Sequence[Pair], hashes: Hashes) -> dict[str, list[Path]]:
    """True recordings of each target speaker, each content once."""
    found: dict[str, dict[str, Path]] = {pair.target_speaker: {} for pair in pairs}
    for pair in pairs:
        spoken = [(pair.target_speaker, path) for path in (pair.target, *pair.references)]
        spoken.append((pair.source_speaker, pair.source))
        if pair.parallel is not None:
            spoken.append((pair.target_speaker, pair.parallel))
        for speaker, path in spoken:
            if speaker in found:
                found[speaker].setdefault(hashes.of(path), path)
    return {speaker: list(paths.values()) for speaker, paths in found.items()}


def _rows(paths: Sequence[Path], vectors: Mapping[Path, tuple[float, ...]]) -> np.ndarray:
    """(N, E) of the recordings that can be heard; (0, 0) if none can."""
    known = [vectors[path] for path in paths if path in vectors]
    return np.array(known) if known else np.zeros((0, 0))


def _within(rows: np.ndarray) -> np.ndarray:
    """Cosines of every pair of rows."""
    return np.asarray((rows @ rows.T)[np.triu_indices(len(rows), 1)])


def _between(converted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Cosines of every conversion with every true recording."""
    return (converted @ true.T).ravel() if len(converted) and len(true) else np.zeros(0)


def _limits(same: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> tuple[float | None, float | None]:
    """95 % interval of the equal error rate by drawing speakers, whose scores are counted in fine bins."""
    speakers = sum(len(own) > 0 for own in same)
    if speakers < LEAST_SPEAKERS:
        return None, None
    every = np.concatenate([*same, *other])
    edges = np.linspace(every.min(), every.max() + 1e-9, _BINS + 1)
    counts = [np.stack([np.histogram(own, edges)[0] for own in kind]) for kind in (same, other)]
    weights = draws(len(same), 0)
    below, lower = (np.cumsum(weights @ own, axis=1) for own in counts)
    usable = (below[:, -1] > 0) & (lower[:, -1] > 0)
    start = np.zeros((int(usable.sum()), 1))
    rejects, refused = (
        np.concatenate([start, own[usable] / own[usable, -1:]], axis=1) for own in (below, lower)
    )
    # As `detection.ErrorCurve`: on the straight line between the two steps at which the rates cross.
    gap, rows = rejects - (1 - refused), np.arange(len(start))
    after = np.argmax(gap >= 0, axis=1)
    share = -gap[rows, after - 1] / (gap[rows, after] - gap[rows, after - 1])
    before = rejects[rows, after - 1]
    rates = before + share * (rejects[rows, after] - before)
    return limits(rates, speakers)
