"""Weights that are broken, random, half loaded or collapsed, and those that are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.methods.making import MEL, part, vqvc
from torch import nn

from timbrel import checkpoint, registry
from timbrel.doctor import weights
from timbrel.doctor.findings import Severity
from timbrel.doctor.parts import gather
from timbrel.models.gru_embedder import GRUEmbedder, GRUEmbedderConfig
from timbrel.models.hifigan import HiFiGAN, HiFiGANConfig
from timbrel.models.layers import add_weight_norm


def embedder(*, learned: bool) -> GRUEmbedder:
    """A small encoder, as it starts, or as if training had moved its weights."""
    torch.manual_seed(0)
    network = GRUEmbedder(GRUEmbedderConfig(layers=2, width=48, embedding_dim=32))
    if learned:
        train(network)
    return network.eval()


def train(network: nn.Module) -> None:
    """Moves every weight, by as much again as it is large and unevenly, as training does."""
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.add_(torch.randn_like(tensor) * tensor.std() * 0.7)


@pytest.mark.parametrize("role", ["content", "speaker", "converter"])
def test_nothing_is_wrong_with_the_bundled_weights(role: str) -> None:
    folder = registry.find("timbrel-one") / role
    assert gather([folder]).findings == []


def test_a_network_that_never_learned_is_found() -> None:
    (finding,) = weights.never_learned("x", embedder(learned=False))
    assert finding.severity is Severity.FAULT
    assert list(weights.never_learned("x", embedder(learned=True))) == []


def test_a_half_loaded_network_is_found() -> None:
    network = embedder(learned=False)
    train(network.rnn_stack)  # everything but this stays as it was
    with torch.no_grad():
        network.rnn_stack.weight_hh_l1.copy_(embedder(learned=False).rnn_stack.weight_hh_l1)
        network.rnn_stack.weight_ih_l1.copy_(embedder(learned=False).rnn_stack.weight_ih_l1)
    (finding,) = weights.never_learned("x", network)
    assert finding.severity is Severity.RISK
    assert 29 in finding.traps


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_found(value: float) -> None:
    state = embedder(learned=True).state_dict()
    state["projection.weight"][0, 0] = value
    (finding,) = weights.numbers("x", state)
    assert "projection.weight holds NaN or infinity" in finding.what


def test_a_layer_of_zeros_is_found() -> None:
    state = embedder(learned=True).state_dict()
    state["projection.weight"].zero_()
    state["projection.bias"].zero_()  # a bias may be zero
    (finding,) = weights.numbers("x", state)
    assert "projection.weight holds nothing but zeros" in finding.what


def test_weight_norm_left_in_is_found(tmp_path: Path) -> None:
    network = HiFiGAN(replace(HiFiGANConfig.v3(MEL), channels=8))
    add_weight_norm(network)
    findings = gather([part(tmp_path / "vocoder", network)]).findings
    assert any({29, 30} <= set(one.traps) for one in findings)
    assert all(one.severity is Severity.FAULT for one in findings)


@pytest.mark.parametrize("ending", ["weight_g", "parametrizations.weight.original0"])
def test_every_spelling_of_weight_norm_is_found(ending: str) -> None:
    (finding,) = weights.spelling("x", [f"conv_pre.{ending}", "conv_pre.bias"])
    assert 30 in finding.traps


def test_a_prefix_of_every_name_is_found() -> None:
    (finding,) = weights.spelling("x", ["module.lstm.weight_ih_l0", "module.lstm.bias_ih_l0"])
    assert finding.traps == (46,)
    assert list(weights.spelling("x", ["module.lstm.weight_ih_l0", "head.weight"])) == []


def test_weights_that_do_not_fit_are_a_finding(tmp_path: Path) -> None:
    folder = part(tmp_path / "speaker", embedder(learned=True))
    state = embedder(learned=True).state_dict()
    del state["projection.weight"]
    found = checkpoint.read(folder)
    checkpoint.write(
        folder,
        family=found.family,
        name="x",
        config=found.config,
        tensors=state,
        provenance={},
        card="",
        overwrite=True,
    )
    (finding,) = gather([folder]).findings
    assert "projection.weight is missing" in finding.what


def test_missing_statistics_are_found() -> None:
    network = vqvc()
    assert list(weights.statistics("x", network.state_dict())) == []
    network.output_scale.mean.zero_()
    network.output_scale.deviation.fill_(1.0)
    (finding,) = weights.statistics("x", network.state_dict())
    assert finding.traps == (38,)
    assert "output_scale" in finding.what


def test_batch_normalisation_without_a_batch_is_found() -> None:
    network = nn.BatchNorm1d(4)
    (finding,) = weights.statistics("x", {f"a.{n}": t for n, t in network.state_dict().items()})
    assert finding.traps == (31,)
    network.train()(torch.randn(8, 4) + 3)
    assert list(weights.statistics("x", {f"a.{n}": t for n, t in network.state_dict().items()})) == []


def book(rows: torch.Tensor, counts: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"quantizer.codebook": rows, "quantizer.ema_count": counts}


def test_a_healthy_codebook_is_sound() -> None:
    torch.manual_seed(0)
    assert list(weights.codebooks("x", book(torch.randn(64, 8), torch.rand(64) + 0.5))) == []
    assert list(weights.codebooks("x", vqvc().state_dict())) == []


def test_a_collapsed_codebook_is_found() -> None:
    torch.manual_seed(0)
    same, counts = torch.randn(1, 8).expand(64, 8), torch.ones(64)
    one_code = torch.zeros(64)
    one_code[3] = 100.0
    for rows, chosen in ((same, counts), (torch.randn(64, 8), one_code)):
        (finding,) = weights.codebooks("x", book(rows, chosen))
        assert finding.traps == (39,)
        assert finding.severity is Severity.FAULT


def test_a_codebook_that_nothing_was_learned_into_is_found() -> None:
    # As the published VQVC's: rows of nearly unit length, no choice counted.
    rows = (
        nn.functional.normalize(torch.randn(256, 32, generator=torch.Generator().manual_seed(0)), dim=1)
        * 0.99
    )
    (finding,) = weights.codebooks("x", book(rows, torch.zeros(256)))
    assert (finding.traps, finding.severity) == ((39,), Severity.MINOR)


def test_a_codebook_that_never_began_is_found() -> None:
    (finding,) = weights.numbers("x", {"quantizer.codebook": torch.zeros(16, 4)})
    assert finding.traps == (39,)
