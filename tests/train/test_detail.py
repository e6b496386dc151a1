"""Directions of frames that a disguise leaves alone: on frames made of known parts."""

from __future__ import annotations

import pytest
import torch

from timbrel.train.detail import SteadyDirections

WIDTH = 8


def made(
    pieces: int, generator: torch.Generator, size: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Clean and disguised frames: values 0 and 1 say what is said, 2 and 3 are what a disguise changes, 4 is
    the speaker, the rest is a little noise that a disguise draws anew."""
    frames = 0.05 * torch.randn(pieces, 50, WIDTH, generator=generator)
    disguised = 0.05 * torch.randn(pieces, 50, WIDTH, generator=generator)
    said = torch.randn(pieces, 50, 2, generator=generator) * torch.tensor([3.0, 1.0])
    for part in (frames, disguised):
        part[..., :2] += said
        part[..., 2:4] += 2 * torch.randn(pieces, 50, 2, generator=generator)
        part[..., 4] += 5 * torch.randn(pieces, 1, generator=generator)
    disguised[..., 4] = frames[..., 4]
    return size * frames + 1.0, size * disguised + 1.0, torch.ones(pieces, 50, dtype=torch.bool)


@pytest.mark.parametrize("size", [1.0, 1e-3])
def test_what_a_disguise_or_the_speaker_moves_is_left_out(size: float) -> None:
    generator = torch.Generator().manual_seed(0)
    steady = SteadyDirections(WIDTH)
    for _ in range(20):
        steady.observe(*made(12, generator, size))
    mean, found = steady.find(2)
    fresh, other, _ = made(200, generator, size)
    values, moved = (fresh - mean) @ found, (other - mean) @ found
    flat = values.flatten(0, 1)
    torch.testing.assert_close(flat.std(dim=0), torch.ones(2), atol=0.1, rtol=0)
    torch.testing.assert_close(flat.mean(dim=0), torch.zeros(2), atol=0.3, rtol=0)
    # Both values that are said are found, in any mixture, and next to nothing else.
    assert (values - moved).square().mean() < 0.02
    steps = found / found.norm(dim=0)
    assert steps[:2].norm(dim=0).min() > 0.99


def test_frames_that_do_not_count_do_not_matter() -> None:
    generator = torch.Generator().manual_seed(1)
    clean, disguised, mask = made(6, generator)
    steady, same = SteadyDirections(WIDTH), SteadyDirections(WIDTH)
    steady.observe(clean[:, :30], disguised[:, :30], mask[:, :30])
    clean[:, 30:], disguised[:, 30:], mask[:, 30:] = 1e3, -1e3, False
    same.observe(clean, disguised, mask)
    for one, two in zip(steady.find(3), same.find(3), strict=True):
        torch.testing.assert_close(one, two)


def test_it_goes_on_from_its_buffers() -> None:
    generator = torch.Generator().manual_seed(2)
    batches = [made(4, generator) for _ in range(4)]
    whole, part = SteadyDirections(WIDTH), SteadyDirections(WIDTH)
    for batch in batches:
        whole.observe(*batch)
    for batch in batches[:2]:
        part.observe(*batch)
    resumed = SteadyDirections(WIDTH)
    resumed.load_state_dict(part.state_dict())
    for batch in batches[2:]:
        resumed.observe(*batch)
    assert all(torch.equal(one, two) for one, two in zip(whole.find(2), resumed.find(2), strict=True))
