"""The codebook learns, stays alive, lets gradients through and agrees over processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from timbrel.models.quantizer import VectorQuantizer, kmeans, perplexity, unit_length


def _with_codes(rows: list[list[float]], **options: float) -> VectorQuantizer:
    """A trained quantizer in evaluation mode with the codebook `rows`."""
    quantizer = VectorQuantizer(len(rows), len(rows[0]), **options)  # type: ignore[arg-type]
    quantizer.codebook.copy_(torch.tensor(rows))
    quantizer.ema_count.fill_(1.0)
    quantizer.ema_sum.copy_(quantizer.codebook)
    quantizer.updates.fill_(1)
    return quantizer.eval()


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_vectors_become_their_nearest_codes() -> None:
    quantizer = _with_codes([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    found = quantizer(torch.tensor([[[1.0, 1.0], [9.0, 2.0], [2.0, 7.0], [4.0, 3.0]]]))
    assert found.indices.tolist() == [[0, 1, 2, 0]]
    assert found.vectors.tolist() == [[[0, 0], [10, 0], [0, 10], [0, 0]]]


def test_losses_are_mean_squared_distances() -> None:
    quantizer = _with_codes([[0.0, 0.0], [10.0, 0.0]])
    found = quantizer(torch.tensor([[[1.0, 1.0], [9.0, 2.0]]]))
    # Squared differences 1, 1, 1, 4.
    assert found.codebook_loss.item() == pytest.approx(7 / 4)
    assert found.commitment_loss.item() == pytest.approx(7 / 4)


def test_gradient_passes_straight_through() -> None:
    quantizer = _with_codes([[0.0, 0.0], [10.0, 0.0]])
    vectors = torch.tensor([[[1.0, 1.0], [9.0, 2.0]]], requires_grad=True)
    weights = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    (quantizer(vectors).vectors * weights).sum().backward()
    assert vectors.grad is not None
    assert torch.equal(vectors.grad, weights)


def test_commitment_pulls_the_input_towards_its_code_and_the_codebook_loss_pulls_nothing() -> None:
    quantizer = _with_codes([[0.0, 0.0], [10.0, 0.0]])
    vectors = torch.tensor([[[1.0, -3.0]]], requires_grad=True)
    found = quantizer(vectors)
    assert not found.codebook_loss.requires_grad
    found.commitment_loss.backward()
    # d/dz of the mean over two elements of (z - e)^2.
    assert vectors.grad is not None
    torch.testing.assert_close(vectors.grad, torch.tensor([[[1.0, -3.0]]]))


def test_unit_search_ignores_the_length_of_codes() -> None:
    rows = [[0.1, 0.0], [3.0, 3.0]]
    vectors = torch.tensor([[0.9, 0.3]])
    # Nearest raw row is (0.1, 0); both have length 1 in the unit search, and (1, 0) is nearer still.
    assert _with_codes(rows).search(vectors).tolist() == [0]
    assert _with_codes([[0.1, 0.0], [1.0, 1.0]]).search(vectors).tolist() == [1]
    assert _with_codes([[0.1, 0.0], [1.0, 1.0]], unit_search=True).search(vectors).tolist() == [0]


def test_unit_length_keeps_directions_and_survives_zero() -> None:
    scaled = unit_length(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    torch.testing.assert_close(scaled, torch.tensor([[0.6, 0.8], [0.0, 0.0]]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([5, 5, 5, 5], 4.0),
        ([7, 0, 0, 0], 1.0),
        ([1, 1, 0, 0], 2.0),
        ([2, 1, 1, 0], 2 * 2**0.5),
        ([0, 0], 1.0),
    ],
)
def test_perplexity_by_hand(counts: list[int], expected: float) -> None:
    assert perplexity(torch.tensor(counts)).item() == pytest.approx(expected)


def test_kmeans_finds_clusters() -> None:
    centres = torch.tensor([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [20.0, 20.0]])
    # Sorted by cluster and of unequal size.
    vectors = torch.cat([centre + 0.1 * _random(40 - 9 * i, 2, seed=i) for i, centre in enumerate(centres)])
    found, counts = kmeans(vectors, 4)
    order = (found[:, 0] > 10).long() + 2 * (found[:, 1] > 10).long()
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    torch.testing.assert_close(found, centres[order], atol=0.15, rtol=0)
    assert counts[order.argsort()].tolist() == [40, 31, 22, 13]


def test_kmeans_start_uses_all_codes() -> None:
    quantizer = VectorQuantizer(64, 8).train()
    vectors = _random(4, 100, 8)
    quantizer(vectors)
    quantizer.eval()
    assert quantizer(vectors).indices.unique().numel() == 64


def test_start_with_fewer_vectors_than_codes_is_finite() -> None:
    quantizer = VectorQuantizer(16, 4).train()
    found = quantizer(_random(1, 3, 4))
    assert quantizer.codebook.isfinite().all()
    assert found.commitment_loss.item() == pytest.approx(0, abs=1e-6)


def test_evaluation_learns_nothing() -> None:
    quantizer = VectorQuantizer(8, 4).train()
    quantizer(_random(2, 50, 4))
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer.eval()(_random(2, 50, 4, seed=1))
    assert all(torch.equal(value, before[name]) for name, value in quantizer.state_dict().items())


def test_one_update_is_the_running_mean_of_the_choosers() -> None:
    quantizer = _with_codes([[0.0], [10.0]], decay=0.9).train()
    quantizer(torch.tensor([[[1.0], [2.0], [9.0]]]))
    # Counts 0.9 + 0.1 * (2, 1), sums 0.9 * (0, 10) + 0.1 * (3, 9).
    torch.testing.assert_close(quantizer.ema_count, torch.tensor([1.1, 1.0]))
    torch.testing.assert_close(quantizer.codebook, torch.tensor([[0.3 / 1.1], [9.9]]), atol=1e-4, rtol=1e-4)


def test_codebook_follows_its_data() -> None:
    quantizer = VectorQuantizer(32, 4, decay=0.9, patience=5).train()
    batches = [_random(2, 100, 4, seed=i) for i in range(30)]
    shifted = [5 + 2 * batch for batch in batches]
    quantizer(batches[0])
    lost = quantizer(shifted[0]).codebook_loss.item()
    for batch in shifted:
        loss = quantizer(batch).codebook_loss.item()
    assert loss < 0.1 * lost
    assert quantizer.window_perplexity() > 16
    assert quantizer.used_share() == 1.0


def test_used_share_counts_codes_chosen_within_the_window() -> None:
    quantizer = _with_codes([[0.0], [10.0], [20.0], [30.0]], patience=3).train()
    for value in (20.0, 0.0, 10.0, 0.0):
        quantizer(torch.tensor([[[value]]]))
    # The last three batches chose the first two codes.
    assert quantizer.used_share() == 0.5


def test_dead_codes_move_to_vectors_of_the_batch_and_are_used_again() -> None:
    quantizer = _with_codes([[0.0, 0.0], [500.0, 500.0], [-500.0, 0.0]], patience=4).train()
    batch = _random(1, 60, 2)
    for _ in range(3):
        quantizer(batch)
    assert quantizer.codebook[1:].abs().max().item() == pytest.approx(500, rel=1e-3)
    quantizer(batch)
    assert quantizer.used_share() == pytest.approx(1 / 3)
    assert (torch.cdist(quantizer.codebook[1:], batch[0]).min(1).values == 0).all()
    quantizer(batch)
    assert quantizer.used_share() == 1.0


def test_resumed_learning_equals_uninterrupted_learning() -> None:
    batches = [_random(1, 20, 3, seed=i) * (1 + i) for i in range(12)]
    whole, first = (VectorQuantizer(30, 3, patience=3).train() for _ in range(2))
    for batch in batches:
        whole(batch)
    for batch in batches[:5]:
        first(batch)
    second = VectorQuantizer(30, 3, patience=3).train()
    second.load_state_dict(first.state_dict())
    for batch in batches[5:]:
        second(batch)
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in second.state_dict().items())


def test_search_is_done_in_float32_under_autocast() -> None:
    quantizer = _with_codes([[1.0, 0.010], [1.0, 0.012], [1.0, 0.014]])
    vectors = torch.tensor([[[1.0, 0.0121], [1.0, 0.0139], [1.0, 0.0099]]])
    with torch.autocast("cpu", torch.bfloat16):
        found = quantizer(vectors)
    assert found.indices.tolist() == [[1, 2, 0]]
    assert found.commitment_loss.dtype == torch.float32
    assert quantizer(vectors.bfloat16()).vectors.dtype == torch.bfloat16


_PROCESS = """
import sys
import numpy, torch
from torch import distributed
from timbrel.models.quantizer import VectorQuantizer

rank, folder = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
quantizer = VectorQuantizer(24, 3, patience=3).train()
for batch in numpy.load(f"{folder}/batches.npy"):
    quantizer(torch.from_numpy(batch[rank]))
numpy.savez(f"{folder}/{rank}.npz", **{k: v.numpy() for k, v in quantizer.state_dict().items()})
distributed.destroy_process_group()
"""


def test_two_processes_learn_what_one_learns_from_the_joint_batch(tmp_path: Path) -> None:
    batches = torch.stack([_random(2, 1, 16, 3, seed=i) * (1 + i) for i in range(8)])
    np.save(tmp_path / "batches.npy", batches.numpy())
    command = [sys.executable, "-c", _PROCESS]
    running = [subprocess.Popen([*command, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]

    alone = VectorQuantizer(24, 3, patience=3).train()
    moved = 0
    for batch in batches:
        alone(batch.flatten(0, 1))
        moved += int(((alone.idle > 0) & (alone.idle % 3 == 0)).sum())
    assert moved > 0, "the case must include revived codes"
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as state:
            for name, value in alone.state_dict().items():
                np.testing.assert_allclose(state[name], value.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)
