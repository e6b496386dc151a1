"""The discriminator of voices: what it learns to accept, what it refuses, and where its gradients go."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from timbrel.train.voice_adversary import Lineup, VoiceAdversary

#: Values of a frame, and of a speaker's vector.
FRAME, VECTOR = 12, 6
#: What the frames of eight people are about.
PEOPLE = torch.randn(8, FRAME, generator=torch.Generator().manual_seed(99))


@pytest.fixture
def adversary() -> VoiceAdversary:
    torch.manual_seed(0)
    return VoiceAdversary(FRAME, VECTOR, width=16)


def frames(people: Tensor, seed: int, tint: float = 0.0) -> Tensor:
    """(N, 20, 12), which differ from person to person by an offset, with noise; made speech has a tint."""
    noise = torch.randn(len(people), 20, FRAME, generator=torch.Generator().manual_seed(seed))
    heard = PEOPLE[people][:, None] + 0.3 * noise
    heard[..., 0] += tint
    return heard


def vectors(people: Tensor) -> Tensor:
    return torch.nn.functional.normalize(PEOPLE[people][:, :VECTOR], dim=-1)


def lineup(seed: int, tint: float) -> Lineup:
    people, voices = torch.arange(6), torch.tensor([1, 2, 3, 4, 5, 0])
    made = frames(people[voices], seed + 1, tint)
    return Lineup(frames(people, seed), made, vectors(people), voices, people)


def train(adversary: VoiceAdversary, tint: float) -> None:
    optimizer = torch.optim.Adam(adversary.parameters(), 5e-3)
    for step in range(100):
        optimizer.zero_grad()
        adversary.tell_apart(lineup(2 * step, tint)).backward()
        optimizer.step()


def scores(adversary: VoiceAdversary, heard: Tensor) -> Tensor:
    """Of the frames of six people, each with the voice of each."""
    with torch.no_grad():
        known = adversary.know(vectors(torch.arange(6)))
        return adversary(adversary.listen(heard), known).mean(dim=-1)


def test_it_learns_to_accept_a_persons_recordings_and_to_refuse_anothers_and_what_was_made(
    adversary: VoiceAdversary,
) -> None:
    train(adversary, tint=2.0)
    people = torch.arange(6)
    real = scores(adversary, frames(people, 1001))
    wrong = real[~torch.eye(6, dtype=torch.bool)]
    made = scores(adversary, frames(people, 1003, tint=2.0)).diagonal()
    assert real.diagonal().min() > 0.6
    assert wrong.max() < 0.4
    assert made.max() < 0.4


def test_losses_are_those_of_least_squares(
    adversary: VoiceAdversary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Score 1 for the right recording, by hand: two people, the second heard twice."""
    table = torch.tensor([[0.9, 0.2, 0.4], [0.1, 0.8, 0.5], [0.3, 0.6, 0.7]])
    made = torch.tensor([[0.0, 0.3, 0.0]])
    answers = [table[..., None].expand(3, 3, 2), made[..., None].expand(1, 3, 2)]
    monkeypatch.setattr(adversary, "forward", lambda sounds, voices: answers[0 if len(sounds) == 3 else 1])
    people = torch.tensor([0, 1, 1])
    rows = Lineup(
        frames(people, 1), frames(people[1:2], 3), vectors(people), voices=torch.tensor([1]), speakers=people
    )
    own = (0.1**2 + 0.2**2 + 0.3**2) / 3
    others = (0.2**2 + 0.4**2 + 0.1**2 + 0.3**2) / 4
    assert float(adversary.tell_apart(rows)) == pytest.approx(own + 0.5 * others + 0.3**2)
    assert float(adversary.deceive(rows)) == pytest.approx(0.7**2)


def test_each_loss_reaches_only_its_own_side(adversary: VoiceAdversary) -> None:
    rows = lineup(0, 1.0)
    rows.made.requires_grad_()
    adversary.tell_apart(rows).backward()
    assert rows.made.grad is None
    assert all(parameter.grad is not None for parameter in adversary.parameters())
    adversary.zero_grad(set_to_none=True)
    adversary.deceive(rows).backward()
    assert rows.made.grad is not None
    assert all(parameter.grad is None for parameter in adversary.parameters())
    assert all(parameter.requires_grad for parameter in adversary.parameters())


def test_a_batch_of_one_person_has_no_others_and_still_a_loss(adversary: VoiceAdversary) -> None:
    people = torch.tensor([3, 3])
    voices = torch.tensor([0, 1])
    rows = Lineup(frames(people, 1), frames(people, 3), vectors(people), voices, speakers=people)
    assert torch.isfinite(adversary.tell_apart(rows))
