"""Makes the folder of a study from a STUDY.toml: equal loudness, names that tell nothing, links to send."""

from __future__ import annotations

import os
import random
import secrets
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path

from timbrel.audio.io import Waveform, write
from timbrel.errors import ConfigError, OutputError
from timbrel.listening import audio, invitations, outline, study
from timbrel.listening.outline import Found
from timbrel.listening.scales import SCALES
from timbrel.listening.store import Store
from timbrel.listening.study import SIMILARITY, Attention, Recording, Sample, Study, System

Progress = Callable[[float, float], None]


@dataclass(frozen=True, slots=True)
class _Source:
    """A recording of a study before it is made: the file, and what is done to it."""

    path: Path
    lowpass_hz: float = 0.0
    beeps: int = 0
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    def read(self) -> Waveform:
        waveform = audio.read(self.path)
        return audio.low_pass(waveform, self.lowpass_hz) if self.lowpass_hz else waveform


@dataclass(frozen=True, slots=True)
class _Draft:
    """A study whose recordings have no lengths yet, and where they come from, by id."""

    study: Study
    sources: dict[str, _Source]


def build(path: Path, folder: Path, progress: Progress = lambda done, total: None) -> Study:
    """Makes a study in a new folder; its loudness is lower than wished if peaks would be clipped.

    Raises:
        ConfigError: STUDY.toml is not sound.
        EvaluationError, AudioError: recordings are missing or cannot be used.
        OutputError: the folder exists already, or cannot be made.
    """
    if folder.exists() or folder.is_symlink():
        raise OutputError(f"{folder} exists already, perhaps with ratings in it; choose another name.")
    if not folder.absolute().parent.is_dir():
        raise OutputError(f"{folder} cannot be made: there is no folder {folder.absolute().parent}.")
    if not os.access(folder.absolute().parent, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} cannot be made: {folder.absolute().parent} is closed to you.")
    found = outline.read(path)
    draft = _draft(found)
    for problem in study.problems(draft.study):
        raise ConfigError(f"{path}: {problem}.")
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    try:
        made = _make(draft, partial, progress)
        shutil.copyfile(path, partial / "STUDY.toml")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return made


def _draft(found: Found) -> _Draft:
    """The study, with lengths of 0."""
    compared = any(test in SIMILARITY for test in found.outline.tests)
    voices = {pair.target: _Source(pair.target) for pair in found.pairs if compared}
    sources = {source.id: source for source in voices.values()}
    samples = []
    for pair in found.pairs:
        for name, system in found.systems.items():
            if pair.id not in found.files[name]:
                continue
            source = _Source(found.files[name][pair.id], system.lowpass_hz)
            sources[source.id] = source
            condition, voice = pair.condition or "all", voices[pair.target].id if compared else ""
            samples.append(Sample(source.id, pair.id, name, condition, 0.0, voice, pair.text or ""))
    drafted = _Draft(_study(found, samples, [source.id for source in voices.values()]), sources)
    return _with_attention(drafted, found.outline.attention)


def _study(found: Found, samples: Iterable[Sample], voices: Iterable[str]) -> Study:
    wished = found.outline
    return Study(
        title=wished.title,
        tests=wished.tests,
        systems=tuple(System(name, one.title or name, one.role) for name, one in found.systems.items()),
        samples=tuple(samples),
        voices=tuple(Recording(voice, 0.0) for voice in voices),
        comparisons=wished.comparisons,
        instructions=wished.instructions,
        headphones=wished.headphones,
        seed=wished.seed,
        listeners=wished.listeners,
        items_per_listener=wished.items_per_listener,
        loudness=wished.loudness,
    )


def _with_attention(draft: _Draft, count: int) -> _Draft:
    """With checks of every test but MUSHRA: beeps after a recording, as many as the answer they call for."""
    chance = random.Random(draft.study.seed)
    checks = []
    for test in draft.study.tests if draft.study.samples else ():
        scale = SCALES[test]
        # What speech would get anyway, the best answer, tells nothing.
        answers = [value for value, _ in scale.labels if value < scale.most] if scale.most > 2 else [1, 2]
        for number in range(count if test != "mushra" else 0):
            origin = draft.sources[chance.choice(draft.study.samples).id]
            source = _Source(origin.path, origin.lowpass_hz, beeps=answers[(number + 1) % len(answers)])
            draft.sources[source.id] = source
            checks.append(Attention(source.id, test, source.beeps, 0.0))
    return replace(draft, study=replace(draft.study, attention=tuple(checks)))


def _make(draft: _Draft, folder: Path, progress: Progress) -> Study:
    """Writes all of it and gives the study with the lengths of its recordings."""
    total = 2 * len(draft.sources)
    (folder / "audio").mkdir(parents=True)
    loudness, softer = draft.study.loudness, 0.0
    for number, source in enumerate(draft.sources.values()):
        softer = max(softer, audio.headroom(source.read(), loudness))
        progress(number, total)
    seconds = {}
    for number, source in enumerate(draft.sources.values(), len(draft.sources)):
        seconds[source.id] = _write(source, folder, loudness - softer)
        progress(number, total)
    _write_tones(folder)
    made = _with_seconds(replace(draft.study, loudness=loudness - softer), seconds)
    study.save(made, folder)
    invitations.create(folder, made.listeners)
    Store(folder / "ratings.sqlite").close()
    return made


def _write(source: _Source, folder: Path, loudness: float) -> float:
    waveform = audio.equalised(source.read(), loudness)
    if source.beeps:
        waveform = audio.with_beeps(waveform, source.beeps)
    write(study.audio_path(folder, source.id), waveform)
    return waveform.duration


def _write_tones(folder: Path) -> None:
    (folder / "tones").mkdir()
    for quietest, antiphase in permutations(range(3), 2):
        study.tones_path(folder, quietest, antiphase).write_bytes(audio.tones(quietest, antiphase))


def _with_seconds(drafted: Study, seconds: dict[str, float]) -> Study:
    return replace(
        drafted,
        samples=tuple(replace(one, seconds=seconds[one.id]) for one in drafted.samples),
        voices=tuple(replace(one, seconds=seconds[one.id]) for one in drafted.voices),
        attention=tuple(replace(one, seconds=seconds[one.id]) for one in drafted.attention),
    )
