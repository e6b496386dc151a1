"""The main job: a recording's words in another person's voice.

    converter = VoiceConverter.from_pretrained()
    voice = converter.enrol("target.wav")
    converter.convert("source.wav", voice).save("out.wav")

A source is read first to know it whole (`analysis.py`), then in windows that are converted and written as
they come, so an hour needs no more memory than a minute. The command line, `convert` and
`convert_file` run the same code and give the same samples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from timbrel import __version__, recordings, registry
from timbrel import checkpoint as checkpoints
from timbrel.analysis import Analysis, analyse, first_speech
from timbrel.audio import io
from timbrel.audio.io import AudioWriter
from timbrel.audio.windows import overlapping
from timbrel.errors import ConfigError, ContractError
from timbrel.methods import Heard, Method, build_method
from timbrel.recordings import Recording
from timbrel.references import doubts, gather
from timbrel.registry import DEFAULT_MODEL
from timbrel.results import Conversion, Report, Summary, Timings
from timbrel.steering import PLAIN, Steering, check_weight
from timbrel.voice import Voice

Progress = Callable[[float, float], None]

#: Hz, of the first pass over a source.
ANALYSIS_RATE = 16000
#: Of a conversion and its source, from the start: what a report compares.
REPORT_SECONDS = 60.0
#: Of a source, from its first voiced sound: what its own voice is known by where some of it is to stay.
OWN_SECONDS = 60.0
#: Seconds of output that one window gives.
WINDOW_SECONDS = 16.0
#: In a blend.
MOST_VOICES = 8


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
            ConfigError: the machine lacks the device, or a part has a configuration that cannot be.
            ContractError: parts of it do not fit, or fit only with loss and `allow_lossy` is not set.
        """
        started = time.perf_counter()
        checkpoint = checkpoints.read(registry.find(model))
        method = build_method(checkpoint, find_device(device), allow_lossy)
        return cls(checkpoint.name, method, time.perf_counter() - started)

    @property
    def sample_rate(self) -> int:
        """Of what comes out, Hz."""
        return self._method.sample_rate

    def enrol(self, *references: Recording, denoise: bool = False) -> Voice:
        """Learns a voice from one recording of it or several.

        Args:
            denoise: take noise out of the recordings first; see `audio.denoise`.

        Raises:
            AudioError: a reference cannot be read or holds no speech.
            ConfigError: noise cannot be taken out, since the extra "denoise" is not installed.
        """
        method = self._method
        found = gather(references, method.input_rate, method.reference_seconds, denoise=denoise)
        with torch.inference_mode():
            heard = method.hear(found.samples)
            doubted = doubts(found, method.embed) if method.tells_voices_apart else ()
        return self._voice(heard, found.seconds, found.names, (*found.warnings, *doubted))

    def recall(self, path: str | Path) -> Voice:
        """A saved voice, with a warning more if other weights enrolled it and it can be spoken all the same.

        Raises:
            CheckpointError: the file is missing or is no voice.
        """
        voice = Voice.load(path)
        if voice.encoder != self._method.fingerprint or not self._method.lacks(voice):
            return voice
        warning = (
            f'{Path(path).name} was enrolled with other weights of "{voice.model}": it can be used, but '
            f'enrolled again with "{self.name}" it will sound more like the person.'
        )
        return replace(voice, warnings=(*voice.warnings, warning))

    def blend(self, *parts: tuple[Voice, float]) -> Voice:
        """One voice between several; their weights are scaled to a sum of 1.

        Raises:
            ConfigError: there are none or more than `MOST_VOICES`, or a weight is not a positive number.
            ContractError: a voice was made by another model.
        """
        if not 1 <= len(parts) <= MOST_VOICES:
            raise ConfigError(f"A blend has {len(parts)} voices: give 1 to {MOST_VOICES}.")
        for voice, weight in parts:
            self._require_own(voice)
            check_weight(weight)
        voices = [voice for voice, _ in parts]
        total = sum(weight for _, weight in parts)
        weights = [weight / total for _, weight in parts]
        shares = list(zip(voices, weights, strict=True))
        with torch.inference_mode():
            heard = self._method.blend(voices, weights)
        return self._voice(
            heard,
            sum(voice.seconds for voice in voices),
            tuple(f"{name} ({weight:.0%})" for voice, weight in shares for name in voice.sources),
            tuple(warning for voice in voices for warning in voice.warnings),
        )

    def convert(
        self,
        source: Recording,
        voice: Voice,
        *,
        steering: Steering = PLAIN,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Conversion:
        """The source's words in `voice`, in memory.

        Args:
            steering: the pitch, and how much of the source's own voice stays.
            seed: the same recordings, model, steering and seed give the same samples.
            progress: called with the seconds done and the seconds in all.

        Raises:
            AudioError: the source cannot be read.
            CheckpointError: the voice lacks frames that the model needs.
            ConfigError: the model cannot be steered so.
            ContractError: the voice was made by another model.
        """
        job = self._job(source, voice, steering, seed)
        pieces = list(job.run(progress))
        waveform = torch.from_numpy(np.concatenate(pieces))
        metadata = self._metadata(steering)
        return Conversion(waveform, self.sample_rate, job.timings(), job.summary(), metadata)

    def convert_file(
        self,
        source: Recording,
        voice: Voice,
        output: str | Path,
        *,
        steering: Steering = PLAIN,
        seed: int = 0,
        force: bool = False,
        progress: Progress | None = None,
    ) -> Summary:
        """The source's words in `voice`, written as they come; the memory used does not grow with length.

        Raises:
            AudioError, CheckpointError, ConfigError, ContractError: as `convert`.
            OutputError: the output exists and `force` is not set, or it cannot be written.
        """
        io.check_output(output, force)
        job = self._job(source, voice, steering, seed)
        metadata = self._metadata(steering)
        with AudioWriter(output, self.sample_rate, force=force, metadata=metadata) as writer:
            for piece in job.run(progress):
                writer.write(piece)
        return job.summary()

    def report(self, converted: Recording, source: Recording, voice: Voice, summary: Summary) -> Report:
        """Similarity of converted speech to the voice and to the source, beside the summary's numbers.

        Of long recordings the first `REPORT_SECONDS` are compared.

        Raises:
            AudioError: a recording cannot be read.
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
                self._method.embed(recordings.opening(one, self._method.input_rate, REPORT_SECONDS).samples)
                for one in (converted, source)
            )
        return Report(
            similarity_to_target=float(torch.cosine_similarity(made, target, dim=0)),
            similarity_to_source=float(torch.cosine_similarity(made, original, dim=0)),
            seconds=summary.seconds,
            level_dbfs=summary.level_dbfs,
            real_time_factor=summary.real_time_factor,
        )

    def _job(self, source: Recording, voice: Voice, steering: Steering, seed: int) -> _Job:
        self._require_own(voice)
        if steering.f0 != PLAIN.f0 and not self._method.moves_pitch:
            raise ConfigError(
                f'f0 is "{steering.f0}", but "{self.name}" finds the pitch itself: '
                "leave f0 at target, or choose another model."
            )
        if steering.beyond > 0 and not self._method.goes_beyond:
            raise ConfigError(
                f'strength is {steering.strength:g}, but "{self.name}" goes no farther than the voice: '
                "give at most 1, or choose another model."
            )
        return _Job(self._method, source, voice, steering, seed)

    def _require_own(self, voice: Voice) -> None:
        """Raises ContractError if another model made the voice."""
        if voice.encoder != self._method.fingerprint:
            raise ContractError(
                f'The voice was enrolled with the model "{voice.model}" ({voice.encoder}) and does not fit '
                f'"{self.name}" ({self._method.fingerprint}): enrol it again with this model.'
            )

    def _voice(
        self, heard: Heard, seconds: float, sources: tuple[str, ...], warnings: tuple[str, ...]
    ) -> Voice:
        return Voice(
            model=self.name,
            encoder=self._method.fingerprint,
            embeddings=heard.embeddings,
            frames=heard.frames,
            log_f0_mean=heard.log_f0_mean,
            log_f0_std=heard.log_f0_std,
            seconds=seconds,
            sources=sources,
            warnings=warnings,
        )

    def _metadata(self, steering: Steering) -> Mapping[str, str]:
        metadata = io.synthetic_metadata(self.name, __version__)
        steered = steering.describe()
        return metadata | {"comment": f"{metadata['comment']}, {steered}"} if steered else metadata


class _Job:
    """One conversion: its two passes, its clock and its level meter."""

    def __init__(
        self, method: Method, source: Recording, voice: Voice, steering: Steering, seed: int
    ) -> None:
        self._method, self._source, self._voice = method, recordings.looked_at(source), voice
        self._steering, self._seed = steering, seed
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
        return recordings.blocks(self._source, rate)

    def _pieces(self, analysis: Analysis) -> Iterator[np.ndarray]:
        method = self._method
        with torch.inference_mode():
            voice = self._steered(analysis)
            speak = method.prepare(analysis, voice, self._seed, self._blocks(method.input_rate))
        size = round(WINDOW_SECONDS * method.input_rate / method.hop) * method.hop
        context = method.context * method.hop
        for window, samples in overlapping(self._blocks(method.input_rate), size, context):
            # Entered for each piece, since a generator would leave the mode on in its caller.
            with torch.inference_mode():
                piece = speak(window, torch.from_numpy(samples)).numpy()
            yield piece

    def _steered(self, analysis: Analysis) -> Voice:
        """The voice that is asked for: at its pitch, with as much of the source's own in it as is to stay, or
        beyond itself."""
        voice, strength = self._voice, self._steering.strength
        if strength < 1.0:
            rate = self._method.input_rate
            speech = first_speech(analysis, self._blocks(rate), rate, OWN_SECONDS)
            own = _of_heard(voice, self._method.hear([torch.from_numpy(speech)]))
            own = replace(own, log_f0_mean=analysis.log_f0_mean, log_f0_std=analysis.log_f0_std)
            voice = _of_heard(voice, self._method.blend([own, voice], [1.0 - strength, strength]))
        return replace(self._steering.at_pitch(voice, analysis), beyond=self._steering.beyond)


def _of_heard(voice: Voice, heard: Heard) -> Voice:
    """A voice of the same model that is known by what was heard."""
    return replace(
        voice,
        embeddings=heard.embeddings,
        frames=heard.frames,
        log_f0_mean=heard.log_f0_mean,
        log_f0_std=heard.log_f0_std,
    )


def find_device(name: str) -> torch.device:
    """A device by name, "auto" for cuda where it is and else the CPU; raises ConfigError if the machine lacks
    it."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if available["cuda"] else "cpu")
    if not available.get(name, False):
        raise ConfigError(
            f'This machine has no device "{name}": use one of '
            f"{', '.join(device for device, there in available.items() if there)}."
        )
    return torch.device(name)
