"""Beginning the content encoder with the weights of Moonshine's, of which it is a local version.

Its file holds the weights of layers in 8 bits, in steps that start from a zero point. What it does not say
under a weight's own name is found by the operation that uses it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from timbrel.errors import TrainingError
from timbrel.models.phonetic import PhoneticEncoder
from timbrel.train.taught import ContentFrames
from timbrel.train.teachers import open_session

#: Of what the published normalisation over time sees, the first convolution's output, measured over a
#: 400th of the clips of timbrel-one's corpus at the standard level; from clip to clip the deviation varies
#: by little, so that constants can stand in for it.
_MEAN, _DEVIATION = -5.1e-5, 0.13425
#: Weights under their own names; of the first, the file's name begins so.
_NAMED = {
    "conv1.weight": "stem.conv1.weight",
    "conv2.weight": "stem.conv2.weight",
    "conv2.bias": "stem.conv2.bias",
    "conv3.weight": "stem.conv3.weight",
    "conv3.bias": "stem.conv3.bias",
    "layer_norm.weight": "norm.weight",
}
_NAMED_IN_LAYER = {
    "input_layernorm.weight": "attention_norm.weight",
    "post_attention_layernorm.weight": "feed_norm.weight",
    "mlp.fc1.bias": "widen.bias",
    "mlp.fc2.bias": "narrow.bias",
}
#: Matrices of a layer by the operation that multiplies with them.
_MULTIPLIED = {
    "self_attn/q_proj": "query",
    "self_attn/k_proj": "key",
    "self_attn/v_proj": "value",
    "self_attn/o_proj": "out",
    "mlp/fc1": "widen",
    "mlp/fc2": "narrow",
}
_QUANTISED = "_quantized"


def start_from_moonshine(model: PhoneticEncoder, path: Path, taught: ContentFrames) -> None:
    """Copies the weights of Moonshine's encoder into `model`, which then says nearly what the teacher says.

    Args:
        path: the encoder's ONNX or ORT file.
        taught: of the corpus; the model's frames are standardised as these are.

    Raises:
        TrainingError: the file is another network than `model`, or a package to read it is missing.
    """
    tensors = encoder_tensors(path, model.config.layers)
    tensors["mean"], tensors["deviation"] = torch.from_numpy(taught.mean), torch.from_numpy(taught.deviation)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise TrainingError(f"{path} is another network than settings.model makes.") from error


def encoder_tensors(path: Path, layers: int) -> dict[str, Tensor]:
    """The weights of the file under the names of a `PhoneticEncoder`, all but `mean` and `deviation`.

    The normalisation over time, with the statistics above, is part of `stem.scale` and `stem.shift`.

    Raises:
        TrainingError: the file is no such encoder.
    """
    graph = _graph(path)
    arrays = _arrays(graph)
    try:
        tensors = dict(_named(arrays, layers)) | dict(_multiplied(graph, arrays))
        scale, shift = (_operand(graph, arrays, f"/groupnorm/{name}_output_0") for name in ("Mul", "Add"))
    except KeyError as error:
        raise TrainingError(f"{path} is not the encoder of Moonshine: it lacks {error}.") from error
    tensors["stem.scale"] = scale / _DEVIATION
    tensors["stem.shift"] = shift - scale * _MEAN / _DEVIATION
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in tensors.items()}


def _graph(path: Path) -> Any:
    """The network with its operations fused as onnxruntime runs them, whether it was stored so or not."""
    try:
        import onnx
    except ImportError as error:
        raise TrainingError(
            "Starting from Moonshine needs the package onnx: install timbrel[train] with pip."
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        fused = Path(folder) / "encoder.onnx"
        open_session(path, fused)
        return onnx.load(fused).graph


def _arrays(graph: Any) -> dict[str, np.ndarray]:
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def _named(arrays: dict[str, np.ndarray], layers: int) -> Iterator[tuple[str, np.ndarray]]:
    in_layers = {
        f"layers.{layer}.{theirs}": f"layers.{layer}.{ours}"
        for layer in range(layers)
        for theirs, ours in _NAMED_IN_LAYER.items()
    }
    for theirs, ours in {**_NAMED, **in_layers}.items():
        # Fusing may append to a name.
        matching = [name for name in arrays if name == theirs or name.startswith(f"{theirs}_")]
        yield ours, arrays[matching[0] if matching else theirs]


def _multiplied(graph: Any, arrays: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """The matrices, (out, in), of the operations whose outputs are called /layers.3/mlp/fc1/..."""
    for node in graph.node:
        layer, _, place = str(node.output[0]).removeprefix("/").partition("/")
        ours = _MULTIPLIED.get("/".join(place.split("/")[:2]))
        stored = next((name for name in node.input if name in arrays and name.endswith(_QUANTISED)), "")
        if ours and stored:
            name = stored.removesuffix(_QUANTISED)
            steps = arrays[stored].astype(np.float32) - arrays[f"{name}_zero_point"].astype(np.float32)
            yield f"{layer}.{ours}.weight", (steps * arrays[f"{name}_scale"]).T


def _operand(graph: Any, arrays: dict[str, np.ndarray], output: str) -> np.ndarray:
    """The stored operand of the operation with that output."""
    for node in graph.node:
        stored = [arrays[name] for name in node.input if name in arrays]
        if stored and output in node.output:
            return stored[0]
    raise KeyError(output)
