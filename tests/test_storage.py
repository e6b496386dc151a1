"""Weights in less space: what loads is near what was stored, and a damaged file says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from timbrel import checkpoint
from timbrel.errors import CheckpointError
from timbrel.storage import compress, expand


def weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "linear.weight": torch.randn(64, 96, generator=generator) * torch.logspace(-3, 1, 64)[:, None],
        "conv.weight": torch.randn(32, 16, 9, generator=generator),
        "small.weight": torch.randn(8, 8, generator=generator),
        "scale": torch.randn(64, generator=generator),
        "steps": torch.tensor(7),
    }
    tensors["linear.weight"][5] = 0.0
    return tensors


def test_eight_bits_are_off_by_half_a_step_of_their_row_at_most() -> None:
    given = weights()
    stored = compress(given, 8)
    loaded = expand(stored, name="here")
    assert loaded.keys() == given.keys()
    for name in ("linear.weight", "conv.weight"):
        assert stored[name].dtype == torch.int8
        assert loaded[name].dtype == torch.float32
        rows, back = given[name].flatten(1), loaded[name].flatten(1)
        step = rows.abs().amax(dim=1, keepdim=True) / 127
        assert ((rows - back).abs() <= 0.5 * step * (1 + 1e-4)).all()
        # Each row uses all of its range, so its largest value comes back as it was.
        torch.testing.assert_close(back.abs().amax(dim=1), rows.abs().amax(dim=1))
    assert loaded["linear.weight"][5].abs().max() == 0


def test_what_is_no_large_weight_is_in_half_precision() -> None:
    given = weights()
    stored = compress(given, 8)
    for name in ("small.weight", "scale"):
        assert stored[name].dtype == torch.float16
        torch.testing.assert_close(expand(stored, name="here")[name], given[name], atol=0, rtol=2**-11)
    assert torch.equal(stored["steps"], torch.tensor(7))
    assert {t.dtype for t in compress(given, 16).values()} == {torch.float16, torch.int64}


def test_stored_again_it_stays_the_same() -> None:
    once = expand(compress(weights(), 8), name="here")
    twice = expand(compress(once, 8), name="here")
    for name, tensor in once.items():
        torch.testing.assert_close(twice[name], tensor, atol=0, rtol=1e-6)


def written(folder: Path) -> Path:
    tensors = compress(weights(), 8)
    checkpoint.write(folder, family="any", name="small", config={}, tensors=tensors, provenance={}, card="")
    return folder / checkpoint.WEIGHTS


def test_a_checkpoint_loads_what_was_stored_under_one_fingerprint(tmp_path: Path) -> None:
    path = written(tmp_path / "model")
    loaded = checkpoint.load_tensors(checkpoint.read(path.parent))
    expected = expand(compress(weights(), 8), name="here")
    assert checkpoint.fingerprint(loaded) == checkpoint.fingerprint(expected)
    # A byte for a weight, and a little for the rest.
    assert path.stat().st_size < 1.2 * (64 * 96 + 32 * 16 * 9) + 1024


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (None, r"linear\.weight is in 8 bits and has no linear\.weight\.scale\.$"),
        (torch.ones(3), "must hold 64 positive numbers"),
        (torch.ones(64, dtype=torch.float16), "must hold 64 positive numbers"),
        (torch.full((64,), float("nan")), "must hold 64 positive numbers"),
        (torch.zeros(64), "must hold 64 positive numbers"),
    ],
    ids=["missing", "short", "half", "nan", "zero"],
)
def test_a_damaged_scale_is_refused(tmp_path: Path, scale: Tensor | None, words: str) -> None:
    path = written(tmp_path / "model")
    tensors = load_file(path)
    del tensors["linear.weight.scale"]
    save_file(tensors if scale is None else {**tensors, "linear.weight.scale": scale}, path)
    with pytest.raises(CheckpointError, match=rf"model\.safetensors is damaged: .*{words}"):
        checkpoint.load_tensors(checkpoint.read(path.parent))
