"""VQVC files as Jackson-Kang/VQVC-Pytorch writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.interop import publishing
from tests.interop import vocoder_tables as tables
from tests.interop.imports import imported, refusal
from tests.models import published
from torch import Tensor
from typer.testing import CliRunner

from timbrel import checkpoint as checkpoints
from timbrel.audio.mel import PRESETS
from timbrel.cli.app import app
from timbrel.interop.family import Options


def weights() -> dict[str, Tensor]:
    """With a codebook of near-unit rows that no training has touched, as in the published file."""
    rows = torch.randn(256, 32, generator=torch.Generator().manual_seed(7))
    codebook = rows / rows.norm(dim=1, keepdim=True) * 0.992
    buffers = {
        "codebook.embedding": codebook,
        "codebook.ema_count": torch.zeros(256),
        "codebook.ema_weight": codebook.clone(),
    }
    return tables.filled(tables.VQVC) | buffers


def saved(folder: Path, state: dict[str, Tensor]) -> Path:
    content = {
        "global_step": 60_000,
        "model": state,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(64, 80, 4)}}, "param_groups": [{"lr": 0.01}]},
        "scheduler": {"last_epoch": 170},
    }
    return publishing.save_zip(folder / "model-060k.pth.tar", content)


@pytest.fixture
def statistics(tmp_path: Path) -> Path:
    """`mel_stats.npy`: means in row 0, deviations in row 1."""
    generator = np.random.default_rng(3)
    rows = np.stack([generator.uniform(-7, -4, 80), generator.uniform(1.2, 2.2, 80)])
    np.save(tmp_path / "mel_stats.npy", rows)
    return tmp_path / "mel_stats.npy"


@pytest.mark.parametrize(("frames", "reference"), [(60, 60), (80, 46)])
def test_it_converts_as_published(tmp_path: Path, statistics: Path, frames: int, reference: int) -> None:
    state = weights()
    learned = {name: tensor for name, tensor in state.items() if not name.startswith("codebook.")}
    assert (len(state), tables.learned(learned)) == (23, 468_240)
    model, report = imported(saved(tmp_path, state), options=Options(mel_stats=statistics))
    assert (report.family, report.registry_family, report.parameters) == ("vqvc", "vqvc", 468_240)
    assert model.spec_in == model.spec_out == PRESETS["vqvc-22k"]
    mean, deviation = torch.from_numpy(np.load(statistics)).float()
    said, heard = tables.mel(frames), tables.mel(reference)
    expected = published.vqvc(state, (said - mean) / deviation, (heard - mean) / deviation)
    assert expected.shape == (1, frames, 80)
    assert expected.std() > 0.1
    torch.testing.assert_close(model.convert(said, heard), expected * deviation + mean, atol=1e-4, rtol=0)


def test_the_mel_and_the_statistics_are_named(tmp_path: Path, statistics: Path) -> None:
    _, report = imported(saved(tmp_path, weights()), options=Options(mel_stats=statistics))
    assert "22050 Hz" in report.notes[0]
    assert "mel_stats.npy" in report.notes[1]


def test_the_command_takes_the_statistics(tmp_path: Path, statistics: Path) -> None:
    file, out = saved(tmp_path, weights()), tmp_path / "ours"
    words = ["import", "auto", str(file), "--mel-stats", str(statistics), "-o", str(out)]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert checkpoints.read(out).family == "vqvc"


def test_training_goes_on_from_the_codebook_that_was_loaded(tmp_path: Path, statistics: Path) -> None:
    """Its published counts are zero: a running mean that began with them would throw every code away."""
    model, _ = imported(saved(tmp_path, weights()), options=Options(mel_stats=statistics))
    before = model.quantizer.codebook.clone()
    torch.testing.assert_close(before, weights()["codebook.embedding"])
    model.train()(tables.mel(40))
    moved = (model.quantizer.codebook - before).norm(dim=1)
    assert moved.max() < 0.5
    assert (moved < 0.05).float().mean() > 0.8


def test_counts_that_were_trained_are_kept(tmp_path: Path, statistics: Path) -> None:
    state = weights() | {"codebook.ema_count": torch.arange(256.0)}
    model, _ = imported(saved(tmp_path, state), options=Options(mel_stats=statistics))
    assert torch.equal(model.quantizer.ema_count, torch.arange(256.0))
    assert torch.equal(model.quantizer.ema_sum, state["codebook.ema_weight"])


def test_without_statistics_it_is_refused(tmp_path: Path) -> None:
    message = refusal(saved(tmp_path, weights()))
    assert "--mel-stats" in message
    assert "(2, 80)" in message


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.ones((80, 2)), "float64 (80, 2)"),
        (np.ones((2, 80), dtype=np.int64), "int64 (2, 80)"),
        (np.stack([np.ones(80), np.zeros(80)]), "deviations, above 0, in its second"),
        (np.stack([np.ones(80), np.full(80, -5.0)]), "deviations, above 0, in its second"),
        (np.full((2, 80), np.nan), "deviations, above 0"),
        (np.array(["a"] * 160, dtype=object).reshape(2, 80), "cannot be read"),
    ],
    ids=["transposed", "integers", "zero", "swapped", "nan", "objects"],
)
def test_impossible_statistics_are_refused(tmp_path: Path, rows: np.ndarray, words: str) -> None:
    np.save(tmp_path / "mel_stats.npy", rows)
    message = refusal(saved(tmp_path, weights()), options=Options(mel_stats=tmp_path / "mel_stats.npy"))
    assert words in message
    assert "mel_stats.npy" in message


@pytest.mark.parametrize("content", [None, b"", b"not an array", b"\x93NUMPY\x01\x00"])
def test_files_that_are_no_statistics_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mel_stats.npy"
    if content is not None:
        path.write_bytes(content)
    assert "mel_stats.npy" in refusal(saved(tmp_path, weights()), options=Options(mel_stats=path))


def test_an_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "stats.npz", rows=np.ones((2, 80)))
    message = refusal(saved(tmp_path, weights()), options=Options(mel_stats=tmp_path / "stats.npz"))
    assert "an archive" in message


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("codebook.embedding", None, "model.codebook.embedding is missing"),
        ("codebook.ema_count", None, "model.codebook.ema_count is missing"),
        ("encoder.encoder.3.bias", None, "model.encoder.encoder.3.bias is missing"),
        ("encoder.encoder.0.weight", (64, 80, 3), "0.weight is (64, 80, 3), wanted (64, 80, 4)"),
        ("codebook.embedding", (512, 32), "model.codebook.embedding is (512, 32), wanted (256, 32)"),
        ("decoder.res_blocks.0.bias", (128,), "model.decoder.res_blocks.0.bias is not part of it"),
        ("decoder.res_blocks.6.bias", (80,), "model.decoder.res_blocks.6.bias is not part of it"),
    ],
)
def test_the_first_key_that_does_not_fit_is_named(
    tmp_path: Path, statistics: Path, name: str, shape: tables.Shape | None, words: str
) -> None:
    state = weights()
    if shape is None:
        del state[name]
    else:
        state[name] = torch.zeros(shape)
    assert words in refusal(saved(tmp_path, state), "vqvc", Options(mel_stats=statistics))
