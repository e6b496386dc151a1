"""Small networks for the doctor's tests that look as if they had been trained."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import torch
from torch import nn

from timbrel import checkpoint
from timbrel.audio.mel import PRESETS
from timbrel.contract import EmbeddingSpec
from timbrel.models.autovc import AutoVC, AutoVCConfig
from timbrel.models.convgru_embedder import ConvGRUEmbedder, ConvGRUEmbedderConfig
from timbrel.models.gru_embedder import GRUEmbedder, GRUEmbedderConfig

N = TypeVar("N", bound=nn.Module)

MEL = PRESETS["simple-autovc-16k"]
SIZES = {"dim_neck": 4, "freq": 8, "dim_pre": 16, "channels": 16, "dim_recurrent": 16, "window": 64}


def moved(network: N) -> N:
    """Moves every weight, by about as much as it is large, as training does."""
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.add_(torch.randn_like(tensor) * tensor.std().nan_to_num() * 0.7)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.num_batches_tracked += 1
    return network.eval()


def gru(seed: int = 0) -> GRUEmbedder:
    torch.manual_seed(seed)
    return moved(GRUEmbedder(GRUEmbedderConfig(layers=1, width=48, embedding_dim=32)))


def convgru(seed: int = 0) -> ConvGRUEmbedder:
    torch.manual_seed(seed)
    return moved(ConvGRUEmbedder(ConvGRUEmbedderConfig(channels=16, layers=1, width=24, embedding_dim=32)))


def space(encoder: GRUEmbedder | ConvGRUEmbedder, *, by_family: bool) -> EmbeddingSpec:
    """What a converter trained on this encoder's vectors wants; published ones name the family alone."""
    name = encoder.family if by_family else checkpoint.fingerprint(encoder.state_dict())
    return replace(encoder.spec_out, encoder=name)


def autovc(wanted: EmbeddingSpec) -> AutoVC:
    torch.manual_seed(1)
    return moved(AutoVC(AutoVCConfig(wanted, MEL, **SIZES)))
