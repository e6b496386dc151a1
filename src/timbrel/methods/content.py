"""Content encoders as methods and tasks use them: found by name, checked, and as they are."""

from __future__ import annotations

import torch

from timbrel import registry
from timbrel.checkpoint import Checkpoint
from timbrel.contract import FeatureSpec
from timbrel.errors import CheckpointError
from timbrel.models import ContentEncoder


def content_encoder(checkpoint: Checkpoint, device: torch.device) -> ContentEncoder:
    """The content encoder of a checkpoint, which is not trained here.

    Raises:
        CheckpointError: it holds something else.
    """
    network = registry.build(checkpoint).to(device).requires_grad_(False)
    heard, said = getattr(network, "spec_in", None), getattr(network, "spec_out", None)
    specs = isinstance(heard, FeatureSpec) and isinstance(said, FeatureSpec)
    if not specs or not isinstance(network, ContentEncoder) or not _from_audio(network):
        raise CheckpointError(f'"{checkpoint.path}" holds a {checkpoint.family}, which encodes no content.')
    return network


def _from_audio(network: ContentEncoder) -> bool:
    """Whether it makes frames of its own of what audio alone gives."""
    return network.spec_out.kind == "learned" and network.spec_in.kind != "learned"
