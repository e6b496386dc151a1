"""Writes checkpoints as others publish them: their names, shapes and containers, random values.

Nothing here comes from Timbrel's own networks: names and shapes are those of the published files.
"""

from __future__ import annotations

import importlib
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]


def save_zip(path: Path, content: object) -> Path:
    """As torch.save writes since PyTorch 1.6."""
    torch.save(content, path)
    return path


def save_legacy(path: Path, content: object) -> Path:
    """As torch.save wrote before."""
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def save_package(path: Path, source: str, make: Callable[[Any], object], shelf: Path) -> Path:
    """A torch.package "models" with the resource hifigan.pkl, an object that `make` builds of the module.

    Args:
        source: of the module `models.hifigan`, which travels along.
        shelf: an empty folder for that module.
    """
    from torch.package import PackageExporter

    (shelf / "models").mkdir()
    (shelf / "models" / "__init__.py").write_text("")
    (shelf / "models" / "hifigan.py").write_text(source)
    sys.path.insert(0, str(shelf))
    try:
        module = importlib.import_module("models.hifigan")
        with PackageExporter(path) as exporter:
            exporter.intern("models.**")
            exporter.extern(["torch.**", "collections"])
            exporter.save_pickle("models", "hifigan.pkl", make(module))
    finally:
        sys.path.remove(str(shelf))
        for name in [name for name in sys.modules if name.split(".")[0] == "models"]:
            del sys.modules[name]
    return path


def filled(
    shapes: Mapping[str, tuple[int, ...]], seed: int = 0, deviation: float = 0.05
) -> OrderedDict[str, Tensor]:
    """A state dict of these shapes with small random values; batch statistics as after training."""
    generator = torch.Generator().manual_seed(seed)
    made: OrderedDict[str, Tensor] = OrderedDict()
    for name, shape in shapes.items():
        values = deviation * torch.randn(shape, generator=generator)
        if name.endswith("num_batches_tracked"):
            values = torch.tensor(1000)
        elif name.endswith("running_var"):
            values = 1 + 10 * values.abs()
        made[name] = values
    return made


def recurrent(prefix: str, rows: int, width: int, inputs: list[int], ends: tuple[str, ...] = ("",)) -> Shapes:
    """A stack of recurrent layers with `rows` rows of gates, fed with `inputs` values each."""
    shapes: Shapes = {}
    for layer, size in enumerate(inputs):
        for end in ends:
            shapes[f"{prefix}.weight_ih_l{layer}{end}"] = (rows, size)
            shapes[f"{prefix}.weight_hh_l{layer}{end}"] = (rows, width)
            shapes[f"{prefix}.bias_ih_l{layer}{end}"] = (rows,)
            shapes[f"{prefix}.bias_hh_l{layer}{end}"] = (rows,)
    return shapes


def autovc(neck: int = 32, embedding: int = 256, pre: int = 512, wide: int = 512, last: int = 1024) -> Shapes:
    """AutoVC's generator; the published sizes are the defaults."""
    return {
        **_normed("encoder.convolutions", [80 + embedding, wide, wide, wide]),
        **recurrent("encoder.lstm", 4 * neck, neck, [wide, 2 * neck], ("", "_reverse")),
        **recurrent("decoder.lstm1", 4 * pre, pre, [2 * neck + embedding]),
        **_normed("decoder.convolutions", [pre, pre, pre, pre]),
        **recurrent("decoder.lstm2", 4 * last, last, [pre, last]),
        "decoder.linear_projection.linear_layer.weight": (80, last),
        "decoder.linear_projection.linear_layer.bias": (80,),
        **_normed("postnet.convolutions", [80, wide, wide, wide, wide, 80]),
    }


def _normed(prefix: str, widths: list[int]) -> Shapes:
    shapes: Shapes = {}
    for index, (before, after) in enumerate(pairwise(widths)):
        shapes[f"{prefix}.{index}.0.conv.weight"] = (after, before, 5)
        shapes[f"{prefix}.{index}.0.conv.bias"] = (after,)
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{prefix}.{index}.1.{name}"] = (after,)
        shapes[f"{prefix}.{index}.1.num_batches_tracked"] = ()
    return shapes


D_VECTOR: Shapes = {
    **recurrent("lstm", 3072, 768, [80, 768, 768]),
    "embedding.weight": (256, 768),
    "embedding.bias": (256,),
}

GRU: Shapes = {
    **recurrent("rnn_stack", 2304, 768, [80, 768, 768]),
    "projection.weight": (256, 768),
    "projection.bias": (256,),
}

CONVGRU: Shapes = {
    "conv_encoder.conv_layers.0.0.weight": (512, 1, 10),
    "conv_encoder.conv_layers.0.2.weight": (512,),
    "conv_encoder.conv_layers.0.2.bias": (512,),
    **{f"conv_encoder.conv_layers.{index}.0.weight": (512, 512, 3) for index in (1, 2, 3, 4)},
    **{f"conv_encoder.conv_layers.{index}.0.weight": (512, 512, 2) for index in (5, 6)},
    **recurrent("rnn", 2304, 768, [512, 1536, 1536], ("", "_reverse")),
    "head.weight": (256, 1536),
    "head.bias": (256,),
}

RESEMBLYZER: Shapes = {
    "similarity_weight": (1,),
    "similarity_bias": (1,),
    **recurrent("lstm", 1024, 256, [40, 256, 256]),
    "linear.weight": (256, 256),
    "linear.bias": (256,),
}
