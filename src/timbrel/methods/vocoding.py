"""The vocoder of a method that makes mels."""

from __future__ import annotations

import torch
from torch import Tensor

from timbrel import registry
from timbrel.checkpoint import Checkpoint
from timbrel.contract import FeatureSpec
from timbrel.errors import CheckpointError
from timbrel.methods.joints import Joint
from timbrel.models import Vocoder
from timbrel.models.griffin_lim import GriffinLim, GriffinLimConfig


class MelVocoder:
    """A vocoder for mels that a network makes: brought to the scale that it reads, and cut to its clip."""

    def __init__(self, vocoder: Vocoder, joint: Joint, allow_lossy: bool) -> None:
        """Raises ContractError if the mels of the joint do not fit."""
        self._vocoder, self._clip = vocoder, vocoder.spec_in.clip
        self._scale, self._offset = joint.scale_and_offset(allow_lossy)

    def __call__(self, mel: Tensor) -> Tensor:
        """(1, T, D) -> (L,), on the CPU."""
        fitted = mel * self._scale + self._offset
        if self._clip is not None:
            fitted = fitted.clamp(*self._clip)
        return self._vocoder(fitted)[0].cpu()


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
