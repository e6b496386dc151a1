"""The vocoder of a method that makes mels."""

from __future__ import annotations

import torch

from timbrel import registry
from timbrel.checkpoint import Checkpoint
from timbrel.contract import FeatureSpec
from timbrel.errors import CheckpointError
from timbrel.models import Vocoder
from timbrel.models.griffin_lim import GriffinLim, GriffinLimConfig


def vocoder_of(parts: dict[str, Checkpoint], spec: FeatureSpec, device: torch.device) -> Vocoder:
    """The pipeline's vocoder; where it has none, Griffin-Lim for mels of `spec`.

    Raises:
        CheckpointError: the part "vocoder" is something else.
    """
    if "vocoder" not in parts:
        return GriffinLim(GriffinLimConfig(spec)).to(device)
    network = registry.build(parts["vocoder"]).to(device)
    # What says of which kind its output is gives features; a vocoder's is always a waveform.
    if not isinstance(network, Vocoder) or hasattr(network, "spec_out"):
        raise CheckpointError(
            f'"{parts["vocoder"].path}" holds a {parts["vocoder"].family}, which is no vocoder.'
        )
    return network
