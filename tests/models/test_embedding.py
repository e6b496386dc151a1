"""From audio to a voice's vector, whatever the encoder listens to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import soxr
import torch
from torch import Tensor, nn

from timbrel.audio.mel import PRESETS, MelSpectrogram
from timbrel.contract import EmbeddingSpec, FeatureSpec
from timbrel.errors import ContractError
from timbrel.models.embedding import embed_audio, window_starts

WAVEFORM = FeatureSpec("waveform", 16000, hop=1, dim=1)


@dataclass
class Ear:
    """An encoder whose vector tells what it heard, mean and number of frames; it keeps what it was given."""

    spec_in: FeatureSpec
    window: int | None = None
    unit: bool = False
    least_dbfs: float | None = None
    heard: list[Tensor] = field(default_factory=list)

    @property
    def spec_out(self) -> EmbeddingSpec:
        return EmbeddingSpec("", 2, self.unit, self.spec_in)

    def __call__(self, features: Tensor) -> Tensor:
        self.heard.append(features)
        means = features.mean(dim=(1, 2))
        return torch.stack([means, torch.full_like(means, features.shape[1])], dim=-1)


def noise(*shape: int) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_a_waveform_encoder_hears_the_samples() -> None:
    ear, audio = Ear(WAVEFORM), noise(2, 700)
    embed_audio(ear, audio, 16000)
    assert torch.equal(ear.heard[0], audio[..., None])


def test_soft_recordings_are_raised_to_the_level_an_encoder_asks_for() -> None:
    ear, audio = (
        Ear(WAVEFORM, least_dbfs=-30.0),
        torch.stack([noise(700), 1e-3 * noise(700), torch.zeros(700)]),
    )
    embed_audio(ear, audio, 16000)
    loud, soft, silent = ear.heard[0][..., 0]
    assert torch.equal(loud, audio[0])
    assert 20 * soft.square().mean().sqrt().log10() == pytest.approx(-30.0, abs=0.01)
    torch.testing.assert_close(soft / soft[0], audio[1] / audio[1, 0])
    assert torch.equal(silent, audio[2])


def test_a_mel_encoder_hears_the_mel_of_its_contract() -> None:
    spec, audio = PRESETS["tacotron-22k"], noise(2, 9000)
    ear = Ear(spec)
    embed_audio(ear, audio, 22050)
    torch.testing.assert_close(ear.heard[0], MelSpectrogram(spec)(audio))


def test_other_rates_are_resampled_and_overshoot_is_clipped() -> None:
    ear, audio = Ear(WAVEFORM), torch.sign(noise(2, 48000))
    embed_audio(ear, audio, 48000)
    expected = [soxr.resample(row, 48000, 16000, quality="HQ") for row in audio.numpy()]
    assert max(np.abs(row).max() for row in expected) > 1
    np.testing.assert_allclose(ear.heard[0][..., 0].numpy(), np.clip(np.stack(expected), -1, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("frames", "starts"),
    [(8, [0]), (9, [0, 1]), (12, [0, 4]), (13, [0, 4, 5]), (17, [0, 4, 8, 9]), (3, [0])],
)
def test_windows_overlap_by_a_half_and_reach_the_end(frames: int, starts: list[int]) -> None:
    assert window_starts(frames, 8) == starts


def test_a_window_encoder_gives_the_mean_over_windows() -> None:
    ear, audio = Ear(WAVEFORM, window=400), noise(2, 1000)
    vectors = embed_audio(ear, audio, 16000)
    pieces = [audio[:, start : start + 400].mean(dim=1) for start in (0, 200, 400, 600)]
    torch.testing.assert_close(vectors[:, 0], torch.stack(pieces).mean(dim=0))
    assert vectors[:, 1].tolist() == [400.0, 400.0]
    united = embed_audio(Ear(WAVEFORM, window=400, unit=True), audio, 16000)
    torch.testing.assert_close(united, vectors / vectors.norm(dim=-1, keepdim=True))


def test_audio_shorter_than_a_window_is_heard_as_it_is() -> None:
    ear = Ear(WAVEFORM, window=400)
    assert embed_audio(ear, noise(1, 399), 16000)[0, 1] == 399
    assert len(ear.heard) == 1


def test_what_is_no_audio_is_refused() -> None:
    with pytest.raises(ValueError, match=r"waveforms \(B, L\)"):
        embed_audio(Ear(WAVEFORM), torch.zeros(700), 16000)
    with pytest.raises(ValueError, match="L > 0"):
        embed_audio(Ear(WAVEFORM), torch.zeros(1, 0), 16000)
    learned = FeatureSpec("learned", 16000, hop=320, dim=4, encoder="abcd")
    with pytest.raises(ContractError, match="learned by abcd"):
        embed_audio(Ear(learned), noise(1, 700), 16000)


def test_gradients_reach_the_encoder() -> None:
    class Learner(nn.Module):
        spec_in = PRESETS["autovc-16k"]
        spec_out = EmbeddingSpec("", 3, True, PRESETS["autovc-16k"])

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(80, 3))

        def forward(self, mel: Tensor) -> Tensor:
            return mel.mean(dim=1) @ self.weight

    learner = Learner()
    embed_audio(learner, noise(1, 4000), 16000).sum().backward()
    assert learner.weight.grad is not None
    assert learner.weight.grad.abs().sum() > 0
