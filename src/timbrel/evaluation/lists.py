"""Trial lists: which recordings of a corpus are converted to which voices, the same for the same seed.

- "balanced": pairs of different speakers, from women and men to women and men by turns, and with seen and
  unseen speakers by turns, so that any first rows are balanced.
- "knn-vc": Baas, van Niekerk and Kamper 2023: five recordings of each speaker, each converted to every
  other speaker; of the 40 speakers of LibriSpeech test-clean, 200 sources and 7,800 conversions. All other
  recordings of a target are given as references.
- "seed-vc": EVAL.md and eval.py of Plachtaa/seed-vc: 100 sources drawn at random, each converted to all of
  12 target recordings; theirs are of LibriTTS test-clean, and voices from elsewhere.

Nobody is converted to themselves. Everybody's place follows from a hash of the seed and their name. A
speaker is seen if some of their recordings are of the split "train"; of these speakers, only recordings
that are not are taken. Recordings are taken that last `SECONDS`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, product
from pathlib import Path
from typing import Literal

from timbrel.audio.io import probe
from timbrel.corpora import Utterance, by_speaker
from timbrel.corpora.splits import TRAIN
from timbrel.errors import AudioError, CorpusError
from timbrel.evaluation.pairs import NEEDED, OPTIONAL, SEPARATOR, recordings_at
from timbrel.files import resolved
from timbrel.wording import counted

Protocol = Literal["balanced", "knn-vc", "seed-vc"]
SECONDS = (2.0, 15.0)
#: Of the protocols.
KNN_VC_SOURCES, SEED_VC_SOURCES, SEED_VC_TARGETS = 5, 100, 12
BALANCED_PAIRS = 96


@dataclass(frozen=True, slots=True)
class Trial:
    """A source and a target; fields as in `pairs.Pair`."""

    source: Utterance
    target: Utterance
    condition: str = ""
    parallel: Utterance | None = None
    references: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Fields:
        count: of pairs (balanced), of sources (seed-vc) or of sources for each speaker (knn-vc); None for the
            protocol's own.
        targets: how many target recordings (seed-vc).
        gender: whether only pairs of one sex, or of two, are taken.
        conditions: such as "seen-to-unseen"; empty for all that the corpus has.
        splits: take recordings of these only; none for all but those of training.
        parallel: take only pairs whose target speaker says the source's words in another recording.
    """

    protocol: Protocol = "balanced"
    count: int | None = None
    targets: int = SEED_VC_TARGETS
    gender: Literal["any", "same", "cross"] = "any"
    conditions: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    parallel: bool = False
    seed: int = 0


@dataclass(slots=True)
class _Corpus:
    """Usable recordings in an order that the seed gives."""

    own: Mapping[str, list[Utterance]]
    seen: Mapping[str, bool]
    seed: int
    lasting: dict[str, bool] = field(default_factory=dict)

    @property
    def speakers(self) -> list[str]:
        return sorted(self.own, key=lambda name: _hash(self.seed, name))

    def recordings(self, speaker: str, purpose: str) -> Iterator[Utterance]:
        """Those of a speaker that last neither too short nor too long; nothing is sorted before the first
        is asked for."""
        ordered = sorted(self.own[speaker], key=lambda one: _hash(self.seed, f"{purpose} {one.id}"))
        yield from (one for one in ordered if self._lasts(one))

    def kind(self, speaker: str) -> str:
        return "seen" if self.seen[speaker] else "unseen"

    def sex(self, speaker: str) -> str:
        return self.own[speaker][0].sex

    def _lasts(self, one: Utterance) -> bool:
        if one.id not in self.lasting:
            try:
                self.lasting[one.id] = SECONDS[0] <= probe(one.path).duration <= SECONDS[1]
            except AudioError:
                self.lasting[one.id] = False
        return self.lasting[one.id]


def build(utterances: Sequence[Utterance], wanted: Wanted) -> list[Trial]:
    """The pairs of a protocol.

    Raises:
        CorpusError: the corpus has too few speakers or recordings, or none of the conditions or the sexes.
    """
    corpus = _corpus(utterances, wanted)
    if len(corpus.own) < 2:
        raise CorpusError(
            f"The corpus has {counted(len(corpus.own), 'speaker')} with recordings that were held out of "
            "training, and pairs need two: give --unseen or --held-out to hold some out, or another --split."
        )
    protocols: dict[str, Callable[[_Corpus, Wanted], Iterator[Trial]]] = {
        "balanced": _balanced,
        "knn-vc": _knn_vc,
        "seed-vc": _seed_vc,
    }
    trials = list(protocols[wanted.protocol](corpus, wanted))
    if not trials:
        raise CorpusError(
            "No pair of the corpus is as asked for: it needs recordings of "
            f"{SECONDS[0]:g} to {SECONDS[1]:g} s of speakers of the sexes and conditions that were named."
        )
    return trials


def _corpus(utterances: Sequence[Utterance], wanted: Wanted) -> _Corpus:
    usable = [one for one in utterances if not one.problem]
    groups = by_speaker(usable)
    seen = {name: any(one.split == TRAIN for one in own) for name, own in groups.items()}
    splits = set(wanted.splits) or {one.split for one in usable} - {TRAIN}
    held = {name: [one for one in own if one.split in splits] for name, own in groups.items()}
    return _Corpus({name: own for name, own in held.items() if own}, seen, wanted.seed)


def _balanced(corpus: _Corpus, wanted: Wanted) -> Iterator[Trial]:
    """From each kind of pair of speakers by turns, until there are enough or all have been used."""
    kinds: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for source, target in product(corpus.speakers, repeat=2):
        if _fits(corpus, source, target, wanted):
            condition = f"{corpus.kind(source)}-to-{corpus.kind(target)}"
            direction = f"{corpus.sex(source)}{corpus.sex(target)}"
            kinds.setdefault((condition, direction), []).append((source, target))
    turns = [
        _made(corpus, sorted(own, key=lambda pair: _hash(wanted.seed, " ".join(pair))), wanted)
        for _, own in sorted(kinds.items())
    ]
    return islice(_by_turns(turns), wanted.count or BALANCED_PAIRS)


def _made(corpus: _Corpus, speakers: Sequence[tuple[str, str]], wanted: Wanted) -> Iterator[Trial]:
    """Trials of these pairs of speakers: one of each, then another of each, while there are recordings."""
    sources = {pair: corpus.recordings(pair[0], f"source to {pair[1]}") for pair in speakers}
    texts = {name: _by_text(corpus, name) for name in {target for _, target in speakers}}
    waiting = list(speakers)
    while waiting:
        for pair in list(waiting):
            source = next(sources[pair], None)
            if source is None:
                waiting.remove(pair)
                continue
            parallel = texts[pair[1]].get(_words(source.text)) if source.text else None
            target = _target(corpus, pair[1], source)
            if target is not None and (parallel is not None or not wanted.parallel):
                yield _trial(corpus, source, target, parallel)


def _knn_vc(corpus: _Corpus, wanted: Wanted) -> Iterator[Trial]:
    each = wanted.count or KNN_VC_SOURCES
    references = _references(corpus)
    targets = {name: next(corpus.recordings(name, "target"), None) for name in sorted(corpus.own)}
    for speaker in targets:
        fitting = [
            target
            for name, target in targets.items()
            if target is not None and _fits(corpus, speaker, name, wanted)
        ]
        for source in islice(corpus.recordings(speaker, "source"), each):
            for target in fitting:
                yield _trial(corpus, source, target, None, references[target.speaker])


def _seed_vc(corpus: _Corpus, wanted: Wanted) -> Iterator[Trial]:
    usable_targets = (
        one for name in corpus.speakers if (one := next(corpus.recordings(name, "target"), None))
    )
    targets = list(islice(usable_targets, wanted.targets))
    drawn = sorted(chain(*corpus.own.values()), key=lambda one: _hash(wanted.seed, f"source {one.id}"))
    usable = (one for one in drawn if corpus._lasts(one) and one not in targets)
    for source in islice(usable, wanted.count or SEED_VC_SOURCES):
        for target in targets:
            if _fits(corpus, source.speaker, target.speaker, wanted):
                yield _trial(corpus, source, target)


def _fits(corpus: _Corpus, source: str, target: str, wanted: Wanted) -> bool:
    sexes = corpus.sex(source), corpus.sex(target)
    known = all(sexes)
    gender = {"any": True, "same": known and sexes[0] == sexes[1], "cross": known and sexes[0] != sexes[1]}
    condition = f"{corpus.kind(source)}-to-{corpus.kind(target)}"
    fits = not wanted.conditions or condition in wanted.conditions
    return source != target and gender[wanted.gender] and fits


def _trial(
    corpus: _Corpus,
    source: Utterance,
    target: Utterance,
    parallel: Utterance | None = None,
    references: tuple[Path, ...] = (),
) -> Trial:
    condition = f"{corpus.kind(source.speaker)}-to-{corpus.kind(target.speaker)}"
    return Trial(source, target, condition, parallel, references)


def _target(corpus: _Corpus, speaker: str, source: Utterance) -> Utterance | None:
    """A recording of the speaker that says other words than the source, another one for each source."""
    own = corpus.recordings(speaker, f"target of {source.id}")
    return next((one for one in own if not source.text or _words(one.text) != _words(source.text)), None)


def _references(corpus: _Corpus) -> dict[str, tuple[Path, ...]]:
    """All recordings of each speaker; the folder that holds them and nothing else, where there is one."""
    paths = {name: [one.path for one in own] for name, own in corpus.own.items()}
    below: dict[Path, set[str]] = {}
    for name, own in paths.items():
        for folder in {folder for path in own for folder in path.parents}:
            below.setdefault(folder, set()).add(name)
    found = {}
    for name, own in paths.items():
        folder = Path(os.path.commonpath([path.parent for path in own]))
        alone = below[folder] == {name} and set(recordings_at(folder)) == set(own)
        found[name] = (folder,) if alone else tuple(sorted(own))
    return found


def _by_text(corpus: _Corpus, speaker: str) -> dict[str, Utterance]:
    return {_words(one.text): one for one in corpus.own[speaker] if one.text}


def _words(text: str) -> str:
    """Letters and digits alone, so that punctuation and capitals make no difference."""
    return " ".join("".join(letter if letter.isalnum() else " " for letter in text.casefold()).split())


def _by_turns(turns: Sequence[Iterator[Trial]]) -> Iterator[Trial]:
    waiting = list(turns)
    while waiting:
        for turn in list(waiting):
            trial = next(turn, None)
            if trial is None:
                waiting.remove(turn)
            else:
                yield trial


def _hash(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()


def table(trials: Sequence[Trial], folder: Path) -> str:
    """The trials as the CSV that `pairs.read_pairs` reads; paths below `folder` are relative to it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", *NEEDED, *(name for name in OPTIONAL if name != "id")])
    for number, trial in enumerate(trials):
        source, target = trial.source, trial.target
        cells = {
            "text": source.text,
            "parallel": _written(trial.parallel.path, folder) if trial.parallel else "",
            "references": SEPARATOR.join(_written(path, folder) for path in trial.references),
            "source_speaker": source.speaker,
            "target_speaker": target.speaker,
            "source_sex": source.sex,
            "target_sex": target.sex,
            "language": source.language,
            "condition": trial.condition,
        }
        paths = (_written(one.path, folder) for one in (source, target))
        writer.writerow([f"{number:04d}", *paths, *(cells[name] for name in OPTIONAL if name != "id")])
    return text.getvalue()


def _written(path: Path, folder: Path) -> str:
    path, folder = resolved(path), resolved(folder)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
