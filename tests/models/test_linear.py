"""LinearVC's maps against numpy's least squares, and its factorisation against the paper's formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from timbrel.errors import ConfigError
from timbrel.models import linear
from timbrel.models.linear import Linear, LinearConfig, fit

DIM = 10


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def factorised(source: Tensor, target: Tensor, rank: int) -> np.ndarray:
    """The paper's: singular vectors of the frames side by side, then pinv(A_x) A_y."""
    both = np.concatenate([source.double().numpy(), target.double().numpy()], axis=1)
    right = np.linalg.svd(both, full_matrices=False)[2][:rank]
    return np.asarray(np.linalg.pinv(right[:, :DIM]) @ right[:, DIM:])


def test_a_known_map_is_recovered() -> None:
    source, known = random(200, DIM), random(DIM, DIM, seed=1)
    torch.testing.assert_close(fit(source, source @ known), known, atol=1e-4, rtol=0)


@pytest.mark.parametrize("frames", [200, DIM, 6])
def test_least_squares_are_numpys(frames: int) -> None:
    source, target = random(frames, DIM), random(frames, DIM, seed=1)
    # Fewer frames than values leave it open; numpy gives the smallest map, too.
    expected = np.linalg.lstsq(source.double().numpy(), target.double().numpy(), rcond=None)[0]
    np.testing.assert_allclose(fit(source, target).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_the_factorisation_is_the_papers(rank: int) -> None:
    source = random(300, DIM)
    target = source @ random(DIM, DIM, seed=1) + 0.3 * random(300, DIM, seed=2)
    found = fit(source, target, rank)
    np.testing.assert_allclose(found.numpy(), factorised(source, target, rank), atol=1e-4)
    assert torch.linalg.matrix_rank(found.double(), rtol=1e-5) == rank


def test_a_shared_content_of_low_rank_is_found() -> None:
    content, mine, yours = random(300, 4), random(4, DIM, seed=1), random(4, DIM, seed=2)
    found = fit(content @ mine, content @ yours, rank=4)
    new = random(50, 4, seed=3)
    torch.testing.assert_close(new @ mine @ found, new @ yours, atol=1e-3, rtol=0)


def test_blocks_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = random(100, DIM), random(100, DIM, seed=1)
    whole = fit(source, target)
    monkeypatch.setattr(linear, "QUERIES", 7)
    torch.testing.assert_close(fit(source, target), whole, atol=1e-6, rtol=0)


def test_a_voice_that_is_turned_is_learned_from_unpaired_frames() -> None:
    source = random(400, DIM)
    # A small rotation of two values: the nearest frame of the other voice is the same sound.
    turn = torch.eye(DIM)
    turn[:2, :2] = torch.tensor([[0.995, 0.0998], [-0.0998, 0.995]])
    shuffled = (source @ turn)[torch.randperm(400, generator=torch.Generator().manual_seed(5))]
    model = Linear(LinearConfig())
    new = random(50, DIM, seed=3)
    torch.testing.assert_close(
        model(new, model.learn(source.half(), shuffled.half())), new @ turn, atol=0.02, rtol=0
    )


def test_it_learns_from_the_first_frames() -> None:
    source, matching = random(100, DIM), random(60, DIM, seed=1)
    model = Linear(LinearConfig(frames=40))
    assert torch.equal(model.learn(source, matching), model.learn(source[:40], matching))


def test_a_rank_beyond_the_frame_is_no_bottleneck() -> None:
    source, target = random(100, DIM), random(100, DIM, seed=1)
    assert torch.equal(fit(source, target, rank=100), fit(source, target))


@pytest.mark.parametrize(
    "sizes", [{"rank": -1}, {"neighbours": 0}, {"frames": 0}], ids=["rank", "neighbours", "frames"]
)
def test_impossible_sizes_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(sizes))):
        LinearConfig(**sizes)
