"""Speaker encoders as methods and tasks use them: found by name, recordings in, vectors out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel import registry
from timbrel.checkpoint import Checkpoint
from timbrel.contract import EmbeddingSpec
from timbrel.errors import CheckpointError
from timbrel.models import SpeakerEncoder
from timbrel.models.embedding import embed_audio


class Listener:
    """A trained speaker encoder, which stays as it is.

    Attributes:
        encoder: the network.
        spec: what its vectors are.
    """

    def __init__(self, encoder: SpeakerEncoder, device: torch.device) -> None:
        self.spec = encoder.spec_out
        self.encoder, self._device = encoder, device

    @classmethod
    def of(cls, checkpoint: Checkpoint, device: torch.device) -> Listener:
        """From a speaker encoder's checkpoint.

        Raises:
            CheckpointError: it holds something else.
        """
        network: nn.Module = registry.build(checkpoint).to(device).requires_grad_(False)
        if not isinstance(getattr(network, "spec_out", None), EmbeddingSpec):
            raise CheckpointError(
                f'"{checkpoint.path}" holds a {checkpoint.family}, which is no speaker encoder.'
            )
        assert isinstance(network, SpeakerEncoder)
        return cls(network, device)

    def embed(self, samples: Tensor, sample_rate: int) -> Tensor:
        """The vector (E,) of a recording (L,), float32 on the CPU."""
        # The same vector whatever precision surrounds it, so that a voice is one and the same.
        with torch.no_grad(), torch.autocast(self._device.type, enabled=False):
            vectors = embed_audio(self.encoder, samples[None].to(self._device), sample_rate)
        return vectors[0].float().cpu()

    def mean(self, vectors: Sequence[Tensor]) -> Tensor:
        """The vector (E,) of a speaker from those of recordings, of unit length where each of them is."""
        mean = torch.stack(list(vectors)).mean(dim=0)
        return functional.normalize(mean, dim=-1) if self.spec.l2_normalised else mean
