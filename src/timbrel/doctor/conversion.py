"""The converter at work: whether it can say its own input, and whether a conversion is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from timbrel.audio.io import Waveform
from timbrel.audio.mel import MelSpectrogram
from timbrel.contract import FeatureSpec
from timbrel.doctor.findings import Area, Finding, Severity
from timbrel.doctor.sound import opening
from timbrel.methods import Method
from timbrel.models.autovc import AutoVC
from timbrel.models.embedding import embed_audio, listen
from timbrel.models.vqvc import VQVC
from timbrel.pipeline import VoiceConverter

#: Correlation over time with the mel that went in: below, the words are gone.
POOR_RECONSTRUCTION = 0.5
#: Deviation over time, as a share of that of the mel that went in: below, it is smoothed over.
SMOOTHED = 0.5
_SILENT_DB = 35.0
_LENGTH = 0.03


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """A converter given a recording and its own speaker: correlation and share of deviation, over time."""

    correlation: float
    liveliness: float


@dataclass(frozen=True, slots=True)
class Tried:
    """One conversion in numbers.

    Fields:
        to_target, to_source: cosines by the model's own speaker encoder.
        seconds, source_seconds: of the output and the source.
        level_change_db: of the output's RMS over the source's.
    """

    to_target: float
    to_source: float
    seconds: float
    source_seconds: float
    level_change_db: float


@torch.inference_mode()
def reconstruct(converter: Any, speaker: Any, waveform: Waveform) -> Reconstruction | None:
    """Of converters that make mels from mels; None for others, or where the speaker encoder is missing."""
    if isinstance(converter, VQVC) and converter.spec_in.kind == "mel":
        samples = opening(waveform, converter.spec_in.sample_rate)
        code = converter.encode(listen(converter.spec_in, samples[None], converter.spec_in.sample_rate))
        made = converter.decode(code.content, code.speaker, code.frames)
    elif isinstance(converter, AutoVC) and speaker is not None:
        samples = opening(waveform, converter.spec_in.sample_rate)
        own = embed_audio(speaker, samples[None], converter.spec_in.sample_rate)
        if own.shape[-1] != converter.config.embedding.dim:
            return None
        made = converter.convert(MelSpectrogram(converter.spec_in)(samples[None]), own, own)
    else:
        return None
    spec: FeatureSpec = converter.spec_out
    return _compared(MelSpectrogram(spec)(samples[None])[0], made[0])


def reconstruction_findings(subject: str, found: Reconstruction) -> Iterator[Finding]:
    """What it means that a converter cannot say its own input."""
    if found.correlation < POOR_RECONSTRUCTION:
        yield Finding(
            Severity.FAULT,
            Area.SOUND,
            subject,
            f"Given a recording and its own speaker, it does not say it again (correlation of the mels "
            f"{found.correlation:.2f}).",
            "The words are lost in the converter: mumbling or babble, whatever the vocoder.",
            "Check freq and the statistics it was imported with, and that it was trained long enough on the "
            "loss of equal shapes.",
            (32, 33, 40, 42),
        )
    elif found.liveliness < SMOOTHED:
        yield Finding(
            Severity.RISK,
            Area.SOUND,
            subject,
            f"Its mels move {found.liveliness:.0%} as much as true ones.",
            "Smoothed mels are what no vocoder saw in training: buzz, a metallic sheen.",
            "Train the vocoder on this converter's own mels, or train the converter longer.",
            (49,),
        )


@torch.inference_mode()
def try_conversion(method: Method, source: Waveform, reference: Waveform) -> Tried:
    """Converts the opening of a source to the voice of a reference.

    Raises:
        AudioError: the reference holds no speech.
    """
    converter = VoiceConverter("the parts", method)
    short = Waveform(opening(source, source.sample_rate), source.sample_rate)
    voice = converter.enrol(reference)
    made = converter.convert(short, voice)
    whole = Waveform(made.waveform, made.sample_rate)
    report = converter.report(whole, short, voice, made.summary)
    return Tried(
        report.similarity_to_target,
        report.similarity_to_source,
        whole.duration,
        short.duration,
        _level(made.waveform) - _level(short.samples),
    )


def conversion_findings(subject: str, tried: Tried) -> Iterator[Finding]:
    """What is wrong with a conversion."""
    if abs(tried.seconds / tried.source_seconds - 1) > _LENGTH:
        yield Finding(
            Severity.FAULT,
            Area.SOUND,
            subject,
            f"{tried.source_seconds:.2f} s became {tried.seconds:.2f} s.",
            "Frame or sample rates differ somewhere: too fast or too slow.",
            "Compare sample_rate and hop of all parts.",
            (6, 8, 37),
        )
    if tried.level_change_db < -_SILENT_DB or not np.isfinite(tried.level_change_db):
        yield Finding(
            Severity.FAULT,
            Area.SOUND,
            subject,
            "What comes out is silent, or no number.",
            "A part passes nothing on.",
            "See to the other findings first; copy-synthesis tells whether the vocoder is at fault.",
            (17, 38),
        )
    elif tried.to_source > tried.to_target:
        yield Finding(
            Severity.RISK,
            Area.SOUND,
            subject,
            f"The conversion is closer to the source's voice ({tried.to_source:.2f}) than to the target's "
            f"({tried.to_target:.2f}).",
            "The source leaks through, by a bottleneck that is too wide or a voice that is not heard.",
            "Narrow dim_neck or raise freq and train again; give a longer reference.",
            (42,),
        )


def _compared(original: Tensor, made: Tensor) -> Reconstruction:
    """(T, D) mels over the shorter of both, each band's mean aside."""
    frames = min(len(original), len(made))
    one, other = (mel[:frames] - mel[:frames].mean(dim=0) for mel in (original, made))
    product = float((one * other).mean())
    power, copied = float(one.square().mean()), float(other.square().mean())
    return Reconstruction(product / max((power * copied) ** 0.5, 1e-12), (copied / max(power, 1e-12)) ** 0.5)


def _level(samples: Tensor) -> float:
    return 10 * float(torch.log10(samples.double().square().mean().clamp_min(1e-12)))
