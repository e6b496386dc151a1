"""Recordings to unit vectors: each heard once, its speech checked, and kept in the cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from timbrel import registry
from timbrel.audio import condition, io
from timbrel.audio.io import Waveform
from timbrel.errors import AudioError
from timbrel.files import content_hash
from timbrel.methods.listening import Listener
from timbrel.registry import DEFAULT_MODEL
from timbrel.verification.cache import Cache, Entry

#: Of a longer recording the beginning is heard.
MAX_SECONDS = 60.0
#: Finding speech takes longer than embedding it, so it is looked for in the middle first.
_GLANCE_SECONDS = 2.0

Progress = Callable[[float, float], None]


@dataclass(frozen=True, slots=True)
class Vectors:
    """What was heard of R recordings.

    Fields:
        values: (R, E) float32 of unit length; zeros where there is a problem.
        contents: (R,) SHA-256 of the files.
        problems: why a recording cannot be compared, by its number.
        computed: how many were heard now and not found in the cache.
    """

    values: np.ndarray
    contents: tuple[str, ...]
    problems: dict[int, str]
    computed: int

    @property
    def usable(self) -> np.ndarray:
        """(R,) bool."""
        found = np.ones(len(self.values), dtype=bool)
        found[list(self.problems)] = False
        return found


class Hearing:
    """A speaker encoder, on the CPU so that everybody's vectors are the same, and what it has heard before.

    Attributes:
        name: of its checkpoint.
        family: of its checkpoint.
        fingerprint: of its weights.
    """

    def __init__(self, model: str | Path = DEFAULT_MODEL) -> None:
        """Loads the speaker encoder of that name or folder, or that of a pipeline.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        checkpoint = registry.find_part(model, "speaker")
        self._listener = Listener.of(checkpoint, torch.device("cpu"))
        self.name, self.family = checkpoint.name, checkpoint.family
        self.fingerprint = self._listener.spec.encoder
        # The same weights behind another front end hear something else.
        settings = json.dumps([checkpoint.family, checkpoint.config], sort_keys=True)
        self._cache = Cache(f"{self.fingerprint}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}")

    def hear(self, paths: Sequence[Path], progress: Progress | None = None) -> Vectors:
        """The vectors of recordings; one that is too short or holds no speech has a problem instead."""
        rows: list[np.ndarray] = []
        contents, problems, computed = [], dict[int, str](), 0
        for number, path in enumerate(paths):
            content, entry, new = self._entry(path)
            computed += new
            contents.append(content)
            rows.append(entry.vector)
            if entry.problem:
                problems[number] = entry.problem.replace("{}", str(path))
            if progress:
                progress(number + 1, len(paths))
        values = np.zeros((len(rows), self._listener.spec.dim), dtype=np.float32)
        for number, row in enumerate(rows):
            if number not in problems:
                values[number] = row
        return Vectors(values, tuple(contents), problems, computed)

    def _entry(self, path: Path) -> tuple[str, Entry, bool]:
        """Content hash, what was heard, and whether it was heard now."""
        try:
            content = content_hash(path)
        except OSError as error:
            return "", Entry(problem=f"{{}} cannot be read: {error.strerror}."), False
        kept = self._cache.get(content)
        if kept is not None and len(kept.vector) == self._listener.spec.dim:
            return content, kept, False
        entry = self._listen(path)
        if not entry.problem:  # one may be this machine's, such as a decoder that is missing
            self._cache.put(content, entry)
        return content, entry, True

    def _listen(self, path: Path) -> Entry:
        try:
            rate = io.probe(path).sample_rate
            samples = torch.from_numpy(next(io.stream(path, rate, MAX_SECONDS)))
            _require_speech(Waveform(samples, rate), str(path))
        except AudioError as error:
            return Entry(problem=str(error).replace(str(path), "{}"))
        vector = self._listener.embed(samples, rate).numpy().astype("<f4")
        length = float(np.linalg.norm(vector))
        if not (np.isfinite(length) and length > 0):
            return Entry(problem=f"{{}} makes the encoder {self.name} give no direction at all.")
        return Entry((vector / np.float32(length)).tobytes())


def _require_speech(waveform: Waveform, name: str) -> None:
    glance = round(_GLANCE_SECONDS * waveform.sample_rate)
    start = max(0, len(waveform.samples) - glance) // 2
    middle = Waveform(waveform.samples[start : start + glance], waveform.sample_rate)
    if condition.assess(middle).speech_seconds < condition.MIN_SPEECH_SECONDS:
        condition.require_speech(condition.assess(waveform), name)
