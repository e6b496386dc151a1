"""Content encoders as methods and tasks use them: found by name, checked, and as they are."""

from __future__ import annotations

from pathlib import Path

import torch

from timbrel import checkpoint as checkpoints
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


def find_content_encoder(name_or_path: str | Path) -> Checkpoint:
    """A content encoder's checkpoint by name or folder; of a pipeline, its part "content".

    Raises:
        CheckpointError: there is none.
    """
    found = checkpoints.read(registry.find(name_or_path))
    if found.family != registry.PIPELINE:
        return found
    parts = registry.parts(found)
    if "content" not in parts:
        raise CheckpointError(f'The pipeline "{name_or_path}" has no content encoder among its parts.')
    return parts["content"]
