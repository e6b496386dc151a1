"""How the bundled speaker encoder hears a training step of the converter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from timbrel.models.speaker import ConvSpeakerEncoder
from timbrel.train.tasks.scenes import Scene, Stage


@dataclass(frozen=True, slots=True)
class Ears:
    """What a frozen speaker encoder makes of B recordings, their references, and what was made.

    Fields:
        recorded: the frames after each block, (B, T, W) each.
        rebuilt: likewise, of the recordings rebuilt once or several times, (M B, T, W) each.
        references: unit vectors, (B, E).
        converted: unit vectors of the first pieces said in other voices, (N, E).
    """

    recorded: Sequence[Tensor]
    rebuilt: Sequence[Tensor]
    references: Tensor
    converted: Tensor

    @classmethod
    def of(
        cls, encoder: ConvSpeakerEncoder, stage: Stage, rebuilt: Tensor, converted: Tensor, scene: Scene
    ) -> Ears:
        """Hears the scene and waveforms (M B, L) and (N, L); gradients flow to these alone.

        A short reference is heard over and over: silence behind it would count as the person's.
        """
        with torch.no_grad():
            recorded = encoder.trunk(stage.front_end(scene.target))
            references = encoder(stage.front_end(scene.reference))
        made, count = encoder.trunk(stage.front_end(torch.cat([rebuilt, converted]))), len(rebuilt)
        return cls(recorded, [frames[:count] for frames in made], references, encoder.pool(made[-1][count:]))

    def likeness(self) -> Tensor:
        """From the frames of what was rebuilt to those of the recordings, relative to the latter, ()."""
        pairs = [(m.float(), r.float()) for m, r in zip(self.rebuilt, self.recorded, strict=True)]
        distances = [(m.unflatten(0, (-1, len(r))) - r).abs().mean() / r.abs().mean() for m, r in pairs]
        return torch.stack(distances).mean()

    def distance(self, voices: Tensor) -> Tensor:
        """From each converted piece to the reference whose row `voices` (N,) gives, 1 - cosine, ()."""
        return (1 - _cosines(self.converted, self.references[voices])).mean()

    def nearness(self, speakers: Tensor) -> Tensor:
        """How much nearer to the voice of its source a converted piece is than strangers are, ().

        Args:
            speakers: identities of the B people, (B,).
        """
        others = speakers[:, None] != speakers[None]
        strangers = (self.references @ self.references.T)[others]
        allowed = strangers.mean() if len(strangers) else 0.0
        return (_cosines(self.converted, self.references[: len(self.converted)]) - allowed).relu().mean()


def _cosines(one: Tensor, other: Tensor) -> Tensor:
    """Of the rows of (N, E) vectors, (N,)."""
    return functional.cosine_similarity(one, other, dim=-1)
