"""One step's work: crops of the speaker's speech, to be said again in the voice of the rest of it.

The content of a crop is what the content encoder hears of it through another throat and equaliser, as
in training: what it still says of the speaker is wrong, and must come from the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from timbrel.adaptation.base import Base
from timbrel.adaptation.material import CROP, Stretch
from timbrel.models.converter import Converter, Prosody
from timbrel.models.source_filter import random_sources
from timbrel.models.voice_tokens import VoiceTokens
from timbrel.train.augment import Perturbation, disguise

#: The disguise of the bundled model's training.
_ANOTHER_VOICE = Perturbation(warp=0.16, equaliser_db=4.0)
#: Reference frames of a step at most, 24 s.
_REFERENCE_FRAMES = 1500


@dataclass(frozen=True, slots=True)
class Lesson:
    """B crops of K content frames and one reference for all.

    Fields:
        target: what is to be said again, (B, hop * K - hop / 2).
        content: (B, K, C), what is heard of it in disguise.
        prosody: of the crops.
        reference: content (1, R, C), mel (1, R, 2 D) and mask (1, R).
    """

    target: Tensor
    content: Tensor
    prosody: Prosody
    reference: tuple[Tensor, Tensor, Tensor]


def draw(base: Base, stretches: Sequence[Stretch], count: int, generator: torch.Generator) -> Lesson:
    """`count` crops of some stretches at random, with the others as their reference."""
    order = torch.randperm(len(stretches), generator=generator).tolist()
    said = max(1, min(count, len(stretches) // 2))
    crops = []
    for place in range(count):
        stretch = stretches[order[place % said]]
        start = int(torch.randint(stretch.frames - CROP + 1, (), generator=generator))
        crops.append(stretch.crop(start))
    return compose(base, crops, [stretches[place] for place in order[said:]], generator)


def compose(
    base: Base, crops: Sequence[Stretch], others: Sequence[Stretch], generator: torch.Generator
) -> Lesson:
    """The crops in disguise, with the beginning of the others as their reference."""
    device = base.networks.device
    target = torch.stack([crop.audio for crop in crops]).to(device)
    with torch.no_grad():
        heard = disguise(target, _ANOTHER_VOICE, generator)
        content = base.networks.content(heard[..., None])[:, :CROP]
    energy = torch.stack([_energy(crop.mel) for crop in crops])
    f0, voicing = (torch.stack([getattr(crop, name) for crop in crops]) for name in ("f0", "voicing"))
    prosody = Prosody(f0.to(device), voicing.to(device), energy.to(device))
    tracks = [
        torch.cat([getattr(other, name) for other in others])[None, :_REFERENCE_FRAMES].to(device)
        for name in ("content", "mel", "speech")
    ]
    return Lesson(target, content, prosody, (tracks[0], tracks[1], tracks[2]))


def say(model: Converter, lesson: Lesson, generator: torch.Generator) -> Tensor:
    """The crops in the reference's voice, (B, L), without the guidance that the model has learned: beyond
    the voice, nothing has been recorded that it could be compared with."""
    count, length = lesson.target.shape
    voice: VoiceTokens = model.reference(*lesson.reference)
    voices = voice.select(torch.zeros(count, dtype=torch.long, device=lesson.target.device))
    said = (lesson.content, lesson.prosody)
    common = model.in_common(lesson.prosody.f0.log().mean(dim=1))
    filters = model.unguided(model.filters(*said, voices).float(), *said, common)
    mel = model.config.mel
    sources = random_sources(lesson.prosody.f0, 2 * mel.hop, length, mel.sample_rate, generator)
    return model.render(filters, *sources)


def _energy(mel: Tensor) -> Tensor:
    """Mel pairs (K, 2 D) -> the energies of both, (K, 2)."""
    return torch.logsumexp(mel.unflatten(-1, (2, -1)), dim=-1)
