"""Turns a corpus into what training reads: 16-bit samples at one rate with their pitch tracks.

    OUT/index.jsonl                   a line per clip: `timbrel.train.data.Clip`
    OUT/clips/SPEAKER/NAME.safetensors   audio int16 (T,); f0 and voicing float32 at 62.5 frames/s
    OUT/report.json                   how many were made, kept and skipped, and why

Each clip is written whole or not at all and knows the SHA-256 of what it was made from, so that a
second run does only what is missing or has changed.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from timbrel.audio import io, pitch
from timbrel.audio.resample import resample
from timbrel.corpora import Utterance
from timbrel.errors import AudioError, CorpusError, OutputError
from timbrel.train.data import FULL_SCALE, INDEX, Clip

REPORT = "report.json"
#: Raised when the content of a prepared clip changes, so that older ones are made again.
_FORMAT = "1"
#: Clips handed to the processes ahead of those that are done.
_AHEAD = 4


@dataclass(frozen=True, slots=True)
class Skipped:
    """A recording that could not be used."""

    path: str
    reason: str


@dataclass(slots=True)
class Report:
    """What became of a corpus."""

    made: int = 0
    kept: int = 0
    seconds: float = 0.0
    skipped: list[Skipped] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Outcome:
    utterance: Utterance
    seconds: float = 0.0
    kept: bool = False
    reason: str = ""


def prepare(
    utterances: Sequence[Utterance],
    out: Path,
    *,
    sample_rate: int = 16000,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Prepares a corpus, or what is missing of it.

    Args:
        workers: processes.
        progress: called with the number of clips done and of all.

    Raises:
        CorpusError: there is no clip at all that could be used.
        OutputError: `out` cannot be written.
    """
    clips = out / "clips"
    _make_folders(clips, utterances)
    work = partial(_prepare_clip, clips=clips, sample_rate=sample_rate)
    report, lines = Report(), dict[str, str]()
    for done, outcome in enumerate(_outcomes(work, utterances, workers), 1):
        _note(outcome, report, lines)
        if progress:
            progress(done, len(utterances))
    report.seconds = round(report.seconds, 3)
    report.skipped.sort(key=lambda one: one.path)
    write_text(out / REPORT, json.dumps(asdict(report), indent=2, ensure_ascii=False) + "\n")
    if not lines:
        first = f" ({report.skipped[0].path}: {report.skipped[0].reason})" if report.skipped else ""
        raise CorpusError(f"No recording could be used{first}; see {out / REPORT}.")
    write_text(out / INDEX, "".join(lines[one.id] for one in utterances if one.id in lines))
    return report


def _note(outcome: _Outcome, report: Report, lines: dict[str, str]) -> None:
    utterance = outcome.utterance
    if outcome.reason:
        report.skipped.append(Skipped(str(utterance.path), outcome.reason))
        return
    report.made += not outcome.kept
    report.kept += outcome.kept
    report.seconds += outcome.seconds
    clip = Clip(
        id=utterance.id,
        speaker=utterance.speaker,
        file=f"clips/{utterance.id}.safetensors",
        seconds=round(outcome.seconds, 3),
        language=utterance.language,
        sex=utterance.sex,
        text=utterance.text,
        split=utterance.split,
        extra=utterance.extra,
    )
    lines[clip.id] = json.dumps(asdict(clip), ensure_ascii=False) + "\n"


def _outcomes(
    work: Callable[[Utterance], _Outcome], utterances: Iterable[Utterance], workers: int
) -> Iterator[_Outcome]:
    """What `work` says of each utterance, in any order."""
    if workers <= 1:
        yield from map(work, utterances)
        return
    # A forked copy of a process that has threads may hang, so the processes start anew.
    context = multiprocessing.get_context("spawn")
    waiting = iter(utterances)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_interrupts_to_parent) as pool:
        try:
            running = {pool.submit(work, one) for one in islice(waiting, workers * _AHEAD)}
            while running:
                done: set[Future[_Outcome]]
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(work, one) for one in islice(waiting, len(done))}
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            raise CorpusError("A process died, perhaps for lack of memory; run again to go on.") from error
        finally:
            # After Ctrl-C those at work finish their clip, and nothing new begins.
            pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _prepare_clip(utterance: Utterance, clips: Path, sample_rate: int) -> _Outcome:
    target = clips / f"{utterance.id}.safetensors"
    try:
        origin = {
            "format": _FORMAT,
            "sample_rate": str(sample_rate),
            "source_sha256": hashlib.sha256(utterance.path.read_bytes()).hexdigest(),
        }
        seconds = _seconds_if_current(target, origin, sample_rate)
        if seconds is not None:
            return _Outcome(utterance, seconds, kept=True)
        samples = io.read(utterance.path, sample_rate).samples.numpy()
        _write_clip(target, samples, sample_rate, origin)
        return _Outcome(utterance, len(samples) / sample_rate)
    except (AudioError, FileNotFoundError, IsADirectoryError) as error:
        return _Outcome(utterance, reason=str(error))


def _seconds_if_current(target: Path, origin: dict[str, str], sample_rate: int) -> float | None:
    """The length of a clip that was made from this origin; None if it must be made."""
    try:
        with safe_open(target, framework="numpy") as file:
            if file.metadata() == origin:
                return float(file.get_slice("audio").get_shape()[0] / sample_rate)
    except (OSError, SafetensorError):
        pass
    return None


def _write_clip(target: Path, samples: np.ndarray, sample_rate: int, origin: dict[str, str]) -> None:
    track = pitch.track(resample(samples, sample_rate, pitch.SAMPLE_RATE))
    audio = np.clip(np.round(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    draft = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        save_file({"audio": audio, "f0": track.f0, "voicing": track.voicing}, draft, metadata=origin)
        draft.replace(target)
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"{target} cannot be written: {error}; make room and run again to go on."
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def _make_folders(clips: Path, utterances: Iterable[Utterance]) -> None:
    try:
        clips.mkdir(parents=True, exist_ok=True)
        for speaker in sorted({one.speaker for one in utterances}):
            (clips / speaker).mkdir(exist_ok=True)
        for draft in clips.glob("*/.*.partial"):  # of a run that was killed
            draft.unlink()
    except OSError as error:
        raise OutputError(f"{clips} cannot be written: {error.strerror or error}.") from error


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all; raises OutputError."""
    draft = path.with_name(f".{path.name}.partial")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        draft.unlink(missing_ok=True)
