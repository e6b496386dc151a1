"""Voices, vectors and features that somebody brings, against what the parts want."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from timbrel.audio.io import Waveform
from timbrel.contract import EmbeddingSpec, FeatureSpec
from timbrel.doctor import features
from timbrel.doctor.findings import Area, Finding, Severity
from timbrel.voice import Voice

_UNIT = 1e-3


def wanted_mel(networks: Mapping[str, Any]) -> FeatureSpec | None:
    """The mel that given features are meant for: the vocoder's, else the converter's, else the encoder's."""
    for role in ("vocoder", "converter", "speaker"):
        spec = getattr(networks.get(role), "spec_in", None)
        if isinstance(spec, FeatureSpec) and spec.kind == "mel":
            return spec
    return None


def wanted_vector(networks: Mapping[str, Any]) -> EmbeddingSpec | None:
    """The vector that the converter wants, else what the speaker encoder gives."""
    spec = getattr(getattr(networks.get("converter"), "config", None), "embedding", None)
    spec = spec or getattr(networks.get("speaker"), "spec_out", None)
    return spec if isinstance(spec, EmbeddingSpec) else None


def voice_findings(path: Path, networks: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether a .voice file was enrolled with the speaker encoder at hand.

    Raises:
        CheckpointError: it is no voice.
    """
    voice, speaker = Voice.load(path), networks.get("speaker")
    own = getattr(getattr(speaker, "spec_out", None), "encoder", None)
    if own and own not in voice.embeddings:
        yield Finding(
            Severity.FAULT,
            Area.VOICE,
            str(path),
            f'It was enrolled with "{voice.model}", by the speaker encoder {", ".join(voice.embeddings)}, '
            f"not by {own}.",
            "Vectors of two encoders have nothing in common but their size: another voice, or a squeak.",
            "Enrol the voice again with this model.",
            (18,),
        )


def vector_findings(path: Path, array: np.ndarray, wanted: EmbeddingSpec | None) -> Iterator[Finding]:
    """What a vector of a voice (E,) tells by itself, and whether the converter wants such a one."""
    vector = array.astype(np.float64).ravel()
    norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm) or norm < 1e-6:
        yield _vector(path, "Its values are not finite, or all zero.", "It stands for nobody.", (19, 20))
        return
    if wanted is None:
        return
    if len(vector) != wanted.dim:
        yield _vector(path, f"It has {len(vector)} values, wanted {wanted.dim}.", "It is another's.", (18,))
    elif (vector >= 0).all() and len(vector) > 32 and wanted.encoder != "resemblyzer":
        yield _vector(
            path,
            "None of its values is negative: it is Resemblyzer's, or the real-time cloning encoder's.",
            "Other encoders have as many negative values as positive ones: the decoder is led astray.",
            (18,),
        )
    elif wanted.l2_normalised and abs(norm - 1) > _UNIT:
        yield _vector(
            path, f"Its length is {norm:.3f}, wanted 1.", "Identity comes out too weak or exaggerated.", (19,)
        )


def array_findings(
    found: features.Features, wanted: FeatureSpec | None, waveform: Waveform | None
) -> Iterator[Finding]:
    """Whether given features are of the kind that the parts want, and were made from the recording."""
    if not found.finite:
        yield _features(
            found.path,
            Severity.FAULT,
            "They hold NaN or infinity.",
            "A logarithm without a floor makes minus infinity of digital silence: NaN from there on.",
            "Take the logarithm of max(floor, mel).",
            (12,),
        )
        return
    yield from _stored(found)
    if wanted is None:
        return
    kind = features.kind_of(wanted)
    if found.values.shape[1] != wanted.dim:
        yield _features(
            found.path,
            Severity.FAULT,
            f"They have {found.values.shape[1]} bands, wanted {wanted.dim}.",
            "They cannot be used here.",
            "Compute them with the front end of the part.",
            (36,),
        )
        return
    if kind not in ("unknown", found.kind):
        yield _features(
            found.path,
            Severity.FAULT,
            f"They look like {features.KINDS[found.kind]}; wanted are {features.KINDS[kind]}.",
            "Buzz, squeak, mumbling or noise with the right rhythm: the values mean another loudness.",
            f"Compute them as wanted ({_recipe(wanted)}), or rescale them if that is all that differs.",
            _KIND_TRAPS.get(found.kind, (4, 5)),
        )
    if waveform is not None:
        yield from _origin(found, wanted, waveform)


_KIND_TRAPS = {
    "db": (4,),
    "log10": (3,),
    "ln-power": (11,),
    "linear": (11, 20),
    "ln-other-floor": (12,),
    "standardised": (5, 38),
}


def _stored(found: features.Features) -> Iterator[Finding]:
    if found.transposed:
        yield _features(
            found.path,
            Severity.RISK,
            "Its axes are (bands, frames); here frames come first.",
            "Fed as they are: rhythmless noise, or silence. With as many frames as bands no check fails.",
            "Transpose the array, or name its axes where it is read.",
            (17,),
        )
    if found.half:
        yield _features(
            found.path,
            Severity.MINOR,
            "They are stored in half precision.",
            "Differences of a thousandth; nearest neighbours that tie come out differently.",
            "Compare with a tolerance of 1e-3.",
            (54,),
        )


def _origin(found: features.Features, wanted: FeatureSpec, waveform: Waveform) -> Iterator[Finding]:
    frames, seconds = len(found.values), waveform.duration
    likely = features.durations(frames, seconds)
    if abs(frames - seconds * wanted.frame_rate) > max(3.0, 0.03 * frames):
        fitting = ", ".join(f"hop {hop} at {rate} Hz" for rate, hop in likely) or "none of the usual hops"
        yield _features(
            found.path,
            Severity.FAULT,
            f"They are {frames} frames for {seconds:.2f} s of audio, wanted "
            f"{seconds * wanted.frame_rate:.0f}: {fitting}.",
            "Speech too fast or too slow at the right pitch.",
            f"Compute them with hop {wanted.hop} at {wanted.sample_rate} Hz.",
            (6, 8),
        )
        return
    best, *_ = ranked = features.origins(found.values, waveform, wanted)
    own = next(origin for origin in ranked if origin.name == "as wanted")
    if own.difference > features.MOST_DIFFERENCE and best.difference < 0.3 * own.difference:
        yield _features(
            found.path,
            Severity.FAULT,
            f"They were made with {best.name} (difference {best.difference:.3f} of their spread, as wanted "
            f"{own.difference:.3f}).",
            "The network reads other loudness or other frequencies than it was trained on.",
            f"Compute them as wanted: {_recipe(wanted)}.",
            best.traps,
        )


def _recipe(spec: FeatureSpec) -> str:
    return (
        f"{spec.sample_rate} Hz, hop {spec.hop}, {spec.dim} bands {spec.f_min:g} to {spec.f_max:g} Hz, "
        f"{spec.log} with floor {spec.floor:g}, x {spec.scale:.4g} {spec.offset:+.4g}"
    )


def _vector(path: Path, what: str, why: str, traps: tuple[int, ...]) -> Finding:
    return Finding(
        Severity.FAULT,
        Area.VOICE,
        str(path),
        what,
        why,
        "Make the vector with the speaker encoder that the converter was trained with.",
        traps,
    )


def _features(
    path: Path, severity: Severity, what: str, why: str, remedy: str, traps: tuple[int, ...]
) -> Finding:
    return Finding(severity, Area.FEATURES, str(path), what, why, remedy, traps)
