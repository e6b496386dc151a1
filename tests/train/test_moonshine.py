"""The encoder begins with Moonshine's weights: each lands where it belongs, and other files are refused."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from timbrel.errors import TrainingError
from timbrel.models.phonetic import PhoneticConfig, PhoneticEncoder
from timbrel.train.moonshine import encoder_tensors, start_from_moonshine

onnx = pytest.importorskip("onnx")

WIDTH = 16
SIZES = PhoneticConfig(width=WIDTH, layers=2, heads=2, rotary=4, reach=3)
PLACES = (
    "self_attn/q_proj",
    "self_attn/k_proj",
    "self_attn/v_proj",
    "self_attn/o_proj",
    "mlp/fc1",
    "mlp/fc2",
)


class Graph:
    """A small network with the names of the published one, its matrices in 8 bits."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.weights: dict[str, np.ndarray] = {}
        self.nodes: list[Any] = []
        self.last = "input_values"

    def keep(self, name: str, values: np.ndarray) -> str:
        self.weights[name] = values
        return name

    def node(self, kind: str, output: str, *inputs: str, domain: str = "", **options: Any) -> None:
        self.nodes.append(
            onnx.helper.make_node(kind, [self.last, *inputs], [output], domain=domain, **options)
        )
        self.last = output

    def values(self, *shape: int) -> np.ndarray:
        return self.random.standard_normal(shape).astype(np.float32)

    def conv(self, name: str, inputs: int, outputs: int, taps: int, stride: int, bias: bool) -> None:
        own = [self.keep(f"{name}.weight", self.values(outputs, inputs, taps))]
        own += [self.keep(f"{name}.bias", self.values(outputs))] if bias else []
        self.node("Conv", f"/{name}/Conv_output_0", *own, strides=[stride])

    def norm(self, name: str) -> None:
        weight = self.keep(f"{name}.weight", self.values(WIDTH))
        self.node("LayerNormalization", f"/{name}/LayerNormalization_output_0", weight)

    def matrix(self, layer: int, place: str, inputs: int, outputs: int) -> None:
        name = f"onnx::MatMul_{layer}{PLACES.index(place)}"
        stored = self.keep(
            f"{name}_quantized", self.random.integers(0, 256, (inputs, outputs), dtype=np.uint8)
        )
        step = self.keep(f"{name}_scale", np.array(self.random.uniform(0.001, 0.1), dtype=np.float32))
        zero = self.keep(f"{name}_zero_point", np.array(self.random.integers(100, 150), dtype=np.uint8))
        bias = []
        if place.startswith("mlp"):
            bias = [self.keep(f"layers.{layer}.{place.replace('/', '.')}.bias", self.values(outputs))]
        output = f"/layers.{layer}/{place}/MatMul_output_0"
        self.node("DynamicQuantizeMatMul", output, stored, step, zero, *bias, domain="com.microsoft")

    def save(self, path: Path) -> Path:
        helper = onnx.helper
        graph = helper.make_graph(
            self.nodes,
            "encoder",
            [helper.make_tensor_value_info("input_values", onnx.TensorProto.FLOAT, [1, 1, 2048])],
            [helper.make_tensor_value_info(self.last, onnx.TensorProto.FLOAT, None)],
            [onnx.numpy_helper.from_array(values, name) for name, values in self.weights.items()],
        )
        domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=9), path)
        return path


def published(layers: int = SIZES.layers) -> Graph:
    graph = Graph()
    graph.conv("conv1", 1, WIDTH, 127, 64, bias=False)
    graph.node("Tanh", "/Tanh_output_0")
    graph.node("Mul", "/groupnorm/Mul_output_0", graph.keep("onnx::Mul_1", graph.values(WIDTH, 1)))
    graph.node("Add", "/groupnorm/Add_output_0", graph.keep("onnx::Add_2", graph.values(WIDTH, 1)))
    graph.conv("conv2", WIDTH, 2 * WIDTH, 7, 3, bias=True)
    graph.conv("conv3", 2 * WIDTH, WIDTH, 3, 2, bias=True)
    graph.node("Transpose", "/Transpose_output_0", perm=[0, 2, 1])
    for layer in range(layers):
        graph.norm(f"layers.{layer}.input_layernorm")
        for place in PLACES[:4]:
            graph.matrix(layer, place, WIDTH, WIDTH)
        graph.norm(f"layers.{layer}.post_attention_layernorm")
        graph.matrix(layer, "mlp/fc1", WIDTH, 4 * WIDTH)
        graph.matrix(layer, "mlp/fc2", 4 * WIDTH, WIDTH)
    graph.norm("layer_norm")
    return graph


@pytest.fixture
def taught() -> Any:
    """The statistics of a corpus."""
    return SimpleNamespace(mean=np.full(WIDTH, 0.5, np.float32), deviation=np.full(WIDTH, 2.0, np.float32))


def test_every_weight_lands_where_it_belongs(tmp_path: Path, taught: Any) -> None:
    graph = published()
    model = PhoneticEncoder(SIZES)
    start_from_moonshine(model, graph.save(tmp_path / "encoder.onnx"), taught)
    ours, theirs = {name: t.numpy() for name, t in model.state_dict().items()}, graph.weights
    for name in ("conv1.weight", "conv2.weight", "conv2.bias", "conv3.weight", "conv3.bias"):
        np.testing.assert_array_equal(ours[f"stem.{name}"], theirs[name])
    np.testing.assert_array_equal(ours["norm.weight"], theirs["layer_norm.weight"])
    for layer in (0, 1):
        here = f"layers.{layer}"
        for ourname, name in (
            ("attention_norm", "input_layernorm"),
            ("feed_norm", "post_attention_layernorm"),
        ):
            np.testing.assert_array_equal(ours[f"{here}.{ourname}.weight"], theirs[f"{here}.{name}.weight"])
        for i, name in enumerate(("query", "key", "value", "out", "widen", "narrow")):
            stored = f"onnx::MatMul_{layer}{i}"
            steps = theirs[f"{stored}_quantized"].astype(float) - float(theirs[f"{stored}_zero_point"])
            expected = (steps * float(theirs[f"{stored}_scale"])).T
            np.testing.assert_allclose(ours[f"{here}.{name}.weight"], expected, rtol=1e-6)
        np.testing.assert_array_equal(ours[f"{here}.widen.bias"], theirs[f"{here}.mlp.fc1.bias"])
        np.testing.assert_array_equal(ours[f"{here}.narrow.bias"], theirs[f"{here}.mlp.fc2.bias"])
    assert (ours["mean"] == 0.5).all()
    assert (ours["deviation"] == 2.0).all()


def test_constants_stand_in_for_the_normalisation_over_time(tmp_path: Path) -> None:
    graph = published()
    tensors = encoder_tensors(graph.save(tmp_path / "encoder.onnx"), SIZES.layers)
    # What has the measured mean and deviation is standardised, then scaled and shifted as published.
    heard = -5.1e-5 + 0.13425 * torch.randn(WIDTH, 50)
    standard = (heard - -5.1e-5) / 0.13425
    scale, shift = (torch.from_numpy(graph.weights[name]) for name in ("onnx::Mul_1", "onnx::Add_2"))
    ours = heard * tensors["stem.scale"] + tensors["stem.shift"]
    torch.testing.assert_close(ours, standard * scale + shift, atol=1e-5, rtol=1e-5)


def test_other_networks_are_refused(tmp_path: Path, taught: Any) -> None:
    model = PhoneticEncoder(SIZES)
    before = model.stem.conv2.bias.clone()
    path = published(layers=1).save(tmp_path / "less.onnx")
    with pytest.raises(
        TrainingError, match=r"less\.onnx is not the encoder of Moonshine: it lacks 'layers\.1"
    ):
        start_from_moonshine(model, path, taught)
    unscaled = published()
    unscaled.nodes[2].output[0] = unscaled.nodes[3].input[0] = "/other/Mul_output_0"
    with pytest.raises(TrainingError, match="it lacks '/groupnorm/Mul_output_0'"):
        start_from_moonshine(model, unscaled.save(tmp_path / "unscaled.onnx"), taught)
    wider = PhoneticEncoder(PhoneticConfig(width=24, layers=2, heads=2, rotary=4, reach=3))
    with pytest.raises(TrainingError, match=r"encoder\.onnx is another network than settings\.model makes"):
        start_from_moonshine(wider, published().save(tmp_path / "encoder.onnx"), taught)
    (tmp_path / "wrong.onnx").write_bytes(b"\x08\x07 not a network")
    with pytest.raises(TrainingError, match=r"wrong\.onnx is not an ONNX or ORT network"):
        start_from_moonshine(model, tmp_path / "wrong.onnx", taught)
    assert torch.equal(model.stem.conv2.bias, before)


def test_without_the_package_it_says_what_to_install(
    tmp_path: Path, taught: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(TrainingError, match=r"needs the package onnx: install timbrel\[train\]"):
        start_from_moonshine(PhoneticEncoder(SIZES), tmp_path / "encoder.onnx", taught)
