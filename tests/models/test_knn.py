"""Nearest neighbours against the plain formula: all cosines at once, sorted, in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from timbrel.errors import ConfigError
from timbrel.models import knn
from timbrel.models.knn import KNN, KNNConfig, matched, nearest


def frames(count: int, seed: int, dim: int = 12) -> Tensor:
    """Frames of different lengths, as WavLM's are."""
    generator = torch.Generator().manual_seed(seed)
    lengths = 1 + 9 * torch.rand(count, 1, generator=generator)
    return lengths * torch.randn(count, dim, generator=generator)


def plainly(queries: Tensor, matching: Tensor, neighbours: int) -> np.ndarray:
    """Indices of the nearest by 1 - q.m / (|q| |m|), nearest first."""
    q, m = queries.double().numpy(), matching.double().numpy()
    distance = 1 - q @ m.T / (np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(m, axis=1))
    return np.argsort(distance, axis=1)[:, :neighbours]


@pytest.mark.parametrize("neighbours", [1, 4, 9])
def test_the_nearest_by_cosine(neighbours: int) -> None:
    queries, matching = frames(50, 0), frames(300, 1)
    expected = plainly(queries, matching, neighbours)
    assert np.array_equal(nearest(queries, matching, neighbours).numpy(), expected)
    mean = matching.numpy()[expected].mean(axis=1)
    model = KNN(KNNConfig(neighbours=neighbours))
    np.testing.assert_allclose(model(queries, matching).numpy(), mean, rtol=1e-5)


@pytest.mark.parametrize(("queries", "references"), [(7, 11), (1, 1), (50, 3), (64, 299)])
def test_blocks_give_what_the_whole_gives(
    monkeypatch: pytest.MonkeyPatch, queries: int, references: int
) -> None:
    given, matching = frames(50, 0), frames(300, 1)
    monkeypatch.setattr(knn, "QUERIES", queries)
    monkeypatch.setattr(knn, "REFERENCES", references)
    assert np.array_equal(nearest(given, matching, 4).numpy(), plainly(given, matching, 4))


def test_length_says_nothing() -> None:
    queries, matching = frames(20, 0), frames(100, 1)
    assert torch.equal(nearest(queries, matching, 4), nearest(0.01 * queries, matching, 4))
    longer = matching * torch.linspace(0.5, 20, 100)[:, None]
    assert torch.equal(nearest(queries, matching, 4), nearest(queries, longer, 4))


def test_half_precision_in_storage_changes_little() -> None:
    queries, matching = frames(50, 0), frames(300, 1)
    half = matched(queries.half(), matching.half(), 4)
    assert half.dtype == torch.float32
    assert (half - matched(queries, matching, 4)).abs().max() < 0.01 * matching.abs().max()


def test_fewer_references_than_neighbours_are_all_averaged() -> None:
    queries, matching = frames(5, 0), frames(3, 1)
    assert nearest(queries, matching, 4).shape == (5, 3)
    torch.testing.assert_close(matched(queries, matching, 4), matching.mean(dim=0).expand(5, -1))


def test_a_frame_of_zeros_is_like_none() -> None:
    matching = torch.cat([torch.zeros(1, 12), frames(4, 1)])
    found = nearest(frames(4, 1), matching, 1)
    assert found[:, 0].tolist() == [1, 2, 3, 4]


def test_an_empty_matching_set_is_refused() -> None:
    with pytest.raises(ValueError, match="matching set is empty"):
        nearest(frames(5, 0), torch.zeros(0, 12), 4)


def test_no_neighbours_are_refused() -> None:
    with pytest.raises(ConfigError, match="neighbours must be at least 1"):
        KNNConfig(neighbours=0)
