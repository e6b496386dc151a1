"""A listening study: what is compared, which recordings it has, and how they lie in its folder.

    STUDY_DIR/study.json          this module's `Study`
    STUDY_DIR/audio/ID.flac       every recording, of equal loudness, under a name that tells nothing
    STUDY_DIR/tones/QA.wav        the headphone check: tone Q is the quietest, tone A out of phase
    STUDY_DIR/ratings.sqlite      listeners and ratings, see `timbrel.listening.store`
    STUDY_DIR/invitations.csv     a link for each listener

Plain data: nothing here imports torch or a web framework.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Literal

import msgspec

from timbrel.config import decode_config, encode_config
from timbrel.errors import ConfigError

Test = Literal["mos", "smos", "smos4", "ab", "abx", "mushra"]
Role = Literal["system", "reference", "anchor"]
Headphones = Literal["off", "check", "required"]

#: Tests that put two systems beside each other.
PAIRED: tuple[Test, ...] = ("ab", "abx")
#: Tests in which a sample is heard beside a recording of the person it should sound like.
SIMILARITY: tuple[Test, ...] = ("smos", "smos4")

FORMAT = 1

#: Each has a link that is made beforehand.
MOST_LISTENERS = 10_000
MOST_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class System:
    """One of what is compared.

    Fields:
        role: a `reference` is known to be good (natural speech, the hidden reference of MUSHRA), an
            `anchor` is known to be bad; both are rated like any other and tell listeners apart from chance.
    """

    name: str
    title: str = ""
    role: Role = "system"


@dataclass(frozen=True, slots=True)
class Sample:
    """One recording that is rated.

    Fields:
        id: names its file and nothing else; listeners never see it.
        item: the conversion it belongs to: samples of one item have the words and voices in common and differ
            in the system only.
        condition: such as "seen-to-seen"; results are split by it.
        voice: id of the `Recording` of the person it should sound like, "" if there is none.
        text: what is said; samples of one text are kept apart. "" if that is not known.
    """

    id: str
    item: str
    system: str
    condition: str
    seconds: float
    voice: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that samples are compared with and that is not rated itself."""

    id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Attention:
    """Speech that ends in beeps: who heard them gives the answer of their number in `test`."""

    id: str
    test: Test
    answer: int
    seconds: float


# Without slots, so that what is looked up for every rating is indexed once.
@dataclass(frozen=True)
class Study:
    """All that a study has.

    Fields:
        tests: in the order in which a listener takes them.
        systems: in the order of the tables; for AB and ABX the first-named is the one that stands first.
        comparisons: pairs of names of systems for AB and ABX; empty stands for every pair.
        listeners: how many are planned; orders are balanced over so many.
        items_per_listener: how many items of each condition one listener hears in each test; 0 for all.
        attention: each is asked once of every listener.
        loudness: LUFS of every recording.
    """

    title: str
    tests: tuple[Test, ...]
    systems: tuple[System, ...]
    samples: tuple[Sample, ...]
    voices: tuple[Recording, ...] = ()
    attention: tuple[Attention, ...] = ()
    comparisons: tuple[tuple[str, str], ...] = ()
    instructions: str = ""
    headphones: Headphones = "check"
    seed: int = 0
    listeners: int = 15
    items_per_listener: int = 0
    loudness: float = -23.0
    format: int = FORMAT

    @property
    def conditions(self) -> tuple[str, ...]:
        """In the order of the samples."""
        return tuple(dict.fromkeys(sample.condition for sample in self.samples))

    @property
    def items(self) -> tuple[str, ...]:
        """In the order of the samples."""
        return tuple(dict.fromkeys(sample.item for sample in self.samples))

    @property
    def competitors(self) -> tuple[tuple[str, str], ...]:
        """Every pair of systems, first-named first; references and anchors are none."""
        return tuple(combinations((one.name for one in self.systems if one.role == "system"), 2))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Systems to compare in AB and ABX, first-named first."""
        return self.comparisons or self.competitors

    def system(self, name: str) -> System:
        """The system of that name."""
        return next(system for system in self.systems if system.name == name)

    def sample(self, identity: str) -> Sample:
        """The sample of that id; `KeyError` if it is none of this study."""
        return self._by_id[identity]

    def of_item(self, item: str) -> Mapping[str, Sample]:
        """The samples of one item, by the name of their system; none of an item that is not there."""
        return self._by_item.get(item, {})

    @cached_property
    def _by_id(self) -> dict[str, Sample]:
        return {sample.id: sample for sample in self.samples}

    @cached_property
    def _by_item(self) -> dict[str, dict[str, Sample]]:
        found: dict[str, dict[str, Sample]] = {}
        for sample in self.samples:
            found.setdefault(sample.item, {})[sample.system] = sample
        return found

    def open_reference(self, item: str) -> Sample:
        """What MUSHRA compares the samples of an item with: that of the first system that is a reference."""
        samples = self.of_item(item)
        names = (system.name for system in self.systems if system.role == "reference")
        return next(samples[name] for name in names if name in samples)

    @property
    def recordings(self) -> tuple[Sample | Recording | Attention, ...]:
        """Everything that has a file."""
        return (*self.samples, *self.voices, *self.attention)

    def seconds(self) -> dict[str, float]:
        """Length of every recording by its id, voices and attention checks included."""
        return {one.id: one.seconds for one in self.recordings}


def save(study: Study, folder: Path) -> None:
    """Writes `study.json`."""
    text = msgspec.json.format(msgspec.json.encode(encode_config(study)), indent=1)
    (folder / "study.json").write_bytes(text + b"\n")


def load(folder: Path) -> Study:
    """Reads the study in a folder.

    Raises:
        ConfigError: there is none, or it was changed by hand into one that cannot be.
    """
    path = folder / "study.json"
    try:
        data = msgspec.json.decode(path.read_bytes(), type=dict)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(
            f"{folder} is not a study: it has no study.json; make one with timbrel listen new."
        ) from error
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}; make the study again.") from error
    study = decode_config(data, Study, name=str(path))
    for problem in problems(study):
        raise ConfigError(f"{path}: {problem}.")
    return study


def audio_path(folder: Path, identity: str) -> Path:
    """The file of a recording of a study that has been loaded."""
    return folder / "audio" / f"{identity}.flac"


def tones_path(folder: Path, quietest: int, antiphase: int) -> Path:
    """The file of a trial of the headphone check."""
    return folder / "tones" / f"{quietest}{antiphase}.wav"


def problems(study: Study) -> Iterator[str]:
    """What makes a study impossible, as clauses: nothing, if it is sound."""
    if study.format != FORMAT:
        yield f"format is {study.format}, and this Timbrel reads {FORMAT}; make the study again"
    if not study.title.strip():
        yield "title is empty"
    if not study.tests:
        yield 'tests is empty: name some, such as "mos"'
    if len(set(study.tests)) != len(study.tests):
        yield "tests names one twice"
    if not 1 <= study.listeners <= MOST_LISTENERS or study.items_per_listener < 0:
        yield f"listeners must be from 1 to {MOST_LISTENERS}, and items_per_listener 0 or more"
    if not 0 <= study.seed <= MOST_SEED:
        yield f"seed must be from 0 to {MOST_SEED}"
    if not -50 <= study.loudness <= -10:
        yield f"loudness is {study.loudness} LUFS: choose between -50 and -10"
    yield from _problems_of_systems(study)
    yield from _problems_of_samples(study)


def _problems_of_systems(study: Study) -> Iterator[str]:
    names = [system.name for system in study.systems]
    if len(set(names)) != len(names):
        yield "two systems have one name"
    if len({system.title or system.name for system in study.systems}) != len(study.systems):
        yield "two systems have one title, so that nobody could tell their results apart"
    if not any(system.role == "system" for system in study.systems):
        yield "no system is there to be judged: all are references or anchors"
    for pair in study.comparisons:
        for name in pair:
            if name not in names:
                yield f'comparisons names the system "{name}", and there are {", ".join(names)}'
        if pair[0] == pair[1]:
            yield f'comparisons puts "{pair[0]}" beside itself'
    if len({frozenset(pair) for pair in study.comparisons}) != len(study.comparisons):
        yield "comparisons names a pair twice"
    if any(test in PAIRED for test in study.tests) and not study.pairs:
        yield "AB and ABX need two systems"
    if "mushra" in study.tests and not any(system.role == "reference" for system in study.systems):
        yield 'mushra needs a system whose role is "reference"'


def _problems_of_samples(study: Study) -> Iterator[str]:
    if not study.samples:
        yield "there are no samples"
    names = {system.name for system in study.systems}
    voices = {voice.id for voice in study.voices}
    if len({one.id for one in study.recordings}) != len(study.recordings):
        yield "two recordings have one id"
    for one in study.recordings:
        if not (one.id.isascii() and one.id.isalnum()):
            yield f'"{one.id}" is not an id: letters and digits'
    heard = {sample.system for sample in study.samples}
    if heard - names:
        yield "a sample is of a system that is not listed"
    for name in sorted(names - heard):
        yield f'the system "{name}" has no recordings'
    if any(sample.voice and sample.voice not in voices for sample in study.samples):
        yield "a sample belongs to a voice that is not listed"
    if any(test in SIMILARITY for test in study.tests) and not all(one.voice for one in study.samples):
        yield "similarity is to be judged, and some samples have no recording of the voice they should have"
    if "mushra" in study.tests and study.samples:
        references = {system.name for system in study.systems if system.role == "reference"}
        with_reference = {sample.item for sample in study.samples if sample.system in references}
        for item in study.items:
            if item not in with_reference:
                yield f'mushra needs a reference for each item, and "{item}" has none'
