"""Distances of waveforms and their adversary."""

from __future__ import annotations

import math

import librosa
import numpy as np
import pytest
import torch

from timbrel.train.adversary import Adversary
from timbrel.train.spectral import SpectralDistance


def speechlike(seed: int) -> torch.Tensor:
    """Noise that falls with frequency, at about the level of speech, (2, 8000)."""
    steps = torch.randn(2, 8000, generator=torch.Generator().manual_seed(seed))
    walk = steps.cumsum(1)
    return 0.005 * (walk - walk.mean(dim=1, keepdim=True))


def test_equal_waveforms_have_no_distance_and_louder_ones_that_of_their_gain() -> None:
    distance, audio = SpectralDistance(16000), speechlike(0)
    assert [float(term) for term in distance(audio, audio)] == [0.0, 0.0]
    mel, spectra = distance(2 * audio, audio)
    # Twice as loud is ln 2 everywhere; the norm of the difference is that of the recording.
    assert float(mel) == pytest.approx(math.log(2), abs=0.03)
    assert float(spectra) == pytest.approx(math.log(2) + 0.5, abs=0.02)


def test_the_distances_are_those_of_librosas_spectrograms() -> None:
    one, two = speechlike(1), speechlike(2)
    mels, spectra = [], []
    for window, bands in ((256, 32), (512, 64), (1024, 96), (2048, 128)):
        made, real = (
            np.abs(librosa.stft(audio.numpy(), n_fft=window, hop_length=window // 4, pad_mode="constant"))
            for audio in (one, two)
        )
        bank = librosa.filters.mel(sr=16000, n_fft=window, n_mels=bands, fmin=0, fmax=8000)
        mels.append(np.abs(np.log(bank @ made + 1e-4) - np.log(bank @ real + 1e-4)).mean())
        if window > 256:
            convergence = np.linalg.norm(made - real) / np.linalg.norm(real)
            logs = np.abs(np.log(made + 1e-3) - np.log(real + 1e-3)).mean()
            spectra.append(logs + 0.5 * convergence)
    mel, spectral = SpectralDistance(16000)(one, two)
    assert float(mel) == pytest.approx(np.mean(mels), rel=1e-3)
    assert float(spectral) == pytest.approx(np.mean(spectra), rel=1e-3)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="equal shapes"):
        SpectralDistance(16000)(torch.zeros(1, 4000), torch.zeros(1, 4001))


def test_the_adversary_learns_to_tell_noise_from_a_tone() -> None:
    torch.manual_seed(0)
    adversary = Adversary(width=2)
    optimizer = torch.optim.Adam(adversary.parameters(), 1e-2)
    tone = 0.1 * torch.sin(torch.arange(2400) * 0.3).expand(2, -1)
    noise = 0.1 * torch.randn(2, 2400)
    losses = []
    for step in range(10):
        judges = adversary.choose(torch.Generator().manual_seed(step))
        assert len(judges) == 2
        loss, _ = adversary.tell_apart(judges, tone, noise)
        losses.append(float(loss.detach()))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.7 * losses[0]


def test_deceiving_changes_the_audio_and_not_the_judges() -> None:
    adversary = Adversary(width=2)
    judges = adversary.choose(torch.Generator())
    real, made = speechlike(0), speechlike(1)
    _, opinions = adversary.tell_apart(judges, real, made)
    made = torch.cat([made, speechlike(2)]).requires_grad_()
    adversarial, features = adversary.deceive(judges, opinions, made)
    (adversarial + features).backward()
    assert made.grad is not None
    assert all(row.abs().sum() > 0 for row in made.grad)
    assert all(parameter.grad is None for parameter in adversary.parameters())
    assert all(parameter.requires_grad for parameter in adversary.parameters())
    # Perfect imitations match, whatever is beside them.
    _, matching = adversary.deceive(judges, opinions, torch.cat([real, speechlike(3)]))
    assert float(matching.detach()) == pytest.approx(0.0, abs=1e-6)
