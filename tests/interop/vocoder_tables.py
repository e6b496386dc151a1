"""Published files of vocoders and of VQVC, written from the tables of names and shapes; none of our modules.

A table names each layer and the shape of its weight; a transposed convolution, whose bias has the length
of dimension 1, is known by `ups` in its name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Shape = tuple[int, ...]
Spelling = Literal["old", "new", "plain"]

#: What others call g and v.
ENDINGS = {
    "old": ("weight_g", "weight_v"),
    "new": ("parametrizations.weight.original0", "parametrizations.weight.original1"),
}


def hifigan(
    channels: int = 512,
    kernels: Shape = (16, 16, 4, 4),
    blocks: Shape = (3, 7, 11),
    convolutions: tuple[str, ...] = ("convs1.0", "convs1.1", "convs1.2", "convs2.0", "convs2.1", "convs2.2"),
    given: int = 80,
) -> dict[str, Shape]:
    """HiFi-GAN V1; V2 has 128 channels."""
    table = {"conv_pre": (channels, given, 7)}
    for i, kernel in enumerate(kernels):
        table[f"ups.{i}"] = (channels >> i, channels >> (i + 1), kernel)
    for i in range(len(kernels)):
        width = channels >> (i + 1)
        for j, kernel in enumerate(blocks):
            for name in convolutions:
                table[f"resblocks.{i * len(blocks) + j}.{name}"] = (width, width, kernel)
    return table | {"conv_post": (1, channels >> len(kernels), 7)}


def hifigan_v3() -> dict[str, Shape]:
    return hifigan(256, (16, 16, 8), (3, 5, 7), ("convs.0", "convs.1"))


def vocgan(side_outputs: bool = False) -> dict[str, Shape]:
    widths = (256, 128, 64, 32, 16, 8)
    table: dict[str, Shape] = {"start.1": (512, 80, 7)}
    for n, (width, kernel) in enumerate(zip(widths, (8, 8, 4, 4, 4, 4), strict=True), 1):
        table[f"upsample_{n}.1"] = (2 * width, width, kernel)
        for j in range(4):
            table[f"res_stack_{n}.{j}.block.2"] = (width, width, 3)
            table[f"res_stack_{n}.{j}.block.4"] = (width, width, 1)
            table[f"res_stack_{n}.{j}.shortcut"] = (width, width, 1)
        if side_outputs and 2 <= n <= 5:
            table[f"sub_out_{n - 1}.2"] = (1, width, 7)
    skips = ((80, 64, 64), (80, 32, 128), (80, 16, 256), (80, 8, 512))
    table |= {f"skip_upsample_{n}": shape for n, shape in enumerate(skips, 1)}
    return table | {"out.2": (1, 8, 7)}


def weights(table: Mapping[str, Shape], spelling: Spelling = "old", seed: int = 0) -> dict[str, Tensor]:
    """Random layers of these shapes, loud enough that every one is heard in the result."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    state: dict[str, Tensor] = {}
    for layer, shape in table.items():
        state[f"{layer}.bias"] = 0.1 * random(shape[1] if "ups" in layer else shape[0])
        if spelling == "plain":
            state[f"{layer}.weight"] = random(*shape) / math.sqrt(shape[1] * shape[2])
            continue
        scale, direction = ENDINGS[spelling]
        state[f"{layer}.{scale}"] = 0.5 + random(shape[0], 1, 1).abs() / 2
        state[f"{layer}.{direction}"] = random(*shape)
    return state


def folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """W = g v / |v| for every row, in double precision; whatever is plain as it is."""
    plain: dict[str, Tensor] = {}
    for name, tensor in state.items():
        for scale, direction in ENDINGS.values():
            if name.endswith(direction):
                layer = name.removesuffix(direction)
                v, g = tensor.double().numpy(), state[layer + scale].double().numpy()
                norm = np.sqrt((v**2).reshape(len(v), -1).sum(axis=1)).reshape(g.shape)
                plain[f"{layer}weight"] = torch.from_numpy(g * v / norm).float()
        if not any(name.endswith(ending) for pair in ENDINGS.values() for ending in pair):
            plain[name] = tensor
    return plain


def learned(state: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in state.values())


def vocos(width: int = 512, hidden: int = 1536, blocks: int = 8) -> dict[str, Shape]:
    """The learned tensors of vocos-mel-24khz."""
    table: dict[str, Shape] = {"backbone.embed.weight": (width, 100, 7), "backbone.embed.bias": (width,)}
    table |= {f"backbone.norm.{name}": (width,) for name in ("weight", "bias")}
    for i in range(blocks):
        block = f"backbone.convnext.{i}"
        table |= {
            f"{block}.{name}": (width,) for name in ("gamma", "dwconv.bias", "norm.weight", "norm.bias")
        }
        table[f"{block}.dwconv.weight"] = (width, 1, 7)
        table |= {f"{block}.pwconv1.weight": (hidden, width), f"{block}.pwconv1.bias": (hidden,)}
        table |= {f"{block}.pwconv2.weight": (width, hidden), f"{block}.pwconv2.bias": (width,)}
    table |= {f"backbone.final_layer_norm.{name}": (width,) for name in ("weight", "bias")}
    return table | {"head.out.weight": (1026, width), "head.out.bias": (1026,)}


#: VQVC-Pytorch's layers.
VQVC: dict[str, Shape] = {
    "encoder.encoder.0.weight": (64, 80, 4),
    "encoder.encoder.0.bias": (64,),
    "encoder.encoder.1.weight": (256, 64, 3),
    "encoder.encoder.1.bias": (256,),
    "encoder.encoder.2.weight": (128, 256, 3),
    "encoder.encoder.2.bias": (128,),
    "encoder.encoder.3.weight": (128, 128, 3),
    "encoder.encoder.3.bias": (128,),
    "encoder.encoder.4.weight": (128, 128, 3),
    "encoder.encoder.4.bias": (128,),
    "encoder.encoder.5.weight": (32, 128, 1),
    "decoder.res_blocks.0.weight": (128, 32, 3),
    "decoder.res_blocks.1.weight": (128, 128, 3),
    "decoder.res_blocks.1.bias": (128,),
    "decoder.res_blocks.2.weight": (128, 128, 3),
    "decoder.res_blocks.2.bias": (128,),
    "decoder.res_blocks.4.weight": (256, 128, 2),
    "decoder.res_blocks.4.bias": (256,),
    "decoder.res_blocks.5.weight": (80, 256),
    "decoder.res_blocks.5.bias": (80,),
}


def filled(table: Mapping[str, Shape], seed: int = 0) -> dict[str, Tensor]:
    """Random tensors of these shapes, matrices scaled by what they sum over."""
    generator = torch.Generator().manual_seed(seed)

    def values(shape: Shape) -> Tensor:
        return torch.randn(shape, generator=generator) / math.sqrt(math.prod(shape[1:]) if shape[1:] else 4)

    return {name: values(shape) for name, shape in table.items()}


def mel(frames: int, bands: int = 80) -> Tensor:
    """(1, frames, bands), values where those of speech are."""
    return torch.randn(1, frames, bands, generator=torch.Generator().manual_seed(frames)) * 2 - 5
