"""Networks: tensors in, tensors out; no files, no devices, no printing.

The three protocols below are the joints of the house. Another package may implement one and
register it through the entry-point group `timbrel.models`.
Shapes: B batch, T frames, D feature dimension, C content dimension, E embedding dimension.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from timbrel.contract import EmbeddingSpec, FeatureSpec


@runtime_checkable
class ContentEncoder(Protocol):
    """What is said: features (B, T, D) -> content (B, T', C)."""

    spec_in: FeatureSpec
    spec_out: FeatureSpec

    def __call__(self, features: Tensor) -> Tensor: ...


@runtime_checkable
class SpeakerEncoder(Protocol):
    """Who says it: features (B, T, D) -> embedding (B, E)."""

    spec_in: FeatureSpec
    spec_out: EmbeddingSpec

    def __call__(self, features: Tensor) -> Tensor: ...


@runtime_checkable
class Vocoder(Protocol):
    """Features (B, T, D) -> waveform (B, T * hop), within [-1, 1]."""

    spec_in: FeatureSpec

    def __call__(self, features: Tensor) -> Tensor: ...
