"""Joints on paper: each field that differs, what it does to the sound, and what helps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from timbrel.contract import EmbeddingSpec, FeatureSpec, Lossy, differences
from timbrel.doctor.findings import Area, Finding, Severity
from timbrel.errors import ContractError
from timbrel.methods.joints import Joint


@dataclass(frozen=True, slots=True)
class _Effect:
    """What a field that differs does, and the traps it belongs to."""

    sounds: str
    traps: tuple[int, ...]


_EFFECTS = {
    "kind": _Effect("one part makes mels where the other reads learned frames or a waveform", (20, 36)),
    "sample_rate": _Effect("the voice comes out too high and fast, or too low and slow", (6, 7)),
    "hop": _Effect("speech runs too fast or too slow at the right pitch", (8,)),
    "dim": _Effect("the frames have another size, so nothing can be computed", (36,)),
    "n_fft": _Effect("the spectrum has another resolution: hoarse, blurred harmonics", (16,)),
    "window": _Effect("the spectrum has another resolution: hoarse, blurred harmonics", (16,)),
    "window_fn": _Effect("the spectrum leaks differently: somewhat worse sound", (16,)),
    "pad": _Effect("frames lie half a hop beside those expected, and there is one more or less", (14, 15)),
    "f_min": _Effect("low voices come out thin or rough: the lowest bands mean other frequencies", (9,)),
    "f_max": _Effect("hiss, lisp or dull sibilants: the highest bands mean other frequencies", (10,)),
    "mel_scale": _Effect("muffled or metallic: the bands lie at other frequencies (HTK or Slaney)", (1,)),
    "mel_norm": _Effect("loud, saturated, with the wrong tilt: 4.3 nats too much on average", (2,)),
    "power": _Effect("exaggerated dynamics and gaps between the words: power is magnitude squared", (11,)),
    "sqrt_eps": _Effect("pauses are a little louder or softer than expected", (13,)),
    "log": _Effect("dark mumbling or noise: the logarithm has another base", (3, 4)),
    "floor": _Effect("noise in pauses: silence has another value", (12,)),
    "scale": _Effect("buzz, squeak or a pumping, hoarse voice with the right rhythm", (4, 5)),
    "offset": _Effect("buzz, squeak or a pumping, hoarse voice with the right rhythm", (4, 5)),
    "clip": _Effect("what is louder or softer than the clip is lost", (4,)),
    "highpass_hz": _Effect("rumble that one side removes is heard by the other", (21,)),
    "prescale": _Effect("another level than the network knows", (23,)),
    "encoder": _Effect("the numbers come from other weights and mean something else", (18, 35)),
    "l2_normalised": _Effect("identity comes out too weak or exaggerated", (19,)),
    "input": _Effect("the vectors were made from other features", (20,)),
}

_SQUEAK = (
    "vectors of two encoders have one size and nothing else in common, so no shape check fails; the decoder "
    "gets a direction that stands for nobody and squeaks, buzzes or speaks in an average voice"
)


def examine_joint(joint: Joint) -> Iterator[Finding]:
    """What is wrong where two parts meet; nothing if they fit or are bridged exactly."""
    try:
        verdict = joint.verdict()
    except ContractError as error:
        yield _misfit(joint, str(error))
        return
    if isinstance(verdict, Lossy):
        names = [name for name, *_ in differences(joint.given, joint.wanted) if name in ("floor", "clip")]
        yield Finding(
            Severity.RISK,
            Area.JOINT,
            f"{joint.giver} to {joint.taker}",
            f"They fit only with loss: {'; '.join(verdict.reasons)}.",
            _sentence([_EFFECTS[name].sounds for name in names]),
            f"Take a {joint.taker} trained on the {joint.giver}'s own features.",
            _traps(names),
        )


def _misfit(joint: Joint, message: str) -> Finding:
    names = [name for name, *_ in differences(joint.given, joint.wanted)]
    if isinstance(joint.wanted, EmbeddingSpec):
        return Finding(
            Severity.FAULT,
            Area.VOICE,
            f"{joint.giver} to {joint.taker}",
            message,
            f"{_sentence([_SQUEAK])} {_inputs(joint)}".strip(),
            f"Use the speaker encoder that the {joint.taker} was trained with, or train the {joint.taker} "
            "on vectors of this one.",
            _traps(names),
        )
    learned = isinstance(joint.given, FeatureSpec) and joint.given.kind == "learned"
    return Finding(
        Severity.FAULT,
        Area.JOINT,
        f"{joint.giver} to {joint.taker}",
        message,
        _sentence(dict.fromkeys(_EFFECTS[name].sounds for name in names)),
        f"Use the {joint.giver} whose weights and layer the {joint.taker} was trained on."
        if learned
        else f"Use a {joint.taker} of the same front end, or train one on it; no rescaling mends this.",
        _traps(names),
    )


def _inputs(joint: Joint) -> str:
    """What the two encoders listen to, where that differs."""
    given, wanted = joint.given, joint.wanted
    assert isinstance(given, EmbeddingSpec)
    assert isinstance(wanted, EmbeddingSpec)
    if given.input == wanted.input:
        return ""
    return f"They even listen to different things: {_heard(given.input)} and {_heard(wanted.input)}."


def _heard(spec: FeatureSpec) -> str:
    what = "the waveform" if spec.kind == "waveform" else f"a {spec.kind}"
    return f"{what} at {spec.sample_rate} Hz"


def _sentence(clauses: Iterable[str]) -> str:
    text = "; ".join(clauses)
    return f"{text[:1].upper()}{text[1:]}."


def _traps(names: list[str]) -> tuple[int, ...]:
    return tuple(sorted({trap for name in names for trap in _EFFECTS[name].traps}))
