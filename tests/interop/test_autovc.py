"""AutoVC and simple-autovc, as published: the network, and what must go with it."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor

from timbrel import checkpoint, registry
from timbrel.audio.mel import PRESETS
from timbrel.compose import compose
from timbrel.errors import CheckpointError, ConfigError, ContractError
from timbrel.interop.family import Options
from timbrel.interop.importing import import_checkpoint
from timbrel.models.autovc import AutoVC

from . import formulas, publishing

SMALL = publishing.autovc(neck=4, pre=8, wide=12, last=16)


def loaded(path: Path) -> AutoVC:
    network = registry.build(checkpoint.read(path))
    assert isinstance(network, AutoVC)
    return network


def inputs(frames: int, embedding: int = 256) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    mel = torch.rand(2, frames, 80, generator=generator)
    return [mel, *torch.nn.functional.normalize(torch.randn(2, 2, embedding, generator=generator), dim=-1)]


def test_the_published_network_is_the_same_here(tmp_path: Path) -> None:
    weights = publishing.filled(publishing.autovc())
    assert len(weights) == 107
    report = import_checkpoint(
        publishing.save_zip(tmp_path / "autovc.ckpt", {"model": weights}), out=tmp_path / "out"
    )
    assert report.family == "autovc"
    assert report.parameters == 28_422_464
    network, (mel, source, target) = loaded(tmp_path / "out"), inputs(64)
    assert (network.config.dim_neck, network.config.freq, network.config.window) == (32, 32, 128)
    with torch.no_grad():
        made = network(mel, source, target)
        before, after, codes = formulas.autovc(weights, mel, source, target, 32)
    for one, other in ((made.before, before), (made.after, after), (made.codes, codes)):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
        assert other.std() > 1e-3


def test_another_number_of_frames_in_a_code(tmp_path: Path) -> None:
    weights = publishing.filled(SMALL)
    report = import_checkpoint(
        publishing.save_zip(tmp_path / "own.ckpt", {"model": weights}), options=Options(freq=16)
    )
    network, (mel, source, target) = loaded(report.path), inputs(32)
    assert (network.config.dim_neck, network.config.freq, network.config.window) == (4, 16, 128)
    with torch.no_grad():
        made = network(mel, source, target).after
        wanted = formulas.autovc(weights, mel, source, target, 16)[1]
    torch.testing.assert_close(made, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("family", "section", "mel", "encoder", "heard"),
    [
        ("autovc", "model", "autovc-16k", "d-vector", "autovc-16k"),
        ("simple-autovc", "model_state_dict", "simple-autovc-16k", "gru-embedder", "tacotron-22k"),
    ],
)
def test_what_must_go_with_it(
    tmp_path: Path, family: str, section: str, mel: str, encoder: str, heard: str
) -> None:
    path = publishing.save_zip(tmp_path / "x.pth", {section: publishing.filled(SMALL), "epoch": 3})
    report = import_checkpoint(path)
    assert report.family == family
    config = loaded(report.path).config
    assert config.spec == PRESETS[mel]
    assert (config.embedding.encoder, config.embedding.dim) == (encoder, 256)
    assert config.embedding.input == PRESETS[heard]
    assert config.embedding.l2_normalised == (family == "simple-autovc")


def test_what_the_file_does_not_say_is_named(tmp_path: Path) -> None:
    path = publishing.save_zip(tmp_path / "x.pth", {"model": publishing.filled(SMALL)})
    taken = " ".join(import_checkpoint(path, out=tmp_path / "a").notes)
    assert "freq is 32" in taken
    assert "--freq 16" in taken
    assert "autovc-16k" in taken
    stated = import_checkpoint(path, out=tmp_path / "b", options=Options(freq=8, mel="simple-autovc-16k"))
    assert any("freq is 8" in note and "as stated" in note for note in stated.notes)
    assert any("simple-autovc-16k, as stated" in note for note in stated.notes)
    config = loaded(tmp_path / "b").config
    assert (config.freq, config.spec) == (8, PRESETS["simple-autovc-16k"])


def test_impossible_statements(tmp_path: Path) -> None:
    path = publishing.save_zip(tmp_path / "x.pth", {"model": publishing.filled(SMALL)})
    with pytest.raises(ConfigError, match="freq must be at least 1, not 0"):
        import_checkpoint(path, options=Options(freq=0))
    with pytest.raises(ConfigError, match=r'no mel "telephone".*autovc-16k'):
        import_checkpoint(path, options=Options(mel="telephone"))
    with pytest.raises(ConfigError, match=r"layer means nothing to autovc.*freq, mel"):
        import_checkpoint(path, options=Options(layer=6))


def test_a_mel_of_other_bands_is_refused(tmp_path: Path) -> None:
    path = publishing.save_zip(tmp_path / "x.pth", {"model": publishing.filled(SMALL)})
    with pytest.raises(CheckpointError, match=r"linear_layer.weight has 80 rows, wanted 40"):
        import_checkpoint(path, options=Options(mel="resemblyzer-16k"))


def test_a_bare_state_dict_may_be_either(tmp_path: Path) -> None:
    path = publishing.save_zip(tmp_path / "x.pth", publishing.filled(SMALL))
    with pytest.raises(CheckpointError, match=r"autovc or simple-autovc.*name the family"):
        import_checkpoint(path)
    assert import_checkpoint(path, "simple-autovc").family == "simple-autovc"


def test_files_without_counted_batches_and_of_several_devices(tmp_path: Path) -> None:
    weights = publishing.filled(SMALL)
    old = OrderedDict(
        (f"module.{name}", tensor)
        for name, tensor in weights.items()
        if not name.endswith("num_batches_tracked")
    )
    report = import_checkpoint(publishing.save_legacy(tmp_path / "old.ckpt", {"model": old}), "autovc")
    mel, source, target = inputs(32)
    with torch.no_grad():
        made = loaded(report.path)(mel, source, target).after
        wanted = formulas.autovc(weights, mel, source, target, 32)[1]
    torch.testing.assert_close(made, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("encoder.lstm.weight_hh_l0", "encoder.lstm.weight_hh_l0 is missing"),
        ("encoder.convolutions.0.0.conv.weight", "encoder.convolutions.0.0.conv.weight is missing"),
        ("decoder.convolutions.1.0.conv.bias", "decoder.convolutions.1.0.conv.bias is missing"),
        ("decoder.linear_projection.linear_layer.bias", "linear_projection.linear_layer.bias is missing"),
        ("postnet.convolutions.4.1.running_var", "postnet.convolutions.4.1.running_var is missing"),
    ],
)
def test_the_missing_key_is_named_as_published(tmp_path: Path, name: str, told: str) -> None:
    weights = publishing.filled(SMALL)
    del weights[name]
    with pytest.raises(CheckpointError, match=f"x.ckpt does not fit the family autovc: .*{told}"):
        import_checkpoint(publishing.save_zip(tmp_path / "x.ckpt", {"model": weights}), "autovc")


def test_an_embedding_of_another_length(tmp_path: Path) -> None:
    path = publishing.save_zip(
        tmp_path / "x.pth", {"model": publishing.filled(publishing.autovc(4, 64, 8, 8, 8))}
    )
    config = loaded(import_checkpoint(path).path).config
    assert config.dim_emb == 64


def test_it_joins_the_encoder_it_was_trained_with_and_no_other(tmp_path: Path) -> None:
    autovc = publishing.save_zip(tmp_path / "a.ckpt", {"model": publishing.filled(SMALL)})
    converter = import_checkpoint(autovc, out=tmp_path / "converter").path
    lstm = publishing.recurrent("lstm", 32, 8, [80, 8, 8])
    d_vector = {**lstm, "embedding.weight": (256, 8), "embedding.bias": (256,)}
    gru = publishing.recurrent("rnn_stack", 24, 8, [80, 8, 8])
    other = {**gru, "projection.weight": (256, 8), "projection.bias": (256,)}
    made = {}
    for name, section, shapes in (("own", "model_b", d_vector), ("other", "model", other)):
        saved = publishing.save_zip(tmp_path / f"{name}.pt", {section: publishing.filled(shapes)})
        made[name] = import_checkpoint(saved, out=tmp_path / name).path
    compose({"converter": converter, "speaker": made["own"]}, tmp_path / "pipeline")
    with pytest.raises(ContractError, match=r'encoder is ".*", wanted "d-vector"'):
        compose({"converter": converter, "speaker": made["other"]}, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
