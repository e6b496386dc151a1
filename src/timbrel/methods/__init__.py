"""How each kind of model hears a reference and says a window of the source.

`timbrel.pipeline` knows recordings, windows and files; a method knows the networks. Its constructor
compares the contracts at every joint, so parts that do not fit fail before any audio is made.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from timbrel import registry
from timbrel.analysis import Analysis
from timbrel.audio.windows import Window
from timbrel.checkpoint import Checkpoint
from timbrel.errors import CheckpointError
from timbrel.methods.joints import Joint
from timbrel.voice import Voice

#: Which family of converter is used how.
METHODS = {
    "autovc": "timbrel.methods.bottleneck:BottleneckMethod",
    "converter": "timbrel.methods.attending:AttendingMethod",
    "knn": "timbrel.methods.matching:MatchingMethod",
    "linear": "timbrel.methods.matching:MatchingMethod",
    "vqvc": "timbrel.methods.quantised:QuantisedMethod",
}

#: What a composed pipeline's provenance calls the losses at its joints that its maker allowed.
ALLOWED_LOSSES = "allowed_losses"

#: Of references, for methods that attend to each second of them or average over all.
REFERENCE_SECONDS = 180.0

N = TypeVar("N", bound=nn.Module)

#: Takes a window, in samples, and the source's samples from its context_start to its context_stop;
#: gives the converted samples of the window itself.
Speak = Callable[[Window, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Heard:
    """What references of one voice tell; see `Voice` for the fields."""

    embeddings: dict[str, Tensor]
    frames: dict[str, Tensor]
    log_f0_mean: float
    log_f0_std: float


class Method(Protocol):
    """A model family at work.

    Attributes:
        input_rate, sample_rate: Hz, of the source's samples and of what comes out.
        hop: input samples in a frame; windows are cut at its multiples.
        context: frames on either side of a window that can change it.
        fingerprint: of the weights that a voice belongs to.
        speaker_fingerprint: of the speaker encoder.
        reference_seconds: of all references of a voice together, the most that is of use.
        joints: where its parts meet.
        moves_pitch: whether the pitch of what it says follows `Voice.log_f0_mean`.
        tells_voices_apart: whether its speaker encoder is of the kind that `references.doubts` is
            measured with.
        goes_beyond: whether it heeds `Voice.beyond`; it is 0 where it does not.
    """

    input_rate: int
    sample_rate: int
    hop: int
    context: int
    fingerprint: str
    speaker_fingerprint: str
    reference_seconds: float
    joints: tuple[Joint, ...]
    moves_pitch: bool
    tells_voices_apart: bool
    goes_beyond: bool

    def hear(self, references: Sequence[Tensor]) -> Heard:
        """Recordings (L,) of one voice at `input_rate`."""
        ...

    def embed(self, samples: Tensor) -> Tensor:
        """The speaker embedding (E,) of a recording (L,) at `input_rate`."""
        ...

    def blend(self, voices: Sequence[Voice], weights: Sequence[float]) -> Heard:
        """One voice between several, as far from each as its weight says; weights sum to 1."""
        ...

    def lacks(self, voice: Voice) -> bool:
        """Whether a voice of its fingerprint was enrolled by other weights of a later part, and so lacks
        something that these would have kept."""
        ...

    def prepare(self, analysis: Analysis, voice: Voice, seed: int, source: Iterable[np.ndarray]) -> Speak:
        """What says the source that was analysed, in this voice.

        `source` gives its samples in blocks, from the start at each iteration, at `input_rate`.
        """
        ...


def build_method(checkpoint: Checkpoint, device: torch.device, allow_lossy: bool) -> Method:
    """The method of a pipeline checkpoint, or of a single model that needs no partner.

    Losses that were allowed when the pipeline was composed need no second permission.

    Raises:
        CheckpointError: the checkpoint is no model that converts.
        ConfigError: a part has a configuration that cannot be.
        ContractError: its parts do not fit.
    """
    parts = registry.parts(checkpoint)
    if checkpoint.family != registry.PIPELINE:
        parts["converter"] = checkpoint
    allowed = allow_lossy or bool(checkpoint.provenance.get(ALLOWED_LOSSES))
    return join_parts(parts, device, allowed)


def join_parts(parts: dict[str, Checkpoint], device: torch.device, allow_lossy: bool) -> Method:
    """The method of checkpoints by role, "converter" among them.

    Raises:
        CheckpointError: there is no converter, or a part is missing or of the wrong kind.
        ConfigError: a part has a configuration that cannot be.
        ContractError: the parts do not fit.
    """
    converter = part(parts, "converter")
    if converter.family not in METHODS:
        raise CheckpointError(
            f'"{converter.path}" holds a {converter.family}, which converts nothing by itself: '
            "name a pipeline or a converter."
        )
    module, _, name = METHODS[converter.family].partition(":")
    method: Method = getattr(importlib.import_module(module), name).of(parts, device, allow_lossy)
    return method


def built(checkpoint: Checkpoint, kind: type[N], device: torch.device) -> N:
    """The network of a part, which is not trained here.

    Raises:
        CheckpointError: it is of another kind.
    """
    network = registry.build(checkpoint)
    if not isinstance(network, kind):
        raise CheckpointError(
            f'"{checkpoint.path}" holds a {checkpoint.family}, where the pipeline needs a {kind.__name__}.'
        )
    return network.to(device).requires_grad_(False)


def part(parts: dict[str, Checkpoint], role: str) -> Checkpoint:
    """The part of that role.

    Raises:
        CheckpointError: there is none.
    """
    if role not in parts:
        raise CheckpointError(f"The pipeline has no {role}: those it has are {', '.join(sorted(parts))}.")
    return parts[role]
