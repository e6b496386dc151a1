"""Several voices as one: what methods blend alike, which are pitch, vectors and pools of frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from timbrel.methods import Heard
from timbrel.voice import Voice

#: Of a blend's `Voice.frames`: how many of the frames are those of each voice in turn, (V,), and its
#: weight, (V,).
COUNTS, WEIGHTS = "counts", "weights"


def blend_known(voices: Sequence[Voice], weights: Sequence[float]) -> Heard:
    """What voices are to every method: embeddings by encoders that heard all of them, and pitch.

    Weights sum to 1. Pitch is the weighted mean on the logarithmic scale, of the voices that have one.
    """
    common = set.intersection(*(set(voice.embeddings) for voice in voices))
    pitched = [(one, weight) for one, weight in zip(voices, weights, strict=True) if one.log_f0_mean > 0]
    total = sum(weight for _, weight in pitched) or 1.0
    return Heard(
        embeddings={
            name: blend_vectors([voice.embeddings[name] for voice in voices], weights)
            for name in sorted(common)
        },
        frames={},
        log_f0_mean=sum(weight * voice.log_f0_mean for voice, weight in pitched) / total,
        log_f0_std=sum(weight * voice.log_f0_std for voice, weight in pitched) / total,
    )


def blend_vectors(vectors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted mean (E,) of vectors, made as long as they are on average: a mean of unit vectors is
    shorter than 1, and no encoder gives that."""
    mean = sum_weighted(vectors, weights)
    length = sum(weight * float(vector.norm()) for vector, weight in zip(vectors, weights, strict=True))
    scaled: Tensor = mean * (length / mean.norm().clamp_min(1e-9))
    return scaled


def sum_weighted(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Tensors of one shape, each times its weight, added up."""
    scaled = [tensor * weight for tensor, weight in zip(tensors, weights, strict=True)]
    return torch.stack(scaled).sum(dim=0)


def pool_frames(voices: Sequence[Voice], weights: Sequence[float]) -> dict[str, Tensor]:
    """All frames of the kinds that all voices have, and whose they are; voices may be blends themselves."""
    common = set.intersection(*(set(voice.frames) for voice in voices)) - {COUNTS, WEIGHTS}
    kinds = [kind for kind in voices[0].frames if kind in common]
    pooled = {kind: torch.cat([voice.frames[kind] for voice in voices]) for kind in kinds}
    counts, shares = zip(*(_counts_and_weights(voice) for voice in voices), strict=True)
    weighted = [weight * share for weight, share in zip(weights, shares, strict=True)]
    return pooled | {COUNTS: torch.cat(counts), WEIGHTS: torch.cat(weighted)}


def frames_of_each(voice: Voice) -> list[tuple[dict[str, Tensor], float]]:
    """The frames of each voice in a blend, with its weight; of a voice that is none, all of them."""
    counts, weights = _counts_and_weights(voice)
    kinds = {kind: frames for kind, frames in voice.frames.items() if kind not in (COUNTS, WEIGHTS)}
    split = {kind: frames.split(counts.tolist()) for kind, frames in kinds.items()}
    each = ({kind: parts[index] for kind, parts in split.items()} for index in range(len(counts)))
    return [(frames, weight) for frames, weight in zip(each, weights.tolist(), strict=True) if weight > 0]


def _counts_and_weights(voice: Voice) -> tuple[Tensor, Tensor]:
    count = len(next(iter(voice.frames.values())))
    return voice.frames.get(COUNTS, torch.tensor([count])), voice.frames.get(WEIGHTS, torch.ones(1))
