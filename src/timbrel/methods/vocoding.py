"""The last joint of a method that makes mels: a vocoder, and the scale that it wants them on."""

from __future__ import annotations

import torch

from timbrel import registry
from timbrel.checkpoint import Checkpoint
from timbrel.contract import Bridge, FeatureSpec, Lossy, compare
from timbrel.errors import CheckpointError, ContractError
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


def bridge(given: FeatureSpec, wanted: FeatureSpec, allow_lossy: bool) -> tuple[float, float]:
    """Scale and offset that bring the mel of a decoder to the vocoder's.

    Raises:
        ContractError: they do not fit, or fit only with loss and that is not allowed.
    """
    match compare(given, wanted):
        case Bridge(scale, offset):
            return scale, offset
        case Lossy(scale, offset, reasons):
            if not allow_lossy:
                raise ContractError(
                    f"The vocoder fits only with loss ({'; '.join(reasons)}): allow it or choose another."
                )
            return scale, offset
    return 1.0, 0.0
