"""How each kind of model hears a reference and says a window of the source.

`timbrel.pipeline` knows recordings, windows and files; a method knows the networks. Its constructor
compares the contracts at every joint, so parts that do not fit fail before any audio is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from timbrel import registry
from timbrel.analysis import Analysis
from timbrel.audio.windows import Window
from timbrel.checkpoint import Checkpoint
from timbrel.errors import CheckpointError
from timbrel.voice import Voice

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
    """

    input_rate: int
    sample_rate: int
    hop: int
    context: int
    fingerprint: str
    speaker_fingerprint: str

    def hear(self, references: Sequence[Tensor]) -> Heard:
        """Recordings (L,) of one voice at `input_rate`."""
        ...

    def embed(self, samples: Tensor) -> Tensor:
        """The speaker embedding (E,) of a recording (L,) at `input_rate`."""
        ...

    def prepare(self, analysis: Analysis, voice: Voice, seed: int, source: Iterable[np.ndarray]) -> Speak:
        """What says the source that was analysed, in this voice.

        `source` gives its samples in blocks, from the start at each iteration, at `input_rate`.
        """
        ...


def build_method(checkpoint: Checkpoint, device: torch.device, allow_lossy: bool) -> Method:
    """The method of a pipeline checkpoint, or of a single model that needs no partner.

    Raises:
        CheckpointError: the checkpoint is no model that converts.
        ContractError: its parts do not fit.
    """
    from timbrel.methods.attending import AttendingMethod
    from timbrel.methods.bottleneck import BottleneckMethod
    from timbrel.methods.quantised import QuantisedMethod

    parts = registry.parts(checkpoint)
    if checkpoint.family != registry.PIPELINE:
        parts["converter"] = checkpoint
    family = parts["converter"].family if "converter" in parts else checkpoint.family
    if family == "converter":
        return AttendingMethod.of(parts, device)
    if family == "autovc":
        return BottleneckMethod.of(parts, device, allow_lossy)
    if family == "vqvc":
        return QuantisedMethod.of(parts, device, allow_lossy)
    raise CheckpointError(
        f'"{checkpoint.path}" holds a {checkpoint.family}, which converts nothing by itself: '
        "name a pipeline or a converter."
    )


def part(parts: dict[str, Checkpoint], role: str) -> Checkpoint:
    """The part of that role.

    Raises:
        CheckpointError: there is none.
    """
    if role not in parts:
        raise CheckpointError(f"The pipeline has no {role}: those it has are {', '.join(sorted(parts))}.")
    return parts[role]
