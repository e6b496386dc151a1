"""Vocoders and speaker encoders at work on a recording, each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from timbrel.audio.io import Waveform
from timbrel.audio.mel import MelSpectrogram, expand
from timbrel.audio.resample import resample
from timbrel.audio.trim import sounding
from timbrel.contract import FeatureSpec
from timbrel.doctor.findings import Area, Finding, Severity
from timbrel.models.embedding import embed_audio, listen

#: Of a recording, from where its sound begins.
SECONDS = 8.0
#: Nats: a good vocoder's copy is about 0.3 from the original, Griffin-Lim's 0.4, noise 2 and more.
POOR_COPY, USELESS_COPY = 0.9, 1.6
#: Another domain has to be better by this factor before the declared one is doubted.
_CLEARLY = 0.6
_ACTIVE_NATS = 6.0
_SAME_VECTOR, _TRIMMED_ALIKE, _LEVEL_ALIKE = 0.97, 0.90, 0.90
_LOWER = 10 ** (-20 / 20)


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy-synthesis by a vocoder alone.

    Fields:
        errors: mean difference of the copy's mel from the original's in nats, over frames that sound, by the
            domain in which the vocoder was given the mel; "declared" is its own.
        steady: whether two runs gave the same samples.
    """

    errors: dict[str, float]
    steady: bool


def opening(waveform: Waveform, sample_rate: int) -> Tensor:
    """(L,) the first seconds that sound, at that rate."""
    samples = waveform.samples.numpy()
    kept = samples[sounding(samples, waveform.sample_rate)]
    kept = kept[: round(SECONDS * waveform.sample_rate)]
    return torch.from_numpy(np.ascontiguousarray(resample(kept, waveform.sample_rate, sample_rate)))


@torch.inference_mode()
def copy_synthesis(vocoder: Any, waveform: Waveform) -> Copy:
    """Mel of the recording, vocoder, mel of that: in the declared domain and in the usual other ones."""
    spec: FeatureSpec = vocoder.spec_in
    samples = opening(waveform, spec.sample_rate)
    mel = MelSpectrogram(spec)(samples[None])
    natural = expand(mel, spec).clamp_min(1e-5).log()
    errors, made = {}, None
    for name, given in _domains(mel, spec).items():
        copy = vocoder(given)[0]
        made = copy if name == "declared" else made
        errors[name] = _error(natural, copy, spec)
    again = vocoder(mel)[0]
    assert made is not None
    return Copy(errors, bool(torch.equal(made, again)))


def copy_findings(subject: str, copy: Copy) -> Iterator[Finding]:
    """What a copy tells about its vocoder."""
    declared = copy.errors["declared"]
    best = min(copy.errors, key=lambda name: copy.errors[name])
    if best != "declared" and copy.errors[best] < _CLEARLY * declared:
        yield Finding(
            Severity.FAULT,
            Area.JOINT,
            subject,
            f"It declares another mel than it was trained on: given {best} its copy is "
            f"{copy.errors[best]:.2f} nats from the original, given what it declares {declared:.2f}.",
            "Buzz, squeak or noise with the right rhythm.",
            f"Import it again and state its mel: {best}.",
            (4, 43),
        )
    elif declared > POOR_COPY:
        yield Finding(
            Severity.FAULT if declared > USELESS_COPY else Severity.RISK,
            Area.SOUND,
            subject,
            f"By itself, given the mel of a true recording, it misses it by {declared:.2f} nats.",
            "The vocoder is what sounds bad: the converter cannot be better than this.",
            "Train it longer, import it with the mel it was trained on, or use another; Griffin-Lim has 0.4.",
            (29, 43),
        )
    if not copy.steady:
        yield _unsteady(subject)


def _unsteady(subject: str) -> Finding:
    return Finding(
        Severity.RISK,
        Area.SOUND,
        subject,
        "The same input gives another output each time.",
        "Dropout or batch normalisation is at work as in training: rough, changing sound.",
        "Put the network into eval mode; VocGAN's own eval() returns nothing, so do not assign it.",
        (31,),
    )


def _domains(mel: Tensor, spec: FeatureSpec) -> dict[str, Tensor]:
    """The same mel as the vocoder declares it and as others are used to give it."""
    natural = expand(mel, spec).clamp_min(1e-5).log()
    decibels = 20.0 / np.log(10.0) * natural
    others = {
        "natural logarithms": natural,
        "decibels between 0 and 1 (AutoVC)": ((decibels - 16.0 + 100.0) / 100.0).clamp(0.0, 1.0),
        "decimal logarithms": natural / np.log(10.0),
        "(ln + 12) / 12 (simple-autovc)": (natural + 12.0) / 12.0,
        "(ln + 5) / 5 (VocGAN's inside)": (natural + 5.0) / 5.0,
    }
    others = {name: given for name, given in others.items() if (given - mel).abs().mean() > 1e-3}
    return {"declared": mel, **others}


def _error(natural: Tensor, copy: Tensor, spec: FeatureSpec) -> float:
    """Nats between mels over the frames that sound; the copy is heard by the same front end."""
    if not bool(copy.isfinite().all()):
        return float("inf")
    heard = expand(MelSpectrogram(spec)(copy[None].float().cpu()), spec).clamp_min(1e-5).log()
    frames = min(heard.shape[1], natural.shape[1])
    original, copied = natural[0, :frames], heard[0, :frames]
    loudness = original.mean(dim=-1)
    active = loudness > loudness.max() - _ACTIVE_NATS
    return float((original - copied).abs().mean(dim=-1)[active].mean())


@torch.inference_mode()
def encoder_findings(subject: str, encoder: Any, waveform: Waveform) -> Iterator[Finding]:
    """What a recording, noise and changed copies of the recording tell about a speaker encoder."""
    rate = waveform.sample_rate
    kept = opening(waveform, rate)
    hiss = torch.randn(len(kept), generator=torch.Generator().manual_seed(0)) * kept.std()
    vector = embed_audio(encoder, kept[None], rate)[0]
    if not bool(vector.isfinite().all()) or float(vector.norm()) < 1e-6:
        yield Finding(
            Severity.FAULT,
            Area.VOICE,
            subject,
            "Its vector of the recording is zero or not finite.",
            "The decoder gets no voice at all.",
            "Check the recording for silence and the weights for NaN.",
            (19, 20),
        )
        return
    deaf = _cosine(vector, embed_audio(encoder, hiss[None], rate)[0])
    if deaf > _SAME_VECTOR:
        yield Finding(
            Severity.FAULT,
            Area.VOICE,
            subject,
            f"Its vector of the recording and of noise point the same way (cosine {deaf:.3f}).",
            "All voices are one to it, so conversion gives an average voice.",
            "It never learned, or it is fed features of another kind: import it again, or train it.",
            (20,),
        )
        return
    quieter = _cosine(vector, embed_audio(encoder, kept[None] * _LOWER, rate)[0])
    if quieter < _LEVEL_ALIKE:
        yield Finding(
            Severity.MINOR,
            Area.VOICE,
            subject,
            f"20 dB softer, the same recording is another voice to it (cosine {quieter:.2f}).",
            "References of another level than its training's give another identity.",
            "Bring references to about -20 dBFS.",
            (23, 53),
        )


@torch.inference_mode()
def trimming_findings(subject: str, encoder: Any, reference: Waveform) -> Iterator[Finding]:
    """Whether silence in a reference changes the voice that is heard in it."""
    samples, rate = reference.samples, reference.sample_rate
    kept = samples[sounding(samples.numpy(), rate, margin=0.05)]
    alike = _cosine(*(embed_audio(encoder, one[None], rate)[0] for one in (samples, kept)))
    if alike < _TRIMMED_ALIKE:
        yield Finding(
            Severity.RISK,
            Area.VOICE,
            subject,
            f"With and without the silence at its ends it is another voice (cosine {alike:.2f}).",
            "Encoders that read the last frame hear silence: breathy or average voice.",
            "Trim the reference.",
            (25, 53),
        )


@torch.inference_mode()
def level_findings(subject: str, content: Any, waveform: Waveform) -> Iterator[Finding]:
    """Whether a content encoder that hears the waveform's own level hears a soft recording alike."""
    if content.spec_in.kind != "waveform" or getattr(content, "levelled", True):
        return
    samples = opening(waveform, content.spec_in.sample_rate)[None]
    loud, soft = (
        content(listen(content.spec_in, one, content.spec_in.sample_rate)) for one in (samples, samples * 0.1)
    )
    change = float((loud - soft).norm() / loud.norm())
    if change > 0.1:
        yield Finding(
            Severity.MINOR,
            Area.SOUND,
            subject,
            f"20 dB softer, its frames of the same recording change by {change:.0%}.",
            "Soft recordings are matched and said less well.",
            "Bring sources and references to about -20 dBFS.",
            (34,),
        )


def _cosine(one: Tensor, other: Tensor) -> float:
    return float(functional.cosine_similarity(one, other, dim=-1))
