"""What the converter learns from in training: what each loss weighs, and who judges what it makes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from timbrel.models.speaker import ConvSpeakerEncoder
from timbrel.train.adversary import Adversary
from timbrel.train.tasks.guide import Guide
from timbrel.train.teachers import Resemblyzer
from timbrel.train.voice_adversary import VoiceAdversary


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the losses; conversions are made, and teachers heard, only for those above 0.

    Fields:
        mel, spectra: distances between what was rebuilt and what was recorded.
        timbre: from a linear reading of the voice's summary to the teacher's vector of the reference.
        adversarial: of deceiving the discriminators; `features` is relative to it.
        voice: of deceiving the discriminator of voices.
        likeness: between what our speaker encoder's blocks make of what was rebuilt and of what was recorded,
            relative to the size of the latter.
        similarity: from the teacher's vector of what was converted to that of its reference.
        speaker: the same by our speaker encoder.
        apart: of how much nearer to its source's voice than strangers are, by our speaker encoder, what was
            converted still is.
        words: from what the student hears in what was converted to what it hears in the recording.
        guided: from the filters of what was converted to those that a converter with guidance has for it.
    """

    mel: float = 3.75
    spectra: float = 2.0
    timbre: float = 0.5
    adversarial: float = 0.0
    features: float = 2.0
    voice: float = 0.0
    likeness: float = 0.0
    similarity: float = 0.0
    speaker: float = 0.0
    apart: float = 0.0
    words: float = 0.0
    guided: float = 0.0

    @property
    def converts(self) -> bool:
        """Whether anything is said in another voice."""
        return max(self.similarity, self.speaker, self.apart, self.words, self.voice, self.guided) > 0

    @property
    def hears(self) -> bool:
        """Whether our speaker encoder is needed."""
        return max(self.likeness, self.speaker, self.apart, self.voice) > 0


@dataclass(frozen=True, slots=True)
class Teachers:
    """Frozen networks that the converter learns from.

    Fields:
        resemblyzer: needed if `Weights.similarity` is above 0.
        own: ours, needed if `Weights.hears`.
        guide: a converter, needed if `Weights.guided` is above 0.
    """

    resemblyzer: Resemblyzer | None = None
    own: ConvSpeakerEncoder | None = None
    guide: Guide | None = None


@dataclass(frozen=True, slots=True)
class Adversaries:
    """Discriminators, trained beside the converter.

    Fields:
        sound: needed if `Weights.adversarial` is above 0.
        voice: needed if `Weights.voice` is.
        voice_after: steps in which the latter learns before the converter begins to deceive it.
        alone: steps at the beginning in which both learn and the converter does not: one that is good
            already loses what it has to discriminators that cannot tell anything apart yet.
    """

    sound: Adversary | None = None
    voice: VoiceAdversary | None = None
    voice_after: int = 0
    alone: int = 0

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Those that there are, by the names that they are trained and kept under."""
        both: dict[str, nn.Module | None] = {"discriminator": self.sound, "voices": self.voice}
        return {name: network for name, network in both.items() if network is not None}


@dataclass(frozen=True, slots=True)
class Known:
    """The teacher's vectors of the references, (B, 256), and which of them hold, (B,)."""

    vectors: Tensor
    counts: Tensor

    def select(self, rows: Tensor) -> Known:
        return Known(self.vectors[rows], self.counts[rows])

    def distance(self, vectors: Tensor) -> Tensor:
        """Mean cosine distance of (B, 256) to those that hold, ()."""
        distance = 1 - functional.cosine_similarity(vectors, self.vectors, dim=-1)
        return (distance * self.counts).sum() / self.counts.sum().clamp(min=1)
