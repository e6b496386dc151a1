"""WavLM as Microsoft and Hugging Face publish it, against the model of `transformers`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.interop import publishing
from tests.interop.imports import imported, refusal
from tests.interop.publishing import Shapes
from torch import Tensor

from timbrel.interop.containers import Stored
from timbrel.interop.families import wavlm
from timbrel.interop.family import Options
from timbrel.models.wavlm import WavLM

transformers = pytest.importorskip("transformers")

SIZES = {
    "width": 32,
    "heads": 4,
    "inner": 64,
    "conv": 16,
    "layers": 3,
    "kernel": 16,
    "groups": 4,
    "buckets": 40,
}
LARGE = {
    "width": 1024,
    "heads": 16,
    "inner": 4096,
    "conv": 512,
    "layers": 24,
    "kernel": 128,
    "groups": 16,
    "buckets": 320,
}
#: The published names inside a layer, and those of transformers.
IN_LAYER = {
    "self_attn.q_proj": "attention.q_proj",
    "self_attn.k_proj": "attention.k_proj",
    "self_attn.v_proj": "attention.v_proj",
    "self_attn.out_proj": "attention.out_proj",
    "self_attn.grep_linear": "attention.gru_rel_pos_linear",
    "self_attn_layer_norm": "layer_norm",
    "fc1": "feed_forward.intermediate_dense",
    "fc2": "feed_forward.output_dense",
    "final_layer_norm": "final_layer_norm",
}
Table = dict[str, tuple[str, tuple[int, ...]]]


def table(sizes: dict[str, int], large: bool = True) -> Table:
    """Name of transformers and shape of each tensor of the published layout."""
    width, conv, inner = sizes["width"], sizes["conv"], sizes["inner"]
    head = width // sizes["heads"]
    rows: Table = {"mask_emb": ("masked_spec_embed", (width,))}
    for place, kernel in enumerate((10, 3, 3, 3, 3, 2, 2)):
        old = new = f"feature_extractor.conv_layers.{place}"
        rows[f"{old}.0.weight"] = (f"{new}.conv.weight", (conv, conv if place else 1, kernel))
        if large or place == 0:
            norm = f"{old}.2.1" if large else f"{old}.2"
            rows |= {
                f"{norm}.{value}": (f"{new}.layer_norm.{value}", (conv,)) for value in ("weight", "bias")
            }
    rows |= _linear("layer_norm", "feature_projection.layer_norm", (conv,))
    rows |= _linear("post_extract_proj", "feature_projection.projection", (width, conv))
    position, ours = "encoder.pos_conv.0", "encoder.pos_conv_embed.conv"
    shape = (width, width // sizes["groups"], sizes["kernel"])
    rows[f"{position}.bias"] = (f"{ours}.bias", (width,))
    rows[f"{position}.weight_g"] = (f"{ours}.parametrizations.weight.original0", (1, 1, shape[2]))
    rows[f"{position}.weight_v"] = (f"{ours}.parametrizations.weight.original1", shape)
    shapes = {"fc1": (inner, width), "fc2": (width, inner), "self_attn.grep_linear": (8, head)}
    for number in range(sizes["layers"]):
        layer = f"encoder.layers.{number}"
        for old, new in IN_LAYER.items():
            usual = (width,) if old.endswith("norm") else (width, width)
            rows |= _linear(f"{layer}.{old}", f"{layer}.{new}", shapes.get(old, usual))
        gate = (1, sizes["heads"], 1, 1)
        rows[f"{layer}.self_attn.grep_a"] = (f"{layer}.attention.gru_rel_pos_const", gate)
    bias = "encoder.layers.0.self_attn.relative_attention_bias.weight"
    buckets = (sizes["buckets"], sizes["heads"])
    rows[bias] = ("encoder.layers.0.attention.rel_attn_embed.weight", buckets)
    return rows | _linear("encoder.layer_norm", "encoder.layer_norm", (width,))


def _linear(old: str, new: str, shape: tuple[int, ...]) -> Table:
    return {f"{old}.weight": (f"{new}.weight", shape), f"{old}.bias": (f"{new}.bias", shape[:1])}


def weights(sizes: dict[str, int] = SIZES, large: bool = True) -> dict[str, Tensor]:
    shapes: Shapes = {name: shape for name, (_, shape) in table(sizes, large).items()}
    return dict(publishing.filled(shapes, deviation=0.3))


def settings(large: bool = True, **changes: object) -> dict[str, object]:
    """The `cfg` that lies beside the weights, as far as it matters."""
    return {
        "extractor_mode": "layer_norm" if large else "default",
        "encoder_layers": SIZES["layers"],
        "layer_norm_first": large,
        "conv_feature_layers": "[(16,10,5)] + [(16,3,2)] * 4 + [(16,2,2)] * 2",
        "normalize": large,
        "num_buckets": SIZES["buckets"],
        "max_distance": 100,
        **changes,
    }


def reference(state: dict[str, Tensor], large: bool = True) -> Any:
    """The model of transformers with these weights."""
    config = transformers.WavLMConfig(
        hidden_size=32,
        num_hidden_layers=SIZES["layers"],
        num_attention_heads=4,
        intermediate_size=64,
        conv_dim=(16,) * 7,
        feat_extract_norm="layer" if large else "group",
        do_stable_layer_norm=large,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        num_buckets=40,
        max_bucket_distance=100,
    )
    model = transformers.WavLMModel(config).eval()
    rows = table(SIZES, large)
    model.load_state_dict({rows[name][0]: tensor for name, tensor in state.items()})
    return model


def hidden(model: Any, samples: Tensor) -> Any:
    with torch.inference_mode():
        return model(samples, output_hidden_states=True).hidden_states


def published(folder: Path, state: dict[str, Tensor], **changes: object) -> Path:
    content = {"cfg": settings(**changes), "model": state}  # type: ignore[arg-type]
    return publishing.save_zip(folder / "WavLM-Large.pt", content)


@pytest.fixture(scope="module")
def samples() -> Tensor:
    """One and a half seconds in a batch of one, and the zeros that follow the end: 75 frames."""
    spoken = 0.1 * torch.randn(1, 75 * 320, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.pad(spoken, (0, 80))


def test_the_published_sizes() -> None:
    rows = table(LARGE)
    shapes = {name: shape for name, (_, shape) in rows.items()}
    assert len(shapes) == 488
    assert sum(math.prod(shape) for shape in shapes.values()) == 315_453_120
    # Values that take no memory: what counts here are names and shapes.
    state = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
    stored = Stored({f"model.{name}": tensor for name, tensor in state.items()}, {"cfg": {}}, "torch zip")
    made = wavlm.convert(stored, Options(layer=24))
    with torch.device("meta"):
        wanted = WavLM(made.config).state_dict()
    assert {name: tensor.shape for name, tensor in made.tensors.items()} == {
        name: tensor.shape for name, tensor in wanted.items()
    }
    # Without the embedding of training's mask, and with the weight norm folded.
    assert sum(tensor.numel() for tensor in wanted.values()) == 315_453_120 - 1024 - 128
    of_knn = wavlm.convert(stored, Options()).config
    assert (of_knn.layer, of_knn.width, of_knn.heads, of_knn.max_distance) == (6, 1024, 16, 800)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_any_layer_of_large_is_that_of_transformers(tmp_path: Path, samples: Tensor, layer: int) -> None:
    state = weights()
    model, report = imported(published(tmp_path, state), options=Options(layer=layer))
    assert (report.family, report.registry_family) == ("wavlm", "wavlm")
    expected = hidden(reference(state), samples)
    with torch.inference_mode():
        made = model(samples[:, :-80, None])
    torch.testing.assert_close(made, expected[layer], atol=1e-4, rtol=0)
    # The layer beside it is another thing, which a slip by one would give.
    assert (made - expected[layer + 1]).abs().max() > 0.1


def test_the_last_layer_comes_with_the_norm_after_it(tmp_path: Path, samples: Tensor) -> None:
    state = weights()
    model, report = imported(published(tmp_path, state), options=Options(layer=3))
    with torch.inference_mode():
        expected = reference(state)(samples).last_hidden_state
        torch.testing.assert_close(model(samples[:, :-80, None]), expected, atol=1e-4, rtol=0)
    assert any("normalisation after it" in note for note in report.notes)


@pytest.mark.parametrize("layer", [2, 3])
def test_base_normalises_elsewhere(tmp_path: Path, samples: Tensor, layer: int) -> None:
    state = weights(large=False)
    model, _ = imported(published(tmp_path, state, large=False), options=Options(layer=layer))
    assert (model.config.conv_norm, model.config.norm_first, model.config.final_norm) == (
        "group",
        False,
        False,
    )
    expected = hidden(reference(state, large=False), samples)[layer]
    with torch.inference_mode():
        torch.testing.assert_close(model(samples[:, :-80, None]), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("large", [True, False])
def test_a_folder_of_hugging_face(tmp_path: Path, samples: Tensor, large: bool) -> None:
    theirs = reference(weights(large=large), large)
    theirs.save_pretrained(tmp_path / "wavlm")
    model, report = imported(tmp_path / "wavlm", options=Options(layer=2))
    assert report.family == "wavlm"
    with torch.inference_mode():
        made = model(samples[:, :-80, None])
    torch.testing.assert_close(made, hidden(theirs, samples)[2], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("[1]", "config is no table"),
        ('{"conv_stride": 5}', "conv_stride is 5"),
        ('{"conv_stride": ["a"]}', "conv_stride is"),
        ('{"max_bucket_distance": "800"}', "max_bucket_distance is '800'"),
    ],
)
def test_a_config_of_another_shape_is_one_sentence(tmp_path: Path, config: str, told: str) -> None:
    reference(weights(large=True), True).save_pretrained(tmp_path / "wavlm")
    (tmp_path / "wavlm" / "config.json").write_text(config)
    assert told in refusal(tmp_path / "wavlm", options=Options(layer=2))


def test_frames_are_signed_with_weights_and_layer(tmp_path: Path) -> None:
    path = published(tmp_path, weights())
    fingerprints = set()
    for layer in (1, 2, 3):
        (tmp_path / str(layer)).mkdir()
        link = tmp_path / str(layer) / "WavLM.pt"
        link.symlink_to(path)
        model, _ = imported(link, options=Options(layer=layer))
        fingerprints.add(model.spec_out.encoder)
    assert len(fingerprints - {""}) == 3


def test_what_the_file_leaves_open_is_said(tmp_path: Path) -> None:
    path = publishing.save_zip(tmp_path / "bare.pt", {"cfg": {}, "model": weights()})
    model, report = imported(path, options=Options(layer=1))
    assert any("how far relative positions reach: 800" in note for note in report.notes)
    assert model.config.conv_strides == (5, 2, 2, 2, 2, 2, 2)
    model, report = imported(published(tmp_path, weights()), options=Options(layer=1))
    assert any("hears waveforms as they are" in note for note in report.notes)
    assert model.config.max_distance == 100


# Without a wish it is the sixth layer.
@pytest.mark.parametrize("options", [Options(), Options(layer=4), Options(layer=-1)])
def test_a_layer_that_is_not_there(tmp_path: Path, options: Options) -> None:
    message = refusal(published(tmp_path, weights()), options=options)
    assert "it has 3 layers, so --layer must lie between 0 and 3" in message


@pytest.mark.parametrize(
    "missing",
    [
        "encoder.layers.1.fc1.weight",
        "post_extract_proj.bias",
        "encoder.pos_conv.0.weight_v",
        "feature_extractor.conv_layers.3.2.1.bias",
        "encoder.layers.0.self_attn.relative_attention_bias.weight",
    ],
)
def test_a_missing_tensor_is_named(tmp_path: Path, missing: str) -> None:
    state = weights()
    del state[missing]
    message = refusal(published(tmp_path, state), options=Options(layer=2))
    assert f"{missing} is missing" in message


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    state = weights()
    state["encoder.layers.1.fc2.weight"] = torch.zeros(32, 63)
    message = refusal(published(tmp_path, state), options=Options(layer=2))
    assert "encoder.layers.1.fc2.weight is (32, 63), wanted (32, 64)" in message


def test_what_does_not_belong_is_named(tmp_path: Path) -> None:
    state = {**weights(), "encoder.layers.0.adapter.weight": torch.zeros(3)}
    message = refusal(published(tmp_path, state), options=Options(layer=2))
    assert "encoder.layers.0.adapter.weight is not part of it" in message


def test_impossible_sizes_are_one_sentence(tmp_path: Path) -> None:
    state = weights()
    state["encoder.layers.0.self_attn.grep_a"] = torch.zeros(1, 5, 1, 1)
    assert "width must divide by heads" in refusal(published(tmp_path, state), options=Options(layer=2))
