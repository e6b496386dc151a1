"""The main job: a recording's words in another person's voice.

    converter = VoiceConverter.from_pretrained()
    voice = converter.enrol("target.wav")
    converter.convert("source.wav", voice).save("out.wav")

A source is read twice: once to know it whole (`analysis.py`), once in windows that are converted and
written as they come, so an hour needs no more memory than a minute. The command line, `convert` and
`convert_file` run the same code and give the same samples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from timbrel import __version__, registry
from timbrel import checkpoint as checkpoints
from timbrel.analysis import Analysis, analyse
from timbrel.audio import condition, io
from timbrel.audio.io import AudioWriter, Waveform
from timbrel.audio.resample import resample
from timbrel.audio.windows import overlapping
from timbrel.errors import AudioError, CheckpointError, ContractError
from timbrel.methods import Method, build_method
from timbrel.registry import DEFAULT_MODEL
from timbrel.voice import Voice

Recording = str | Path | Waveform
Progress = Callable[[float, float], None]

#: Hz, of the first pass over a source.
ANALYSIS_RATE = 16000
#: Of all references of a voice together: a decoder that attends to them needs memory for each second.
MAX_REFERENCE_SECONDS = 180.0
#: Of a conversion and its source, from the start: what a report compares.
REPORT_SECONDS = 60.0
#: Seconds of output that one window gives.
WINDOW_SECONDS = 16.0


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds spent: reading the source the first time, converting, and both."""

    analysis: float
    conversion: float

    @property
    def total(self) -> float:
        return self.analysis + self.conversion


@dataclass(frozen=True, slots=True)
class Summary:
    """One conversion in numbers: seconds of audio, RMS level, seconds it took, and their quotient."""

    seconds: float
    level_dbfs: float
    elapsed: float

    @property
    def real_time_factor(self) -> float:
        """Seconds of computing for a second of audio; below 1 is faster than real time."""
        return self.elapsed / self.seconds


@dataclass(frozen=True, slots=True)
class Report:
    """A conversion judged by the model's own speaker encoder; similarities are cosines."""

    similarity_to_target: float
    similarity_to_source: float
    seconds: float
    level_dbfs: float
    real_time_factor: float


@dataclass(frozen=True, slots=True)
class Conversion:
    """Converted speech: `waveform` (T,) at `sample_rate` Hz."""

    waveform: Tensor
    sample_rate: int
    timings: Timings
    summary: Summary
    metadata: Mapping[str, str]

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Writes the audio, marked as synthetic; see `audio.io.write` for what is refused."""
        io.write(path, Waveform(self.waveform, self.sample_rate), force=force, metadata=self.metadata)


class VoiceConverter:
    """A model that is ready to convert.

    Attributes:
        name: of the model.
        load_seconds: how long it took to load.
    """

    def __init__(self, name: str, method: Method, load_seconds: float = 0.0) -> None:
        self.name = name
        self.load_seconds = load_seconds
        self._method = method

    @classmethod
    def from_pretrained(
        cls, model: str | Path = DEFAULT_MODEL, *, device: str = "auto", allow_lossy: bool = False
    ) -> VoiceConverter:
        """Loads a model by name or folder; its parts are compared before anything is computed.

        Raises:
            CheckpointError: there is no such model, or it is damaged.
            ContractError: parts of it do not fit, or fit only with loss and `allow_lossy` is not set.
        """
        started = time.perf_counter()
        checkpoint = checkpoints.read(registry.find(model))
        method = build_method(checkpoint, _device(device), allow_lossy)
        return cls(checkpoint.name, method, time.perf_counter() - started)

    @property
    def sample_rate(self) -> int:
        """Of what comes out, Hz."""
        return self._method.sample_rate

    def enrol(self, *references: Recording) -> Voice:
        """Learns a voice from one recording of it or several.

        Raises:
            AudioError: a reference cannot be read or holds no speech.
        """
        if not references:
            raise AudioError("Give at least one recording of the voice.")
        waveforms, names, warnings, seconds = [], [], [], 0.0
        room = MAX_REFERENCE_SECONDS
        for reference in references:
            name, duration = _name(reference), _duration(reference)
            if duration > room:
                warnings.append(_too_long(name, duration, room))
            if room < condition.FEW_SPEECH_SECONDS:
                continue
            waveform = _opening(reference, self._method.input_rate, room)
            room -= waveform.duration
            found = condition.assess(waveform)
            condition.require_speech(found, name)
            warnings += [f"{name}: {warning}" for warning in condition.warnings(found)]
            seconds += found.speech_seconds
            waveforms.append(waveform)
            names.append(name)
        with torch.inference_mode():
            heard = self._method.hear([waveform.samples for waveform in waveforms])
        return Voice(
            model=self.name,
            encoder=self._method.fingerprint,
            embeddings=heard.embeddings,
            frames=heard.frames,
            log_f0_mean=heard.log_f0_mean,
            log_f0_std=heard.log_f0_std,
            seconds=seconds,
            sources=tuple(names),
            warnings=tuple(warnings),
        )

    def convert(
        self, source: Recording, voice: Voice, *, seed: int = 0, progress: Progress | None = None
    ) -> Conversion:
        """The source's words in `voice`, in memory.

        `progress` is called with the seconds done and the seconds in all.

        Raises:
            AudioError: the source cannot be read.
            ContractError: the voice was made by another model.
        """
        job = self._job(source, voice, seed)
        pieces = list(job.run(progress))
        waveform = torch.from_numpy(np.concatenate(pieces))
        return Conversion(waveform, self.sample_rate, job.timings(), job.summary(), self._metadata())

    def convert_file(
        self,
        source: Recording,
        voice: Voice,
        output: str | Path,
        *,
        seed: int = 0,
        force: bool = False,
        progress: Progress | None = None,
    ) -> Summary:
        """The source's words in `voice`, written as they come; the memory used does not grow with length.

        Raises:
            AudioError, ContractError: as `convert`.
            OutputError: the output exists and `force` is not set, or it cannot be written.
        """
        io.check_output(output, force)
        job = self._job(source, voice, seed)
        with AudioWriter(output, self.sample_rate, force=force, metadata=self._metadata()) as writer:
            for piece in job.run(progress):
                writer.write(piece)
        return job.summary()

    def report(self, converted: Recording, source: Recording, voice: Voice, summary: Summary) -> Report:
        """Similarity of converted speech to the voice and to the source, beside the summary's numbers.

        Of long recordings the first `REPORT_SECONDS` are compared.

        Raises:
            ContractError: the voice lacks an embedding by this model's speaker encoder.
        """
        target = voice.embeddings.get(self._method.speaker_fingerprint)
        if target is None:
            raise ContractError(
                f'The voice was enrolled with the model "{voice.model}", whose speaker encoder is not that '
                f'of "{self.name}" ({self._method.speaker_fingerprint}): enrol it again with this model.'
            )
        with torch.inference_mode():
            made, original = (
                self._method.embed(_opening(recording, self._method.input_rate, REPORT_SECONDS).samples)
                for recording in (converted, source)
            )
        return Report(
            similarity_to_target=float(torch.cosine_similarity(made, target, dim=0)),
            similarity_to_source=float(torch.cosine_similarity(made, original, dim=0)),
            seconds=summary.seconds,
            level_dbfs=summary.level_dbfs,
            real_time_factor=summary.real_time_factor,
        )

    def _job(self, source: Recording, voice: Voice, seed: int) -> _Job:
        if voice.encoder != self._method.fingerprint:
            raise ContractError(
                f'The voice was enrolled with the model "{voice.model}" ({voice.encoder}) and does not fit '
                f'"{self.name}" ({self._method.fingerprint}): enrol it again with this model.'
            )
        return _Job(self._method, source, voice, seed)

    def _metadata(self) -> Mapping[str, str]:
        return io.synthetic_metadata(self.name, __version__)


class _Job:
    """One conversion: its two passes, its clock and its level meter."""

    def __init__(self, method: Method, source: Recording, voice: Voice, seed: int) -> None:
        self._method, self._source, self._voice, self._seed = method, source, voice, seed
        self._energy = 0.0
        self._samples = 0
        self._analysis_seconds = self._seconds = 0.0

    def run(self, progress: Progress | None) -> Iterator[np.ndarray]:
        """Blocks of converted samples, as many in all as the source has at the output's rate."""
        started = time.perf_counter()
        analysis = analyse(self._blocks(ANALYSIS_RATE))
        self._analysis_seconds = time.perf_counter() - started
        total = analysis.samples / ANALYSIS_RATE
        for piece in self._pieces(analysis):
            self._energy += float(np.square(piece, dtype=np.float64).sum())
            self._samples += len(piece)
            self._seconds = time.perf_counter() - started
            if progress is not None:
                progress(self._samples / self._method.sample_rate, total)
            yield piece

    def timings(self) -> Timings:
        return Timings(self._analysis_seconds, self._seconds - self._analysis_seconds)

    def summary(self) -> Summary:
        mean_square = self._energy / max(1, self._samples)
        level = 10 * np.log10(max(mean_square, 1e-12))
        return Summary(self._samples / self._method.sample_rate, float(level), self._seconds)

    def _blocks(self, rate: int) -> Iterable[np.ndarray]:
        if isinstance(self._source, Waveform):
            return [_whole(self._source, rate).samples.numpy()]
        return _Blocks(self._source, rate)

    def _pieces(self, analysis: Analysis) -> Iterator[np.ndarray]:
        method = self._method
        with torch.inference_mode():
            speak = method.prepare(analysis, self._voice, self._seed, self._blocks(method.input_rate))
        size = round(WINDOW_SECONDS * method.input_rate / method.hop) * method.hop
        context = method.context * method.hop
        for window, samples in overlapping(self._blocks(method.input_rate), size, context):
            # Entered for each piece, since a generator would leave the mode on in its caller.
            with torch.inference_mode():
                piece = speak(window, torch.from_numpy(samples)).numpy()
            yield piece


@dataclass(frozen=True, slots=True)
class _Blocks:
    """A file in blocks at `rate` Hz, from the start at each iteration."""

    path: str | Path
    rate: int

    def __iter__(self) -> Iterator[np.ndarray]:
        return io.stream(self.path, self.rate)


def _device(name: str) -> torch.device:
    """Raises CheckpointError if the machine has no such device."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if available["cuda"] else "cpu")
    if not available.get(name, False):
        raise CheckpointError(
            f'This machine has no device "{name}": use one of '
            f"{', '.join(device for device, there in available.items() if there)}."
        )
    return torch.device(name)


def _whole(waveform: Waveform, sample_rate: int) -> Waveform:
    """A waveform that someone gave, checked, at `sample_rate`."""
    samples = waveform.samples.detach().cpu().float()
    if samples.ndim != 1:
        raise AudioError(f"The waveform has the shape {tuple(samples.shape)}: give one channel, (samples,).")
    io.check_waveform(waveform)
    resampled = resample(samples.numpy(), waveform.sample_rate, sample_rate)
    return Waveform(torch.from_numpy(resampled), sample_rate)


def _opening(recording: Recording, sample_rate: int, seconds: float) -> Waveform:
    """The first `seconds` of a recording, or all of a shorter one, mono, at `sample_rate`."""
    if isinstance(recording, Waveform):
        samples = _whole(recording, sample_rate).samples[: int(seconds * sample_rate)]
    else:
        samples = torch.from_numpy(next(io.stream(recording, sample_rate, seconds)))
    return Waveform(samples, sample_rate)


def _duration(recording: Recording) -> float:
    return recording.duration if isinstance(recording, Waveform) else io.probe(recording).duration


def _too_long(name: str, duration: float, room: float) -> str:
    some = room >= condition.FEW_SPEECH_SECONDS
    heard = f"the first {room:.0f} s of it are heard" if some else "it is not heard"
    return (
        f"{name}: It lasts {duration:.0f} s; of all references together {MAX_REFERENCE_SECONDS:.0f} s "
        f"are used, so {heard}."
    )


def _name(recording: Recording) -> str:
    return "a waveform" if isinstance(recording, Waveform) else Path(recording).name
