"""What the teachers say of a prepared corpus, computed once and read in training.

    CORPUS/teachers/moonshine/SPEAKER/NAME.safetensors     frames (T, 288) float16
    CORPUS/teachers/moonshine.json                         their mean and deviation over the corpus
    CORPUS/teachers/resemblyzer/SPEAKER/NAME.safetensors   vector (256,) float32

Each file is written whole or not at all and knows the recording and the teacher that it was made
with, so that a second run does only what is missing or has changed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from timbrel.corpora.prepared import Clip, read_index
from timbrel.errors import CorpusError, OutputError, TrainingError
from timbrel.files import write_text
from timbrel.train.data import FULL_SCALE
from timbrel.train.teachers import SAMPLE_RATE, Moonshine

FOLDER, STATISTICS = "teachers", "moonshine.json"
#: A clip of this many seconds is the longest that a teacher hears: attention grows with the square.
LONGEST = 60.0


class Teacher(Protocol):
    """What `teach` needs of a teacher."""

    fingerprint: str

    def hear(self, samples: np.ndarray) -> np.ndarray:
        """(L,) float32 at 16 kHz -> what the teacher says of it."""


@dataclass(frozen=True, slots=True)
class _Shelf:
    """Where the features of a teacher lie: folder, name of the tensor, type."""

    name: str
    key: str
    dtype: type


_MOONSHINE = _Shelf("moonshine", "frames", np.float16)
_RESEMBLYZER = _Shelf("resemblyzer", "vector", np.float32)

Progress = Callable[[int, int], None]


def teach_content(root: Path, teacher: Moonshine, workers: int = 1, progress: Progress | None = None) -> int:
    """Computes the frames of Moonshine for every clip, and their statistics; returns how many were made.

    Raises:
        CorpusError: the folder is no prepared corpus at 16 kHz, or a clip is too long.
        OutputError: it cannot be written.
    """
    made, count = 0, 0
    total, squares = np.zeros(teacher.dim), np.zeros(teacher.dim)
    for is_new, frames in _all_heard(root, _MOONSHINE, teacher, workers, progress):
        exact = frames.astype(np.float64)
        made, count = made + is_new, count + len(frames)
        total += exact.sum(axis=0)
        squares += np.square(exact).sum(axis=0)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 1e-8))
    statistics = {"teacher": teacher.fingerprint, "mean": mean.tolist(), "deviation": deviation.tolist()}
    write_text(root / FOLDER / STATISTICS, json.dumps(statistics) + "\n")
    return made


def teach_speakers(root: Path, teacher: Teacher, workers: int = 1, progress: Progress | None = None) -> int:
    """Computes the vector of Resemblyzer for every clip; returns how many were made.

    Raises:
        CorpusError: the folder is no prepared corpus at 16 kHz, or a clip is too long.
        OutputError: it cannot be written.
    """
    return sum(is_new for is_new, _ in _all_heard(root, _RESEMBLYZER, teacher, workers, progress))


class ContentFrames:
    """Reads the frames of Moonshine, standardised, at any place of a clip.

    Attributes:
        mean, deviation: of its frames over the corpus, (D,).

    Raises:
        TrainingError: the corpus has none.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        path = root / FOLDER / STATISTICS
        try:
            statistics = json.loads(path.read_text(encoding="utf-8"))
            self.mean = np.array(statistics["mean"], dtype=np.float32)
            self.deviation = np.array(statistics["deviation"], dtype=np.float32)
        except (OSError, ValueError, KeyError) as error:
            raise TrainingError(
                f"{path} is missing or damaged: run timbrel teach {root} --moonshine first."
            ) from error

    @property
    def dim(self) -> int:
        """Values of a frame."""
        return len(self.mean)

    def at(self, clip: str, samples: np.ndarray) -> np.ndarray:
        """Frames centred on `samples` (K,) of the clip of that id, straight between the teacher's, (K, D)."""
        with _open(self.root, _MOONSHINE, clip) as file:
            stored = file.get_slice(_MOONSHINE.key)
            count = stored.get_shape()[0]
            places = np.clip((samples - Moonshine.centre) / Moonshine.hop, 0, count - 1)
            first = int(places.min())
            piece = stored[first : min(count, int(places.max()) + 2)].astype(np.float32)
        left = places.astype(int) - first
        right = np.minimum(left + 1, len(piece) - 1)
        share = (places - places.astype(int))[:, None].astype(np.float32)
        frames: np.ndarray = (piece[left] * (1 - share) + piece[right] * share - self.mean) / self.deviation
        return frames


def speaker_vectors(root: Path, clips: Sequence[str]) -> np.ndarray:
    """The vectors of Resemblyzer for the clips of those ids, (B, 256).

    Raises:
        TrainingError: one is missing.
    """
    vectors = []
    for clip in clips:
        with _open(root, _RESEMBLYZER, clip) as file:
            vectors.append(file.get_tensor(_RESEMBLYZER.key))
    return np.stack(vectors)


def _all_heard(
    root: Path, shelf: _Shelf, teacher: Teacher, workers: int, progress: Progress | None
) -> Iterator[tuple[bool, np.ndarray]]:
    """`_heard` for every clip, in the order of the index; the networks leave Python's lock, so threads do."""
    clips = read_index(root)
    work = partial(_heard, root=root, shelf=shelf, teacher=teacher)
    with ThreadPoolExecutor(workers) as pool:
        try:
            for done, result in enumerate(pool.map(work, clips), 1):
                yield result
                if progress:
                    progress(done, len(clips))
        finally:
            # After an error or Ctrl-C those at work finish their clip, and nothing new begins.
            pool.shutdown(cancel_futures=True)


def _heard(clip: Clip, root: Path, shelf: _Shelf, teacher: Teacher) -> tuple[bool, np.ndarray]:
    """Whether it was made now, and what the teacher says of the clip, from the disk where it is current."""
    samples, source = load_clip(root, clip)
    target = _path(root, shelf, clip.id)
    origin = {"teacher": teacher.fingerprint, "source": source}
    try:
        with safe_open(target, framework="numpy") as file:
            if file.metadata() == origin:
                return False, file.get_tensor(shelf.key)
    except (OSError, SafetensorError):
        pass
    said: np.ndarray = np.ascontiguousarray(teacher.hear(samples).astype(shelf.dtype))
    write_tensors(target, {shelf.key: said}, origin)
    return True, said


def load_clip(root: Path, clip: Clip) -> tuple[np.ndarray, str]:
    """Samples (L,) float32 of a prepared clip at 16 kHz, and what they were made from; raises CorpusError."""
    if clip.seconds > LONGEST:
        raise CorpusError(
            f"{clip.id} lasts {clip.seconds:.0f} s, and a teacher hears at most {LONGEST:.0f} s: cut it."
        )
    try:
        with safe_open(root / clip.file, framework="numpy") as file:
            facts = file.metadata() or {}
            audio = file.get_tensor("audio")
    except (OSError, SafetensorError) as error:
        raise CorpusError(f"{root / clip.file} is missing or damaged; prepare the corpus again.") from error
    if facts.get("sample_rate") != str(SAMPLE_RATE):
        raise CorpusError(
            f"{root} was prepared at {facts.get('sample_rate')} Hz and the teachers hear {SAMPLE_RATE} Hz: "
            f"prepare it with --sample-rate {SAMPLE_RATE}."
        )
    return audio.astype(np.float32) / FULL_SCALE, facts.get("source_sha256", "")


def _path(root: Path, shelf: _Shelf, clip: str) -> Path:
    return root / FOLDER / shelf.name / f"{clip}.safetensors"


def _open(root: Path, shelf: _Shelf, clip: str) -> Any:
    path = _path(root, shelf, clip)
    try:
        return safe_open(path, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{path} is missing or damaged: run timbrel teach {root} --{shelf.name} first."
        ) from error


def write_tensors(target: Path, tensors: dict[str, np.ndarray], origin: dict[str, str]) -> None:
    """Writes what was heard of a clip whole or not at all; raises OutputError."""
    draft = target.with_name(f".{target.name}.{threading.get_ident()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, draft, metadata=origin)
        draft.replace(target)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{target} cannot be written: {error}; make room and run again.") from error
    finally:
        draft.unlink(missing_ok=True)
