"""Turns a corpus into what training reads: 16-bit samples at one rate with their pitch tracks.

    OUT/index.jsonl                   a line per clip: `timbrel.corpora.prepared.Clip`
    OUT/clips/SPEAKER/NAME.safetensors   audio int16 (T,); f0 and voicing float32 at 62.5 frames/s
    OUT/report.json                   how many were made, kept and skipped, and why
    OUT/splits.json                   who is in which split, and by what rule

Each clip is written whole or not at all and knows the SHA-256 of what it was made from, so that a
second run does only what is missing or has changed.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from timbrel.audio import io, pitch
from timbrel.audio.loudness import level_gain
from timbrel.audio.resample import resample
from timbrel.audio.trim import MARGIN_SECONDS, sounding
from timbrel.corpora import Utterance
from timbrel.corpora.prepared import INDEX, Clip, read_index
from timbrel.engines import Engine, spread
from timbrel.errors import AudioError, CorpusError, OutputError
from timbrel.files import content_hash, write_text
from timbrel.train.data import FULL_SCALE

REPORT = "report.json"
SPLITS = "splits.json"
#: Raised when the content of a prepared clip changes, so that older ones are made again.
_FORMAT = "2"
#: Under this name a clip says how much silence was cut off its ends.
_CUT = "cut_seconds"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A recording that could not be used; `kind` is one of a few words, `reason` a sentence."""

    path: str
    kind: str
    reason: str


@dataclass(slots=True)
class Report:
    """What became of a corpus.

    Fields:
        made, kept: clips made now, and found as they should be.
        seconds: of all clips.
        cut_seconds: of silence at their ends, left out.
        without_text: clips without a transcript.
        reasons: how many were skipped for each kind of reason.
    """

    made: int = 0
    kept: int = 0
    seconds: float = 0.0
    cut_seconds: float = 0.0
    without_text: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a clip shall be.

    Fields:
        sample_rate: Hz.
        trim: cut the silence at both ends, all but 0.2 s of it.
        shortest: seconds; what is shorter then is skipped.
        need_text: skip recordings without a transcript.
    """

    sample_rate: int = 16000
    trim: bool = False
    shortest: float = io.MIN_SECONDS
    need_text: bool = False


@dataclass(frozen=True, slots=True)
class _Outcome:
    utterance: Utterance
    seconds: float = 0.0
    kept: bool = False
    reason: str = ""
    kind: str = "unusable"
    cut_seconds: float = 0.0


def prepare(
    utterances: Sequence[Utterance],
    out: Path,
    *,
    wanted: Wanted | None = None,
    rule: Mapping[str, object] | None = None,
    engine: Engine | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Prepares a corpus, or what is missing of it.

    Args:
        wanted: of each clip.
        rule: how the corpus was divided into splits, for the record.
        engine: workers to spread the clips over; by default this process does them in turn.
        progress: called with the number of clips done and of all.

    Raises:
        CorpusError: there is no clip at all that could be used.
        OutputError: `out` cannot be written.
    """
    clips = out / "clips"
    _make_folders(clips, utterances)
    work = partial(_prepare_clip, clips=clips, wanted=wanted or Wanted())
    outcomes = dict[str, _Outcome]()
    for done, outcome in enumerate(_outcomes(work, utterances, engine), 1):
        outcomes[outcome.utterance.id] = outcome
        if progress:
            progress(done, len(utterances))
    report, lines = Report(), dict[str, str]()
    for utterance in utterances:  # in their order, so that workers make the same files as one process
        _note(outcomes[utterance.id], report, lines)
    _remove_drafts(clips)  # of workers that were lost
    _complete(report)
    write_text(out / REPORT, _json(asdict(report)))
    if not lines:
        first = f" ({report.skipped[0].path}: {report.skipped[0].reason})" if report.skipped else ""
        raise CorpusError(f"No recording could be used{first}; see {out / REPORT}.")
    usable = [one for one in utterances if one.id in lines]
    write_text(out / SPLITS, _json({"rule": dict(rule or {}), "splits": _splits(usable)}))
    write_text(out / INDEX, "".join(lines[one.id] for one in usable))
    return report


def _rule(splits: Path) -> dict[str, object]:
    """How an earlier run divided the corpus."""
    try:
        return dict(json.loads(splits.read_text(encoding="utf-8"))["rule"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(
            f"{splits} is damaged: remove it, and the splits are taken as they come."
        ) from error


def divided_otherwise(utterances: Iterable[Utterance], out: Path, rule: Mapping[str, object]) -> str:
    """What of the splits differs from those of an earlier run into `out`; "" if nothing does.

    Raises:
        CorpusError: the index of the earlier run is damaged.
    """
    if not (out / INDEX).is_file() or not (out / SPLITS).is_file():
        return ""
    before = {clip.id: clip.split for clip in read_index(out)}
    moved = sum(before.get(one.id, one.split) != one.split for one in utterances)
    old = _rule(out / SPLITS)
    new = json.loads(json.dumps(rule))
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    changed = ", ".join(f"{key} was {old.get(key)} and is {new.get(key)}" for key in keys)
    if not changed and not moved:
        return ""
    return (
        f"{out} was divided otherwise before ({changed or 'other speakers or clips'}): {moved} clips change "
        "their split, so a model trained on it before may know what is now kept from it."
    )


def _complete(report: Report) -> None:
    report.seconds, report.cut_seconds = round(report.seconds, 3), round(report.cut_seconds, 3)
    report.skipped.sort(key=lambda one: one.path)
    report.reasons = dict(Counter(one.kind for one in report.skipped).most_common())


def _splits(utterances: Iterable[Utterance]) -> dict[str, dict[str, object]]:
    """Of each split, how many clips it has, and its speakers with what is known of their sex."""
    found: dict[str, list[Utterance]] = {}
    for one in utterances:
        found.setdefault(one.split, []).append(one)
    return {
        name: {"clips": len(own), "speakers": dict(sorted({one.speaker: one.sex for one in own}.items()))}
        for name, own in sorted(found.items())
    }


def _json(found: object) -> str:
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _note(outcome: _Outcome, report: Report, lines: dict[str, str]) -> None:
    utterance = outcome.utterance
    if outcome.reason:
        report.skipped.append(Skipped(str(utterance.path), outcome.kind, outcome.reason))
        return
    report.made += not outcome.kept
    report.kept += outcome.kept
    report.seconds += outcome.seconds
    report.cut_seconds += outcome.cut_seconds
    report.without_text += not utterance.text
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
    work: Callable[[Utterance], _Outcome], utterances: Sequence[Utterance], engine: Engine | None
) -> Iterator[_Outcome]:
    """What `work` says of each utterance: in turn here, in any order with workers."""
    if engine is None:
        return map(work, utterances)
    # Nobody should begin a long recording when the others are about to finish.
    largest_first = sorted(utterances, key=_bytes, reverse=True)
    return spread(engine, partial(_handed, work), largest_first, _lost)


def _handed(work: Callable[[Utterance], _Outcome]) -> Callable[[Utterance], _Outcome]:
    return work


def _lost(utterance: Utterance, reason: str) -> _Outcome:
    return _Outcome(utterance, reason=f"{utterance.path}: {reason}")


def _bytes(utterance: Utterance) -> int:
    return utterance.path.stat().st_size if utterance.path.is_file() else 0


def _prepare_clip(utterance: Utterance, clips: Path, wanted: Wanted) -> _Outcome:
    """Makes a clip unless it is there; what cannot be used is said, not raised."""
    if utterance.problem:
        return _Outcome(utterance, reason=utterance.problem, kind="missing")
    if wanted.need_text and not utterance.text:
        return _Outcome(utterance, reason="it has no transcript.", kind="no transcript")
    try:
        return _made_or_kept(utterance, clips / f"{utterance.id}.safetensors", wanted)
    except FileNotFoundError:
        return _Outcome(utterance, reason="there is no such file.", kind="missing")
    except AudioError as error:
        return _Outcome(utterance, reason=str(error))
    except OSError as error:
        return _Outcome(utterance, reason=f"it cannot be read: {error.strerror or error}.")


def _made_or_kept(utterance: Utterance, target: Path, wanted: Wanted) -> _Outcome:
    origin = _origin(utterance.path, wanted)
    found = _lengths_if_current(target, origin, wanted.sample_rate)
    seconds, cut = found or _make_clip(utterance.path, target, origin, wanted)
    if seconds < wanted.shortest:
        left = " without the silence at its ends" if cut else ""
        reason = f"it lasts {seconds:.2f} s{left}, and {wanted.shortest:g} s are wanted."
        return _Outcome(utterance, reason=reason, kind="too short")
    return _Outcome(utterance, seconds, kept=found is not None, cut_seconds=cut)


def _origin(path: Path, wanted: Wanted) -> dict[str, str]:
    """What a clip is made from and how, as it stands in the clip."""
    origin = {
        "format": _FORMAT,
        "sample_rate": str(wanted.sample_rate),
        "source_sha256": content_hash(path),
    }
    return origin | ({"silence_left": str(MARGIN_SECONDS)} if wanted.trim else {})


def _lengths_if_current(target: Path, origin: dict[str, str], sample_rate: int) -> tuple[float, float] | None:
    """Seconds of a clip that was made from this origin, and seconds cut off; None if it must be made."""
    try:
        with safe_open(target, framework="numpy") as file:
            found = file.metadata() or {}
            cut = float(found.pop(_CUT, "0"))
            if found == origin:
                return file.get_slice("audio").get_shape()[0] / sample_rate, cut
    except (OSError, ValueError, SafetensorError):
        pass
    return None


def _make_clip(path: Path, target: Path, origin: dict[str, str], wanted: Wanted) -> tuple[float, float]:
    """Writes a clip if it is long enough; gives its seconds and those of the silence cut off."""
    whole = io.read(path, wanted.sample_rate).samples.numpy()
    samples = whole[sounding(whole, wanted.sample_rate)] if wanted.trim else whole
    seconds, cut = len(samples) / wanted.sample_rate, (len(whole) - len(samples)) / wanted.sample_rate
    if seconds >= wanted.shortest:
        facts = origin | ({_CUT: f"{cut:.3f}"} if wanted.trim else {})
        _write_clip(target, samples, wanted.sample_rate, facts)
    return seconds, cut


def _write_clip(target: Path, samples: np.ndarray, sample_rate: int, facts: dict[str, str]) -> None:
    at_16k = resample(samples, sample_rate, pitch.SAMPLE_RATE)
    # Quiet speech would be taken for unvoiced: it is tracked at the level at which a source is.
    track = pitch.track(at_16k * np.float32(level_gain(at_16k, pitch.SAMPLE_RATE)))
    audio = np.clip(np.round(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    draft = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        save_file({"audio": audio, "f0": track.f0, "voicing": track.voicing}, draft, metadata=facts)
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
        _remove_drafts(clips)  # of a run that was killed
    except OSError as error:
        raise OutputError(f"{clips} cannot be written: {error.strerror or error}.") from error


def _remove_drafts(clips: Path) -> None:
    for draft in clips.glob("*/.*.partial"):
        draft.unlink(missing_ok=True)
