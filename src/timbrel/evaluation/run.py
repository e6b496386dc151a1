"""The whole way: convert what is missing, score what is missing, and write down what was found.

OUT/pairs.csv              the list, with absolute paths
OUT/converted/SYSTEM/      what each model made, and the copy synthesis
OUT/results.json           every figure
OUT/scores.csv             every number, a row for each pair and system
OUT/report.html            the same to look at and to listen to
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from timbrel.engines import Engine
from timbrel.engines.local import Processes
from timbrel.errors import EvaluationError, OutputError
from timbrel.evaluation import documents, report, scoring, summary
from timbrel.evaluation.converting import Produced, Progress, by_model, by_vocoder, find_vocoder, produce
from timbrel.evaluation.hashes import Hashes
from timbrel.evaluation.metrics import Metric, SpeakerMetric
from timbrel.evaluation.metrics.recordings import undecodable
from timbrel.evaluation.pairs import OPTIONAL, PATHS, SEPARATOR, Pair, find_converted, read_pairs
from timbrel.evaluation.summary import Scores, Summary
from timbrel.evaluation.systems import COPY, SOURCE, System, Wanted, check_names, model_fingerprint
from timbrel.evaluation.voices import (
    EqualErrors,
    Spoofing,
    equal_errors,
    find_verifier,
    spoofing,
    true_voices,
)
from timbrel.files import resolved, write_text
from timbrel.reporting.folder import rounded
from timbrel.wording import counted, listed

PAIRS, CONVERTED, RESULTS, SCORES, REPORT = (
    "pairs.csv",
    "converted",
    "results.json",
    "scores.csv",
    "report.html",
)
#: Pairs that a sentence names.
_NAMED = 3
#: Names a stage of the work and follows it.
Stage = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Fields:
        metrics: by name; none for all that can be had.
        vocoder: of the copy synthesis; None for Griffin-Lim.
        verifier: whose verdict on spoofing is asked for; None for the usual one.
        audio_mb: megabytes of audio and spectrograms that the report may hold.
        audio_files: put them beside the report instead of into it.
        download: whether metrics may fetch what they lack.
    """

    table: Path
    systems: tuple[Wanted, ...]
    out: Path
    root: Path | None = None
    limit: int | None = None
    metrics: tuple[str, ...] = ()
    controls: bool = True
    vocoder: str | None = None
    verifier: str | None = None
    device: str = "auto"
    seed: int = 0
    audio_mb: float = 20.0
    audio_files: bool = False
    download: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found.

    Fields:
        list_hash: names the pairs, whatever the table is called.
        missing: metrics that were left out, and why.
        problems: what could not be converted or measured, in sentences.
        new_conversions: how many were not there before.
    """

    table: Path
    list_hash: str
    pairs: Sequence[Pair]
    systems: Sequence[System]
    metrics: Sequence[Metric]
    missing: Mapping[str, str]
    scores: Scores
    summary: Summary
    equal_errors: Sequence[EqualErrors]
    spoofing: Spoofing
    problems: Sequence[str]
    new_conversions: int


def evaluate(request: Request, engine: Engine | None, stage: Stage) -> Evaluation:
    """Does everything that is asked for, and writes it.

    Raises:
        EvaluationError: the list, the systems or the metrics are not as they should be.
        CheckpointError: there is no such model, vocoder or verifier.
        OutputError: the folder is something else, holds an evaluation of other pairs, or cannot be written.
        EngineError: no worker can be started.
    """
    check_names(request.systems)
    pairs = read_pairs(request.table, request.root, request.limit)
    given = {one.name: _given(one.name, one.folder, pairs) for one in request.systems if one.folder}
    chosen, missing = scoring.choose(request.metrics, download=request.download)
    # What is asked for by name is looked for before hours of work, not after.
    if request.vocoder:
        find_vocoder(request.vocoder)
    verifier = find_verifier(request.verifier)
    hashes = Hashes()
    list_hash = _open(request, pairs, hashes)
    metrics = list(chosen.values())
    systems, new = _systems(request, pairs, given, hashes, engine, stage)
    cases = [pair.case(one.files[pair.id]) for one in systems for pair in pairs if pair.id in one.files]
    with stage("scoring") as progress:
        scored = scoring.score(cases, chosen, hashes, engine, progress, download=request.download)
    scores = summary.gather(pairs, systems, metrics, scored)
    with stage("comparing voices") as progress:
        equal, unheard = _equal_errors(pairs, systems, metrics, hashes, progress)
        fooled = spoofing(pairs, systems, verifier)
    failures = [*(why for one in scored for why in one.problems.values()), *unheard]
    found = Evaluation(
        table=request.table,
        list_hash=list_hash,
        pairs=pairs,
        systems=systems,
        metrics=metrics,
        missing=missing,
        scores=scores,
        summary=summary.summarise(scores, systems),
        equal_errors=equal,
        spoofing=fooled,
        problems=[*_self_conversions(pairs, hashes), *_problems(systems, failures, fooled)],
        new_conversions=new,
    )
    with stage("writing the report") as progress:
        _write(found, request, progress)
    return found


def _open(request: Request, pairs: Sequence[Pair], hashes: Hashes) -> str:
    """Makes the folder, or makes sure that it is that of these pairs; gives the hash of the list.

    Raises:
        OutputError: it is something else.
    """
    out = request.out
    table = _table(pairs)
    rows = [[pair.id, hashes.of(pair.source), hashes.of(pair.target), pair.text] for pair in pairs]
    list_hash = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
    if out.suffix.lower() in (".html", ".json", ".csv"):
        raise OutputError(f"{out} must be a folder: {REPORT}, {RESULTS} and {SCORES} are written into it.")
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file: give a folder.")
    if out.is_dir() and any(out.iterdir()):
        if not (out / PAIRS).is_file() or not (out / CONVERTED).is_dir():
            raise OutputError(f"{out} exists and is no evaluation: choose another name.")
        if (out / PAIRS).read_text(encoding="utf-8", errors="replace") != table and not request.force:
            raise OutputError(
                f"{out} holds an evaluation of other pairs: choose another name, or --force to replace it."
            )
    try:
        (out / CONVERTED).mkdir(parents=True, exist_ok=True)
        _put(out / PAIRS, table)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror or error}.") from error
    return list_hash


def _table(pairs: Sequence[Pair]) -> str:
    """The list as a CSV that `read_pairs` reads from anywhere."""
    text = io.StringIO()
    columns = ["id", *PATHS, *(name for name in OPTIONAL if name not in ("id", "parallel"))]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for pair in pairs:
        row: dict[str, object] = {name: getattr(pair, name) or "" for name in columns}
        for name in PATHS:
            row[name] = resolved(str(row[name])) if row[name] else ""
        row["references"] = SEPARATOR.join(str(resolved(path)) for path in pair.references)
        writer.writerow(row)
    return text.getvalue()


def _systems(
    request: Request,
    pairs: Sequence[Pair],
    given: Mapping[str, System],
    hashes: Hashes,
    engine: Engine | None,
    stage: Stage,
) -> tuple[list[System], int]:
    """All systems with their files, the controls first, and how many files had to be made."""
    # One process for each system at least, so that its memory is its own.
    crew = engine or Processes(1)
    folder, systems, new = request.out / CONVERTED, list[System](), 0
    if request.controls:
        vocoder = request.vocoder
        recipe = f"copy {model_fingerprint(vocoder) if vocoder else 'griffin-lim'}"
        with stage(COPY) as progress:
            made = produce(pairs, folder / COPY, by_vocoder(vocoder), recipe, hashes, crew, progress)
        systems.append(System(SOURCE, "control", {pair.id: pair.source for pair in pairs}))
        systems.append(_system(COPY, "control", vocoder or "Griffin-Lim", made))
        new += made.new
    for wanted in request.systems:
        if wanted.model is None:
            systems.append(given[wanted.name])
            _link(folder / wanted.name, wanted.folder)
            continue
        weights = model_fingerprint(wanted.model)
        make = by_model(wanted.model, request.device, request.seed)
        _unlink(folder / wanted.name)  # or what is made would be written among somebody's own files
        with stage(wanted.name) as progress:
            made = produce(
                pairs, folder / wanted.name, make, f"{weights} seed {request.seed}", hashes, crew, progress
            )
        systems.append(_system(wanted.name, "model", weights, made))
        new += made.new
    for system in systems:
        _require_some(system)
    return systems, new


def _given(name: str, folder: Path, pairs: Sequence[Pair]) -> System:
    """What another system made; a file that cannot be decoded counts as a pair it could not convert."""
    found = find_converted(folder, pairs)
    problems = {key: why for key, path in found.items() if (why := undecodable(path))}
    files = {key: path for key, path in found.items() if key not in problems}
    system = System(name, "files", files, problems=problems)
    _require_some(system)
    return system


def _require_some(system: System) -> None:
    if not system.files:
        problems = list(system.problems.values())
        pairs = counted(len(problems), "pair")
        raise EvaluationError(f"{system.name} converted none of {pairs}: {problems[0]}")


def _system(name: str, kind: str, made_by: str, made: Produced) -> System:
    converts = kind == "model"
    return System(
        name=name,
        kind="model" if converts else "control",
        files=made.files,
        made_by=made_by,
        speed=made.speed if converts else None,
        problems=made.problems,
    )


def _link(place: Path, folder: Path | None) -> None:
    """What another system made, found beside the rest; where links cannot be made, it stays where it is."""
    _unlink(place)
    if folder is not None and not place.exists():
        with contextlib.suppress(OSError):
            place.symlink_to(resolved(folder), target_is_directory=True)


def _unlink(place: Path) -> None:
    """Removes what an earlier run linked to."""
    if place.is_symlink():
        place.unlink()


def _equal_errors(
    pairs: Sequence[Pair],
    systems: Sequence[System],
    metrics: Sequence[Metric],
    hashes: Hashes,
    progress: Progress,
) -> tuple[list[EqualErrors], list[str]]:
    """Of each encoder and system, and what could not be heard."""
    encoders = [metric for metric in metrics if isinstance(metric, SpeakerMetric)]
    found, problems = list[EqualErrors](), list[str]()
    for number, metric in enumerate(encoders):
        progress(number * len(systems), len(encoders) * len(systems))
        true = true_voices(metric, pairs, hashes)
        problems += true.problems
        for place, system in enumerate(systems):
            progress(number * len(systems) + place, len(encoders) * len(systems))
            errors, unheard = equal_errors(true, pairs, system, hashes)
            problems += unheard
            found += [errors] if errors else []
    return found, problems


def _self_conversions(pairs: Sequence[Pair], hashes: Hashes) -> list[str]:
    """One sentence, if there are any."""
    own = [pair.id for pair in pairs if hashes.of(pair.source) == hashes.of(pair.target)]
    if not own:
        return []
    return [
        f"The source is its own target in {counted(len(own), 'pair')} ({listed(own, _NAMED)}): "
        "that tests how well a voice is rebuilt, and counts like all others."
    ]


def _problems(systems: Sequence[System], failures: Sequence[str], fooled: Spoofing) -> list[str]:
    unconverted = [
        f"{system.name}, {name}: {why}" for system in systems for name, why in system.problems.items()
    ]
    return [*unconverted, *dict.fromkeys(failures), *([fooled.problem] if fooled.problem else [])]


def _write(found: Evaluation, request: Request, progress: Progress) -> None:
    """The three files of the results, each whole or not at all."""
    try:
        page = report.page(found, request.out, request.audio_mb, request.audio_files, progress)
        document = rounded(documents.results(found))
        _put(request.out / RESULTS, json.dumps(document, indent=1, allow_nan=False) + "\n")
        _put(request.out / SCORES, documents.scores_csv(found))
        _put(request.out / REPORT, page)
    except OSError as error:
        raise OutputError(f"{request.out} cannot be written: {error.strerror or error}.") from error


def _put(path: Path, text: str) -> None:
    # File names that are no text stand in these files as well.
    write_text(path, text, errors="backslashreplace")
