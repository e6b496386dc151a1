"""`timbrel corpus check`: what everybody asks of a corpus before training on it, in numbers.

How much there is of whom, how long the clips are, how much of them is silence, how noisy, how wide a
band, how loud and how clipped; whether one voice goes by two names, or two voices by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from timbrel.audio import condition
from timbrel.corpora import Utterance, by_speaker
from timbrel.engines import Engine, spread
from timbrel.errors import CorpusError
from timbrel.files import content_hash
from timbrel.inspection.measure import Look, Seen, observer, observer_of_worker
from timbrel.inspection.voices import Voices, compare

_QUANTILES = {"shortest": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "longest": 1.0}


@dataclass(frozen=True, slots=True)
class Sound:
    """Clips that were looked at closely.

    Fields:
        clips: how many.
        speechless_clips: how many of them hold no speech.
        silence_share: of their time, 0..1.
        end_seconds: median silence at the ends of a clip that could be cut off.
        snr_db, low_snr_db: median and 5 % quantile, where there is speech.
        bandwidth_hz, level_dbfs: medians.
        clipped_share: mean share of samples, 0..1.
        clipped_clips: how many clips have more of that than 0.1 %.
    """

    clips: int
    speechless_clips: int
    silence_share: float
    end_seconds: float
    snr_db: float
    low_snr_db: float
    bandwidth_hz: float
    level_dbfs: float
    clipped_share: float
    clipped_clips: int


@dataclass(frozen=True, slots=True)
class Figures:
    """A speaker, or the whole corpus, in numbers.

    Fields:
        sex: F, M or "".
        clips, minutes: of all usable recordings.
        clip_seconds: quantiles of their lengths.
        sound: None if none of those looked at closely could be used.
    """

    sex: str
    clips: int
    minutes: float
    clip_seconds: dict[str, float]
    sound: Sound | None


@dataclass(frozen=True, slots=True)
class Unusable:
    """A recording that is missing or cannot be read."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class CorpusReport:
    """All that was found.

    Fields:
        sample_rates: how many clips have which rate, Hz.
        without_text: usable clips without a transcript.
        same_file: ids of recordings that are byte for byte the same.
        voices: who sounds like whom; see `voices.compare`.
    """

    speakers: dict[str, Figures]
    total: Figures
    sample_rates: dict[int, int]
    without_text: int
    unusable: tuple[Unusable, ...]
    same_file: tuple[tuple[str, ...], ...]
    voices: Voices


def check(
    utterances: Sequence[Utterance],
    model: str,
    *,
    clips: int = 20,
    engine: Engine | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> CorpusReport:
    """Looks at a corpus.

    Args:
        model: whose speaker encoder tells the voices apart.
        clips: of each speaker to look at closely, spread evenly over them; 0 for all.
        engine: workers to spread the clips over; by default this process does them in turn.
        progress: called with the number of clips done and of all.

    Raises:
        CheckpointError: there is no such model, or it has no speaker encoder.
        CorpusError: there is no recording that can be used.
    """
    looks = list(_looks(utterances, clips))
    found: dict[str, Seen] = {}
    for seen in _observe(looks, model, engine):
        found[seen.utterance.id] = seen
        if progress:
            progress(len(found), len(looks))
    ordered = [found[one.id] for one in utterances]
    usable = [seen for seen in ordered if not seen.problem]
    unusable = tuple(Unusable(str(seen.utterance.path), seen.problem) for seen in ordered if seen.problem)
    if not usable:
        first = f" ({unusable[0].path}: {unusable[0].reason})" if unusable else ""
        raise CorpusError(f"No recording of the corpus can be used{first}.")
    speakers = by_speaker(usable)
    return CorpusReport(
        speakers={name: _figures(own, own[0].utterance.sex) for name, own in sorted(speakers.items())},
        total=_figures(usable, ""),
        sample_rates=_counts([seen.sample_rate for seen in usable]),
        without_text=sum(not seen.utterance.text for seen in usable),
        unusable=unusable,
        same_file=tuple(_same_files([seen.utterance for seen in usable])),
        voices=_voices(speakers),
    )


def _looks(utterances: Sequence[Utterance], clips: int) -> Iterator[Look]:
    for own in by_speaker(utterances).values():
        count = min(clips or len(own), len(own))
        near = {round(i * (len(own) - 1) / max(1, count - 1)) for i in range(count)}
        yield from (Look(one, index in near) for index, one in enumerate(own))


def _observe(looks: Sequence[Look], model: str, engine: Engine | None) -> Iterator[Seen]:
    if engine is None:
        return map(observer(model), looks)
    return spread(engine, partial(observer_of_worker, model), looks, _lost)


def _lost(look: Look, reason: str) -> Seen:
    return Seen(look.utterance, problem=reason)


def _figures(own: Sequence[Seen], sex: str) -> Figures:
    lengths = np.array([seen.seconds for seen in own])
    return Figures(
        sex=sex,
        clips=len(own),
        minutes=float(lengths.sum() / 60),
        clip_seconds={name: float(np.quantile(lengths, share)) for name, share in _QUANTILES.items()},
        sound=_sound(own),
    )


def _sound(own: Sequence[Seen]) -> Sound | None:
    near = [(seen.end_seconds, seen.condition) for seen in own if seen.condition is not None]
    if not near:
        return None
    ends, found = zip(*near, strict=True)
    speech, seconds = sum(one.speech_seconds for one in found), sum(one.seconds for one in found)
    ratios = [one.snr_db for one in found if one.speech_seconds > 0] or [0.0]
    return Sound(
        clips=len(found),
        speechless_clips=sum(one.speech_seconds == 0 for one in found),
        silence_share=1.0 - speech / seconds,
        end_seconds=float(np.median(ends)),
        snr_db=float(np.median(ratios)),
        low_snr_db=float(np.quantile(ratios, 0.05)),
        bandwidth_hz=float(np.median([one.bandwidth_hz for one in found])),
        level_dbfs=float(np.median([one.level_dbfs for one in found])),
        clipped_share=float(np.mean([one.clipped_share for one in found])),
        clipped_clips=sum(one.clipped_share > condition.MUCH_CLIPPING for one in found),
    )


def _counts(values: Sequence[int]) -> dict[int, int]:
    return {value: values.count(value) for value in sorted(set(values))}


def _voices(speakers: dict[str, list[Seen]]) -> Voices:
    heard = {
        name: [(seen.utterance.id, seen.voice) for seen in own if seen.voice is not None]
        for name, own in speakers.items()
    }
    vectors = {name: np.stack([voice for _, voice in own]) for name, own in heard.items() if own}
    return compare(vectors, {name: [clip for clip, _ in own] for name, own in heard.items()})


def _same_files(utterances: Sequence[Utterance]) -> Iterator[tuple[str, ...]]:
    """Groups of ids whose files are equal; only files of one size are read."""
    for group in _groups(utterances, lambda one: one.path.stat().st_size):
        for same in _groups(group, lambda one: content_hash(one.path)):
            yield tuple(one.id for one in same)


def _groups(utterances: Sequence[Utterance], key: Callable[[Utterance], int | str]) -> list[list[Utterance]]:
    """Those that share a key with others."""
    found: dict[int | str, list[Utterance]] = {}
    for one in utterances:
        found.setdefault(key(one), []).append(one)
    return [group for group in found.values() if len(group) > 1]
