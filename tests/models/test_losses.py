"""Losses by hand, and none of them broadcasts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from timbrel.models.discriminators import Judgement
from timbrel.models.losses import (
    MultiResolutionSTFT,
    discriminator_adversarial,
    feature_matching,
    generator_adversarial,
    joint_discriminator,
    joint_feature_matching,
    joint_generator,
    l1,
    mel_l1,
)


def _judge(*scores: list[float], features: tuple[Tensor, ...] = ()) -> Judgement:
    return Judgement(tuple(torch.tensor([score]) for score in scores), features)


def test_least_squares_losses_by_hand() -> None:
    real, generated = _judge([1.0, 0.0], [0.5]), _judge([0.0, 2.0], [1.0])
    # Mean of (1, 1) and (0).
    assert generator_adversarial(generated).item() == pytest.approx(1.0)
    # Real: mean(0, 1) + 0.25; generated: mean(0, 4) + 1.
    assert discriminator_adversarial(real, generated).item() == pytest.approx(0.5 + 0.25 + 2.0 + 1.0)


def test_feature_matching_sums_layers_and_leaves_the_real_side_alone() -> None:
    real = torch.tensor([1.0, 2.0], requires_grad=True)
    generated = torch.tensor([2.0, 0.0], requires_grad=True)
    loss = feature_matching(_judge(features=(real, real)), _judge(features=(generated, generated)))
    assert loss.item() == pytest.approx(2 * 1.5)
    torch.autograd.backward(loss)
    assert real.grad is None
    assert generated.grad is not None


def test_joint_losses_by_hand() -> None:
    # Two discriminators, each with a score of the waveform alone and one of waveform and mel.
    real = [_judge([1.0, 0.0], [0.5, 0.5]), _judge([1.0], [1.0])]
    generated = [_judge([0.0, 0.0], [1.0, 0.5]), _judge([2.0], [0.0])]
    # First: half of mean(1, 1) and mean(0, 1/4); second: half of 1 and 1.
    assert joint_generator(generated).item() == pytest.approx((1 + 0.125) / 2 + (1 + 1) / 2)
    # First: real mean(0, 1) + 1/4, generated 0 + mean(1, 1/4); second: real 0 + 0, generated 4 + 0.
    expected = (0.5 + 0.25 + 0 + 0.625) / 2 + 4 / 2
    assert joint_discriminator(real, generated).item() == pytest.approx(expected)


def test_joint_feature_matching_is_the_mean_over_discriminators() -> None:
    zero, one = torch.zeros(2), torch.ones(2)
    real = [_judge(features=(zero, zero)), _judge(features=(zero,))]
    generated = [_judge(features=(one, 3 * one)), _judge(features=(one,))]
    assert joint_feature_matching(real, generated).item() == pytest.approx(((1 + 3) + 1) / 2)


def test_mel_l1_compares_in_the_domain_of_the_front_end() -> None:
    def front_end(audio: Tensor) -> Tensor:
        return audio.view(1, -1, 2).sum(2)

    generated, real = torch.tensor([[1.0, -1.0, 3.0, 0.0]]), torch.zeros(1, 4)
    assert mel_l1(front_end, generated, real).item() == pytest.approx(1.5)


def test_stft_loss_is_zero_for_equal_audio_and_known_for_half_the_level() -> None:
    audio = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    loss = MultiResolutionSTFT()
    assert loss(audio, audio).item() == 0
    # Half the amplitude: convergence 1/2, and every log magnitude ln 2 lower.
    assert loss(audio / 2, audio).item() == pytest.approx(0.5 + 0.6931, abs=1e-3)


def test_stft_loss_in_silence_has_finite_gradients() -> None:
    audio = torch.zeros(1, 4000, requires_grad=True)
    MultiResolutionSTFT()(audio, torch.zeros(1, 4000)).backward()
    assert audio.grad is not None
    assert audio.grad.isfinite().all()


BROADCASTABLE: dict[str, Callable[[], Tensor]] = {
    "l1": lambda: l1(torch.zeros(2, 5, 3), torch.zeros(2, 1, 5, 3)),
    "mel_l1": lambda: mel_l1(lambda audio: audio, torch.zeros(2, 100), torch.zeros(1, 100)),
    "front end": lambda: mel_l1(lambda a: a.sum(0) if a.any() else a, torch.ones(1, 9), torch.zeros(1, 9)),
    "feature_matching": lambda: feature_matching(
        _judge(features=(torch.zeros(2, 4),)), _judge(features=(torch.zeros(1, 4),))
    ),
    "feature count": lambda: feature_matching(_judge(features=(torch.zeros(2),)), _judge()),
    "scores": lambda: discriminator_adversarial(_judge([0.0]), _judge([0.0, 1.0])),
    "score count": lambda: discriminator_adversarial(_judge([0.0]), _judge([0.0], [0.0])),
    "joint scores": lambda: joint_discriminator([_judge([0.0])], [_judge([0.0, 1.0])]),
    "joint features": lambda: joint_feature_matching(
        [_judge(features=(torch.zeros(2),))], [_judge(features=(torch.zeros(1),))]
    ),
    "stft": lambda: MultiResolutionSTFT()(torch.zeros(2, 4000), torch.zeros(1, 4000)),
}


@pytest.mark.parametrize("name", BROADCASTABLE)
def test_no_loss_broadcasts(name: str) -> None:
    with pytest.raises(ValueError, match="A loss needs equal"):
        BROADCASTABLE[name]()
