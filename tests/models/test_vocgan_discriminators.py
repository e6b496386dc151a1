"""VocGAN's discriminators: sizes, what each of them hears, and audio at coarser rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor

from timbrel.models.vocgan_discriminators import Downsample, HierarchicalDiscriminator, JointDiscriminator

DIVISORS = (16, 8, 4, 2, 1)
RATE = 22050


def tone(hertz: float, samples: int = 16384) -> Tensor:
    return torch.from_numpy(np.sin(2 * np.pi * hertz / RATE * np.arange(samples))).float()[None]


def level(audio: Tensor) -> float:
    """Decibels of the middle against a full sine."""
    inner = audio[:, audio.shape[1] // 8 : -audio.shape[1] // 8]
    return 10 * math.log10(2 * inner.square().mean().item() + 1e-20)


@pytest.mark.parametrize("divisor", [2, 4, 8, 16])
def test_a_coarser_rate_keeps_what_lies_below_its_nyquist_frequency_and_folds_nothing(divisor: int) -> None:
    down, nyquist = Downsample(divisor), RATE / 2 / divisor
    assert level(down(tone(0.5 * nyquist))) == pytest.approx(0, abs=0.01)
    assert level(down(tone(0.8 * nyquist))) == pytest.approx(0, abs=0.1)
    assert level(down(tone(1.2 * nyquist))) < -60
    # Every n-th sample as it is would have the tone at full level, at another pitch.
    assert level(tone(1.2 * nyquist)[:, ::divisor]) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("divisor", [2, 4, 16])
def test_the_low_pass_is_scipys_and_delays_nothing(divisor: int) -> None:
    audio = torch.randn(2, 4096, generator=torch.Generator().manual_seed(0))
    taps = signal.firwin(32 * divisor + 1, 1 / divisor, window=("kaiser", 8.0))
    padded = np.pad(audio.numpy().astype(np.float64), ((0, 0), (16 * divisor,) * 2), "reflect")
    expected = np.stack([np.convolve(row, taps, "valid")[::divisor] for row in padded])
    np.testing.assert_allclose(Downsample(divisor)(audio).numpy(), expected, atol=1e-6)
    assert Downsample(1)(audio) is audio


def test_the_size_of_one_discriminator_by_hand() -> None:
    counts = [
        1 * 16 * 15 + 16,  # the waveform
        16 // 4 * 64 * 41 + 64,  # a quarter of its rate, 4 groups
        64 // 16 * 128 * 21 + 128,  # an eighth, 16 groups
        128 * 128 * 5 + 128,
        128 * 1 * 3 + 1,  # score without the mel
        80 * 128 * 3 + 128,  # the mel
        256 * 128 * 5 + 128,
        128 * 1 * 3 + 1,  # score with it
    ]
    lengths = 16 + 64 + 128 + 128 + 1 + 128 + 128 + 1  # of weight norm
    judge = JointDiscriminator(80, 16)
    assert sum(parameter.numel() for parameter in judge.parameters()) == sum(counts) + lengths
    seven = HierarchicalDiscriminator(80, DIVISORS)
    assert sum(parameter.numel() for parameter in seven.parameters()) == 7 * (sum(counts) + lengths)


def small() -> HierarchicalDiscriminator:
    torch.manual_seed(0)
    return HierarchicalDiscriminator(6, DIVISORS, width=4)


def test_seven_discriminators_judge_five_rates() -> None:
    judges = small()
    waveforms = judges.resolutions(torch.randn(2, 4096))
    assert [one.shape[1] for one in waveforms] == [256, 512, 1024, 2048, 4096]
    judgements = judges(waveforms, torch.randn(2, 16, 6))
    # Of the waveform at a half and a quarter of the full rate as well; each counts in eighths.
    expected = [32, 64, 128, 256, 512, 256, 128]
    assert [[score.shape for score in one.scores] for one in judgements] == [[(2, n)] * 2 for n in expected]
    assert [len(one.features) for one in judgements] == [5] * 7


def test_only_the_second_score_hears_the_mel_and_both_hear_the_audio() -> None:
    judge = JointDiscriminator(6, 4)
    audio, mel = torch.randn(1, 512, requires_grad=True), torch.randn(1, 4, 6, requires_grad=True)
    unconditional, conditional = judge(audio, mel).scores
    for score, heard in ((unconditional, False), (conditional, True)):
        gradients = torch.autograd.grad(score.sum(), (audio, mel), retain_graph=True, allow_unused=True)
        assert gradients[0] is not None
        assert gradients[0].abs().max() > 0
        assert (gradients[1] is not None) == heard


def test_mel_and_audio_meet_at_the_same_time() -> None:
    """A frame's score depends on that frame of the mel, and on no frame further away than the kernels."""
    judge = JointDiscriminator(6, 4).double()
    mel = torch.randn(1, 32, 6, dtype=torch.float64, requires_grad=True)
    score = judge(torch.randn(1, 32 * 256, dtype=torch.float64), mel).scores[1]
    # Each frame of 256 samples has 32 scores. These of frame 20 stand 16 steps from its edges.
    (gradient,) = torch.autograd.grad(score[0, 20 * 32 + 16], mel)
    touched = gradient[0].abs().sum(1).nonzero()[:, 0].tolist()
    # Kernels 5 and 3 at the rate of the audio stay in the frame; kernel 3 of the mel takes its neighbours.
    assert touched == [19, 20, 21]


def test_the_coarser_discriminators_hear_the_side_outputs_and_not_the_last_waveform() -> None:
    judges = small()
    waveforms = [one.requires_grad_() for one in judges.resolutions(torch.randn(1, 4096))]
    judgements = judges(waveforms, torch.randn(1, 16, 6))
    for index, judgement in enumerate(judgements):
        total = torch.stack([score.sum() for score in judgement.scores]).sum()
        heard = torch.autograd.grad(total, waveforms, retain_graph=True, allow_unused=True)
        assert [one is not None for one in heard] == [place == min(index, 4) for place in range(5)]
