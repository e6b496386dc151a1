"""What one recording of a corpus is like: its length, its condition and its voice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from timbrel import checkpoint as checkpoints
from timbrel import registry
from timbrel.audio import condition, io
from timbrel.audio.condition import Condition
from timbrel.audio.io import Waveform
from timbrel.audio.mel import MelSpectrogram
from timbrel.audio.resample import resample
from timbrel.audio.trim import sounding
from timbrel.corpora import Utterance
from timbrel.errors import AudioError, CheckpointError

#: Of a longer recording the beginning is listened to.
MAX_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """A recording to look at: closely, or only for its length."""

    utterance: Utterance
    closely: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found.

    Fields:
        seconds: of the whole recording; 0 if it cannot be used.
        sample_rate: Hz, of the file.
        condition: of its first `MAX_SECONDS`, if it was looked at closely.
        end_seconds: silence at both ends that `timbrel prepare --trim` would cut off.
        voice: unit vector (E,) by the speaker encoder; none where there is no speech.
        problem: why it cannot be used.
    """

    utterance: Utterance
    seconds: float = 0.0
    sample_rate: int = 0
    condition: Condition | None = None
    end_seconds: float = 0.0
    voice: np.ndarray | None = None
    problem: str = ""

    @property
    def speaker(self) -> str:
        """Who is heard."""
        return self.utterance.speaker


def observer(model: str) -> Callable[[Look], Seen]:
    """What looks at recordings, with the speaker encoder of a pipeline.

    Raises:
        CheckpointError: there is no such model, or it has no speaker encoder.
    """
    parts = registry.parts(checkpoints.read(registry.find(model)))
    if "speaker" not in parts:
        raise CheckpointError(f'The model "{model}" has no speaker encoder to tell voices apart with.')
    encoder: Any = registry.build(parts["speaker"])
    return _Observer(encoder, MelSpectrogram(encoder.spec_in))


def observer_of_worker(model: str) -> Callable[[Look], Seen]:
    """`observer` for one of several processes, which would be in each other's way with more threads."""
    torch.set_num_threads(1)
    return observer(model)


@dataclass(frozen=True, slots=True)
class _Observer:
    encoder: torch.nn.Module
    mel: MelSpectrogram

    def __call__(self, look: Look) -> Seen:
        utterance = look.utterance
        if utterance.problem:
            return Seen(utterance, problem=utterance.problem)
        try:
            return self._observe(utterance, look.closely)
        except (AudioError, OSError, SafetensorError) as error:
            return Seen(utterance, problem=str(error))

    def _observe(self, utterance: Utterance, closely: bool) -> Seen:
        if utterance.path.suffix == ".safetensors":
            seconds, waveform = _prepared(utterance)
        else:
            info = io.probe(utterance.path)
            seconds = info.duration
            if not closely:
                return Seen(utterance, seconds, info.sample_rate)
            block = next(io.stream(utterance.path, info.sample_rate, MAX_SECONDS))
            waveform = Waveform(torch.from_numpy(block), info.sample_rate)
        if not closely:
            return Seen(utterance, seconds, waveform.sample_rate)
        found = condition.assess(waveform)
        samples = waveform.samples.numpy()
        kept = sounding(samples, waveform.sample_rate)
        return Seen(
            utterance,
            seconds,
            waveform.sample_rate,
            found,
            end_seconds=(len(samples) - (kept.stop - kept.start)) / waveform.sample_rate,
            voice=self._voice(waveform) if found.speech_seconds >= condition.MIN_SPEECH_SECONDS else None,
        )

    def _voice(self, waveform: Waveform) -> np.ndarray:
        samples = resample(waveform.samples.numpy(), waveform.sample_rate, self.mel.spec.sample_rate)
        with torch.inference_mode():
            vector: np.ndarray = self.encoder(self.mel(torch.from_numpy(samples)[None]))[0].numpy()
        return vector


def _prepared(utterance: Utterance) -> tuple[float, Waveform]:
    """Seconds of a prepared clip, and its beginning."""
    with safe_open(utterance.path, framework="numpy") as file:
        rate = int((file.metadata() or {}).get("sample_rate", 0))
        audio = file.get_slice("audio")
        length = audio.get_shape()[0]
        if rate <= 0 or length == 0:
            raise AudioError(f"{utterance.path} is no clip of a prepared corpus; prepare it again.")
        opening = audio[: min(length, round(MAX_SECONDS * rate))].astype(np.float32) / 32768.0
    return length / rate, Waveform(torch.from_numpy(opening), rate)
