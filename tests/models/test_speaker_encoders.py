"""The three encoders trained with GE2E: published shapes and names, and their forward formulas."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.audio.mel import PRESETS
from timbrel.contract import EmbeddingSpec, FeatureSpec
from timbrel.models import SpeakerEncoder
from timbrel.models.convgru_embedder import ConvGRUEmbedder, ConvGRUEmbedderConfig
from timbrel.models.ge2e import DVector, DVectorConfig
from timbrel.models.gru_embedder import GRUEmbedder, GRUEmbedderConfig

ENCODERS = [DVector, GRUEmbedder, ConvGRUEmbedder]


def recurrent(
    prefix: str, rows: int, width: int, inputs: list[int], ends: tuple[str, ...] = ("",)
) -> dict[str, Any]:
    """Names and shapes of a stack of recurrent layers with `rows` gates."""
    shapes: dict[str, Any] = {}
    for layer, size in enumerate(inputs):
        for end in ends:
            shapes[f"{prefix}.weight_ih_l{layer}{end}"] = (rows, size)
            shapes[f"{prefix}.weight_hh_l{layer}{end}"] = (rows, width)
            shapes[f"{prefix}.bias_ih_l{layer}{end}"] = shapes[f"{prefix}.bias_hh_l{layer}{end}"] = (rows,)
    return shapes


# The tables of the published files: the d-vector of AutoVC and the two of simple-speaker-embedding.
PUBLISHED = {
    DVector: (
        12_257_536,
        recurrent("lstm", 3072, 768, [80, 768, 768])
        | {"embedding.weight": (256, 768), "embedding.bias": (256,)},
    ),
    GRUEmbedder: (
        9_242_368,
        recurrent("rnn_stack", 2304, 768, [80, 768, 768])
        | {"projection.weight": (256, 768), "projection.bias": (256,)},
    ),
    ConvGRUEmbedder: (
        31_753_472,
        recurrent("rnn", 2304, 768, [512, 1536, 1536], ("", "_reverse"))
        | {"head.weight": (256, 1536), "head.bias": (256,)}
        | {"conv_encoder.conv_layers.0.0.weight": (512, 1, 10)}
        | {f"conv_encoder.conv_layers.0.2.{name}": (512,) for name in ("weight", "bias")}
        | {f"conv_encoder.conv_layers.{i}.0.weight": (512, 512, 3) for i in (1, 2, 3, 4)}
        | {f"conv_encoder.conv_layers.{i}.0.weight": (512, 512, 2) for i in (5, 6)},
    ),
}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_defaults_are_the_published_shape(encoder: Any) -> None:
    with torch.device("meta"):
        model = encoder(encoder.Config())
    parameters, shapes = PUBLISHED[encoder]
    assert sum(weight.numel() for weight in model.parameters()) == parameters
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == shapes
    assert model.spec_out.dim == 256


def test_what_they_hear() -> None:
    assert DVectorConfig().spec_in == PRESETS["autovc-16k"]
    assert DVectorConfig().window == 128
    assert GRUEmbedderConfig().spec_in == PRESETS["tacotron-22k"]
    assert ConvGRUEmbedderConfig().spec_in == FeatureSpec("waveform", 16000, hop=1, dim=1)


def small(encoder: Any) -> Any:
    sizes = {"channels": 6} if encoder is ConvGRUEmbedder else {}
    torch.manual_seed(0)
    return encoder(encoder.Config(layers=2, width=5, embedding_dim=4, **sizes)).eval()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_vectors_have_unit_length(encoder: Any) -> None:
    model = small(encoder)
    assert isinstance(model, SpeakerEncoder)
    assert isinstance(model.spec_out, EmbeddingSpec)
    features = torch.randn(3, 2000 if encoder is ConvGRUEmbedder else 40, model.spec_in.dim)
    vectors = model(features)
    assert vectors.shape == (3, 4)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(3))


def lstm_step(
    cell: nn.LSTM, layer: int, frame: Tensor, hidden: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """Hochreiter & Schmidhuber's cell with forget gates; rows in the order input, forget, cell, output."""
    weights = [getattr(cell, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    gates = frame @ weights[0].T + weights[2] + hidden @ weights[1].T + weights[3]
    enter, forget, new, leave = gates.chunk(4, dim=-1)
    memory = forget.sigmoid() * memory + enter.sigmoid() * new.tanh()
    return leave.sigmoid() * memory.tanh(), memory


@torch.no_grad()
def test_the_d_vector_is_the_last_frame_of_the_lstm() -> None:
    model, mel = small(DVector), torch.randn(2, 7, 80)
    frames = list(mel.unbind(1))
    for layer in range(2):
        hidden, memory = torch.zeros(2, 5), torch.zeros(2, 5)
        for place, frame in enumerate(frames):
            hidden, memory = lstm_step(model.lstm, layer, frame, hidden, memory)
            frames[place] = hidden
    vector = frames[-1] @ model.embedding.weight.T + model.embedding.bias
    torch.testing.assert_close(model(mel), vector / vector.square().sum(-1, keepdim=True).sqrt())


def gru(model: nn.GRU, frames: list[Tensor], layer: int, end: str = "") -> list[Tensor]:
    """Cho's unit with the reset gate after the product; rows in the order reset, update, new."""
    names = [f"{name}_l{layer}{end}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    weight_in, weight_hidden, bias_in, bias_hidden = (getattr(model, name) for name in names)
    hidden, outputs = torch.zeros(len(frames[0]), weight_hidden.shape[1]), []
    for frame in frames:
        entering = (frame @ weight_in.T + bias_in).chunk(3, dim=-1)
        kept = (hidden @ weight_hidden.T + bias_hidden).chunk(3, dim=-1)
        reset, update = (entering[0] + kept[0]).sigmoid(), (entering[1] + kept[1]).sigmoid()
        hidden = (1 - update) * (entering[2] + reset * kept[2]).tanh() + update * hidden
        outputs.append(hidden)
    return outputs


@torch.no_grad()
def test_the_gru_normalises_its_mel_and_reads_the_last_frame() -> None:
    model, mel = small(GRUEmbedder), 2 * torch.randn(2, 7, 80) - 5
    frames = list(((mel + 5.76) / 5.76).unbind(1))
    for layer in range(2):
        frames = gru(model.rnn_stack, frames, layer)
    vector = frames[-1] @ model.projection.weight.T + model.projection.bias
    torch.testing.assert_close(model(mel), vector / vector.square().sum(-1, keepdim=True).sqrt())


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["ends", "mean"])
def test_the_convgru_joins_the_ends_of_both_directions_or_means_over_time(
    pooling: Literal["ends", "mean"],
) -> None:
    model, waveform = small(ConvGRUEmbedder), torch.randn(2, 2000).clamp(-1, 1)
    model.config = replace(model.config, pooling=pooling)
    hidden = waveform[:, None]
    for layer, stride in enumerate([5, 2, 2, 2, 2, 2, 2]):
        weight = model.get_parameter(f"conv_encoder.conv_layers.{layer}.0.weight")
        hidden = functional.conv1d(hidden, weight, stride=stride)
        if layer == 0:
            centred = hidden - hidden.mean(2, keepdim=True)
            hidden = centred / (centred.square().mean(2, keepdim=True) + 1e-5).sqrt()
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    frames = list(hidden.unbind(2))
    assert len(frames) == 1 + (2000 - 400) // 320
    for layer in range(2):
        forwards = gru(model.rnn, frames, layer)
        backwards = gru(model.rnn, frames[::-1], layer, "_reverse")[::-1]
        frames = [torch.cat(pair, dim=-1) for pair in zip(forwards, backwards, strict=True)]
    ends = torch.cat([forwards[-1], backwards[0]], dim=-1)
    pooled = ends if pooling == "ends" else torch.stack(frames).mean(dim=0)
    vector = pooled @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(
        model(waveform[..., None]),
        vector / vector.square().sum(-1, keepdim=True).sqrt(),
        atol=1e-5,
        rtol=1e-4,
    )


def test_the_convgru_clips_and_needs_400_samples() -> None:
    model, waveform = small(ConvGRUEmbedder), 3 * torch.randn(1, 1000, 1)
    torch.testing.assert_close(model(waveform), model(waveform.clamp(-1, 1)))
    assert model(waveform[:, :400]).shape == (1, 4)
    with pytest.raises(ValueError, match="at least 400 samples, got 399"):
        model(waveform[:, :399])


def test_a_rectified_d_vector_keeps_the_positive_part_of_the_other() -> None:
    torch.manual_seed(0)
    config = DVectorConfig(width=8, embedding_dim=6)
    plain = DVector(config)
    rectified = DVector(replace(config, rectified=True, l2_normalised=True))
    rectified.load_state_dict(plain.state_dict())
    mel = torch.rand(3, 5, 80)
    positive = plain(mel).clamp(min=0)
    torch.testing.assert_close(rectified(mel), positive / positive.norm(dim=1, keepdim=True))
    assert rectified.spec_out.l2_normalised
    assert not plain.spec_out.l2_normalised
