"""Conversions of all pairs by a model, and copies of the sources by a vocoder: what is there is kept.

    FOLDER/ID.wav     what was made
    FOLDER/ID.json    from what, and what it cost; written after the audio

A file counts as made if its note names the same recordings, the same weights and the same seed. Work is
done by processes that do nothing else, so that the memory they need is the system's own.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timbrel import __version__
from timbrel.engines import Engine, spread
from timbrel.errors import EvaluationError, TimbrelError
from timbrel.evaluation.hashes import Hashes
from timbrel.evaluation.pairs import Pair
from timbrel.evaluation.systems import Speed
from timbrel.files import make_folder, write_text
from timbrel.voice import Voice, remembered

if TYPE_CHECKING:
    from timbrel.models import Vocoder
    from timbrel.pipeline import VoiceConverter

Progress = Callable[[float, float], None]


@dataclass(frozen=True, slots=True)
class Order:
    """A pair to be converted, where the result goes, and the key of what it is made from."""

    pair: Pair
    output: Path
    key: str

    @property
    def note(self) -> Path:
        """The file beside the result."""
        return self.output.with_suffix(".json")


@dataclass(frozen=True, slots=True)
class Made:
    """What became of an order.

    Fields:
        seconds, elapsed: of audio, and of computing it.
        memory_mib, gpu_memory_mib: the most that the process had held until then.
        problem: why there is no result, if so.
    """

    id: str
    seconds: float = 0.0
    elapsed: float = 0.0
    memory_mib: float = 0.0
    gpu_memory_mib: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Produced:
    """All results of a system, by the pairs' ids, what they cost, and why others are missing."""

    files: Mapping[str, Path]
    speed: Speed | None
    problems: Mapping[str, str]
    new: int


Make = Callable[[], Callable[[Order], Made]]


def by_model(model: str, device: str, seed: int) -> Make:
    """Conversions by a model."""
    return partial(_load_model, model, device, seed)


def by_vocoder(vocoder: str | None) -> Make:
    """Copies of the sources: by a vocoder of mels, or Griffin-Lim."""
    return partial(_load_vocoder, vocoder)


def find_vocoder(vocoder: str) -> Vocoder:
    """A vocoder of mels by name or folder, with its weights.

    Raises:
        CheckpointError: there is none, or it is damaged.
        EvaluationError: it is something else.
    """
    from timbrel import checkpoint, registry
    from timbrel.models import Vocoder

    network = registry.build(checkpoint.read(registry.find(vocoder)))
    if not isinstance(network, Vocoder) or network.spec_in.kind != "mel":
        raise EvaluationError(f'"{vocoder}" is no vocoder of mels: give one to --vocoder, or leave it.')
    return network


def produce(
    pairs: Sequence[Pair],
    folder: Path,
    make: Make,
    recipe: str,
    hashes: Hashes,
    engine: Engine,
    progress: Progress | None = None,
) -> Produced:
    """Everything that is not there yet.

    Args:
        recipe: names the weights and settings; a result of another recipe is made again.

    Raises:
        OutputError: the folder cannot be written.
        EngineError: no worker can be started.
    """
    make_folder(folder)
    orders = [Order(pair, folder / f"{pair.id}.wav", _key(pair, recipe, hashes)) for pair in pairs]
    found = {order.pair.id: made for order in orders if (made := _finished(order))}
    waiting = [order for order in orders if order.pair.id not in found]
    waiting.sort(key=lambda order: order.pair.source.stat().st_size, reverse=True)
    by_id = {order.pair.id: order for order in waiting}
    for number, made in enumerate(spread(engine, make, waiting, _lost), 1):
        found[made.id] = made
        if not made.problem:
            _write_note(by_id[made.id], made)
        if progress is not None:
            progress(number, len(waiting))
    good = {order.pair.id: order.output for order in orders if not found[order.pair.id].problem}
    return Produced(
        files=good,
        speed=_speed([found[name] for name in good], engine.workers),
        problems={name: made.problem for name, made in found.items() if made.problem},
        new=len(waiting),
    )


def _key(pair: Pair, recipe: str, hashes: Hashes) -> str:
    contents = [hashes.of(path) for path in (pair.source, pair.target, *pair.references)]
    return hashlib.sha256(json.dumps([__version__, recipe, *contents]).encode()).hexdigest()


def _finished(order: Order) -> Made | None:
    """What the note says, if it is of this order and the result is there."""
    try:
        note = json.loads(order.note.read_text(encoding="utf-8"))
        if note.pop("key") == order.key and order.output.is_file():
            return Made(**note)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        pass  # no note, or one that was cut short or is somebody else's
    return None


def _write_note(order: Order, made: Made) -> None:
    write_text(order.note, json.dumps({"key": order.key, **asdict(made)}) + "\n")


def _speed(made: Sequence[Made], workers: int) -> Speed | None:
    seconds = sum(one.seconds for one in made)
    if not seconds:
        return None
    gpu = [one.gpu_memory_mib for one in made if one.gpu_memory_mib is not None]
    return Speed(
        real_time_factor=sum(one.elapsed for one in made) / seconds,
        peak_memory_mib=max(one.memory_mib for one in made),
        peak_gpu_memory_mib=max(gpu, default=None),
        workers=workers,
    )


def _lost(order: Order, reason: str) -> Made:
    return Made(order.pair.id, problem=f"{order.pair.source}: {reason}")


def _load_model(model: str, device: str, seed: int) -> Callable[[Order], Made]:
    """What a worker does with an order."""
    from timbrel.pipeline import VoiceConverter

    converter = VoiceConverter.from_pretrained(model, device=device)
    return partial(_convert, converter, seed, remembered(partial(_enrol, converter)))


def _convert(
    converter: VoiceConverter,
    seed: int,
    voice_of: Callable[[tuple[Path, ...]], Voice],
    order: Order,
) -> Made:
    pair = order.pair
    recordings = tuple(dict.fromkeys((pair.target, *pair.references)))
    try:
        summary = converter.convert_file(
            pair.source, voice_of(recordings), order.output, seed=seed, force=True
        )
    except (TimbrelError, OSError) as error:
        return Made(pair.id, problem=str(error))
    return Made(pair.id, summary.seconds, summary.elapsed, _peak_memory(), _peak_gpu_memory())


def _enrol(converter: VoiceConverter, recordings: tuple[Path, ...]) -> Voice:
    return converter.enrol(*recordings)


def _load_vocoder(vocoder: str | None) -> Callable[[Order], Made]:
    from timbrel.audio.mel import PRESETS, MelSpectrogram
    from timbrel.models.griffin_lim import GriffinLim, GriffinLimConfig

    network = find_vocoder(vocoder) if vocoder else GriffinLim(GriffinLimConfig(PRESETS["timbrel-16k"]))
    return partial(_copy, network, MelSpectrogram(network.spec_in))


def _copy(vocoder: Any, mel: Any, order: Order) -> Made:
    import time

    import torch

    from timbrel.audio import io

    try:
        source = io.read(order.pair.source, vocoder.spec_in.sample_rate)
        started = time.perf_counter()
        with torch.inference_mode():
            copied = vocoder(mel(source.samples[None]))[0, : len(source.samples)]
        elapsed = time.perf_counter() - started
        metadata = io.synthetic_metadata("copy-synthesis", __version__)
        waveform = io.Waveform(copied.float().cpu(), source.sample_rate)
        io.write(order.output, waveform, force=True, metadata=metadata)
    except (TimbrelError, OSError) as error:
        return Made(order.pair.id, problem=str(error))
    return Made(order.pair.id, waveform.duration, elapsed, _peak_memory())


def _peak_memory() -> float:
    """MiB that this process has held at most."""
    status = Path("/proc/self/status")
    if status.is_file():  # the other way counts what the parent held when it started this process
        lines = status.read_text(encoding="utf-8").splitlines()
        found = next((line for line in lines if line.startswith("VmHWM:")), None)
        if found:
            return int(found.split()[1]) / 1024
    try:
        import resource
    except ImportError:  # not on Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _peak_gpu_memory() -> float | None:
    import torch

    if not (torch.cuda.is_available() and torch.cuda.is_initialized()):
        return None
    return torch.cuda.max_memory_allocated() / 2**20
