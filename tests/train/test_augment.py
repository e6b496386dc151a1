"""Each perturbation does what it says: pitches, levels, decay times and formants are measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from timbrel.audio.mel import PRESETS, MelSpectrogram
from timbrel.train.augment import (
    Perturbation,
    add_noise,
    amplify,
    change_speed,
    draw_speeds,
    equaliser,
    perturb_mel,
    perturb_waveform,
    repeat,
    reverberate,
    warp_formants,
)

RATE = 16000
SPEC = PRESETS["timbrel-16k"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tone(frequency: float, seconds: float = 1.0) -> torch.Tensor:
    time = torch.arange(round(seconds * RATE)) / RATE
    return 0.3 * torch.sin(2 * math.pi * frequency * time)


def peak_hz(samples: torch.Tensor) -> float:
    spectrum = torch.fft.rfft(samples * torch.hann_window(len(samples))).abs()
    return float(spectrum.argmax()) * RATE / len(samples)


def rms_db(samples: torch.Tensor) -> torch.Tensor:
    return 10 * torch.log10(samples.square().mean(dim=-1))


def test_a_faster_clip_is_higher_and_shorter() -> None:
    audio = torch.stack([tone(400.0), tone(400.0), tone(400.0)])
    changed = change_speed(audio, torch.tensor([1.25, 0.8, 1.0]), RATE, 16000)
    assert changed.shape == (3, 16000)
    assert peak_hz(changed[0, 2000:10000]) == pytest.approx(500, abs=3)
    assert peak_hz(changed[1, 2000:10000]) == pytest.approx(320, abs=3)
    assert torch.equal(changed[2], audio[2])
    assert changed[0, 12800:].abs().max() == 0
    assert changed[0, 12000:12700].abs().max() > 0.2


def test_speeds_are_drawn_for_a_share_of_clips_and_within_their_range() -> None:
    speeds = draw_speeds(4000, Perturbation(speed=(0.8, 1.25), speed_share=0.7), generator())
    changed = speeds[speeds != 1.0]
    # Three standard deviations of 4000 draws with probability 0.7 are 0.022.
    assert len(changed) / 4000 == pytest.approx(0.7, abs=0.022)
    assert 0.8 <= float(changed.min()) < 0.82
    assert 1.22 < float(changed.max()) <= 1.25
    # Evenly on the logarithmic scale, on which the range is symmetrical.
    assert float(changed.log().mean()) == pytest.approx(0.0, abs=0.01)


def test_amplify_is_in_decibels() -> None:
    audio = torch.stack([tone(300.0), tone(300.0)])
    change = rms_db(amplify(audio, torch.tensor([6.0, -12.0]))) - rms_db(audio)
    torch.testing.assert_close(change, torch.tensor([6.0, -12.0]), atol=1e-4, rtol=0)


def test_repeat_goes_round() -> None:
    audio = torch.tensor([[1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0]])
    assert repeat(audio, torch.tensor([3])).tolist() == [[1, 2, 3, 1, 2, 3, 1]]


@pytest.mark.parametrize("snr_db", [0.0, 20.0, 40.0])
def test_noise_has_the_ratio_asked_for(snr_db: float) -> None:
    audio = torch.stack([tone(300.0), 0.1 * tone(700.0)])
    noisy = add_noise(audio, torch.full((2,), snr_db), torch.tensor([0.0, 1.0]), generator())
    measured = rms_db(audio) - rms_db(noisy - audio)
    torch.testing.assert_close(measured, torch.full((2,), snr_db), atol=0.05, rtol=0)


@pytest.mark.parametrize(("colour", "per_octave"), [(0.0, 0.0), (0.5, -3.01), (1.0, -6.02)])
def test_the_colour_of_noise_is_its_slope(colour: float, per_octave: float) -> None:
    silence = torch.full((1, 8 * RATE), 1e-3)
    noise = (add_noise(silence, torch.zeros(1), torch.full((1,), colour), generator()) - silence)[0]
    power = torch.fft.rfft(noise).abs().square()
    octaves = [10 * math.log10(float(power[8 * f : 16 * f].mean())) for f in (500, 1000, 2000)]
    slopes = np.diff(octaves)
    np.testing.assert_allclose(slopes, per_octave, atol=0.35)


def test_a_rooms_echo_decays_by_sixty_decibels_in_its_time() -> None:
    click = torch.zeros(1, RATE // 2)
    click[0, 100] = 1.0
    heard = reverberate(click, RATE, torch.tensor([0.15]), torch.tensor([0.1]), generator())[0]
    assert float(heard[100]) == pytest.approx(1.0, abs=1e-5)
    assert float(heard[:100].abs().max()) < 1e-5
    early, late = rms_db(heard[101:581]), rms_db(heard[101 + 1200 : 581 + 1200])
    # 1200 samples are 75 ms, half of the decay time.
    assert float(early - late) == pytest.approx(30.0, abs=1.5)
    assert float(heard[100 + 3200 :].abs().max()) < 1e-5


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.2])
@pytest.mark.parametrize("formant", [500.0, 1500.0, 3500.0])
def test_a_warp_moves_a_formant_by_its_factor(formant: float, factor: float) -> None:
    frequencies = np.fft.rfftfreq(4096, 1 / RATE)
    envelope = np.exp(-0.5 * ((frequencies - formant) / 150) ** 2) + 1e-3
    # A sound with that envelope: its phases are random, its amplitudes are not.
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, len(frequencies))
    sound = np.fft.irfft(envelope * np.exp(1j * phases))
    mel = MelSpectrogram(SPEC)(torch.from_numpy(np.tile(sound, 4)).float()[None])
    warped = warp_formants(mel, SPEC, torch.tensor([factor]))
    assert warped.shape == mel.shape
    before, after = (_centre(one.mean(dim=1)[0]) for one in (mel, warped))
    assert after / before == pytest.approx(factor, rel=0.025)


def _centre(log_mel: torch.Tensor) -> float:
    """Hz of the middle of the peak: the mean of the bands within 20 dB of the loudest, by amplitude."""
    import librosa

    hertz = librosa.mel_frequencies(82, fmin=0, fmax=8000)[1:-1]
    amplitude = np.exp(log_mel.numpy())
    amplitude[amplitude < 0.1 * amplitude.max()] = 0
    return float((hertz * amplitude).sum() / amplitude.sum())


def test_a_warp_of_one_changes_nothing_and_the_top_stays() -> None:
    mel = torch.randn(2, 5, 80, generator=generator())
    torch.testing.assert_close(warp_formants(mel, SPEC, torch.ones(2)), mel, atol=1e-4, rtol=0)
    rising = torch.arange(80.0).expand(1, 3, 80)
    for factor in (0.8, 1.25):
        warped = warp_formants(rising, SPEC, torch.tensor([factor]))
        # The middle of the last band lies a little below the top.
        assert float(warped[0, 0, -1]) == pytest.approx(79.0, abs=1.0)
        assert (warped.diff(dim=-1) >= 0).all()


def test_an_equaliser_is_smooth_and_as_deep_as_asked() -> None:
    curves = equaliser(4000, 80, 6.0, generator()) * 20 / math.log(10)
    assert curves.shape == (4000, 80)
    assert float(curves[:, 0].std()) == pytest.approx(6.0, rel=0.05)
    assert float(curves.mean()) == pytest.approx(0.0, abs=0.15)
    # Eight points over 80 bands: one step is a small part of the way between two points.
    assert float(curves.diff(dim=1).abs().max()) < 6.0


def test_what_is_drawn_together_is_what_the_ranges_say() -> None:
    audio = torch.stack([tone(250.0)] * 200)
    changed = perturb_waveform(audio, RATE, Perturbation(gain_db=(-12.0, 6.0)), generator())
    gains = rms_db(changed) - rms_db(audio)
    assert -12.01 <= float(gains.min()) < -11
    assert 5 < float(gains.max()) <= 6.01
    noisy = perturb_waveform(audio, RATE, Perturbation(snr_db=(10.0, 30.0)), generator())
    ratios = rms_db(audio) - rms_db(noisy - audio)
    assert 9.8 <= float(ratios.min()) < 11
    assert 29 < float(ratios.max()) <= 30.2
    roomy = perturb_waveform(audio[:6], RATE, Perturbation(room_share=1.0), generator())
    assert [bool((a - b).abs().max() > 1e-3) for a, b in zip(roomy, audio[:6], strict=True)] == (
        [True, True, False, False, False, False]
    )


def test_the_defaults_change_nothing_and_the_same_seed_draws_the_same() -> None:
    audio, nothing = torch.stack([tone(250.0)] * 3), Perturbation()
    assert torch.equal(perturb_waveform(audio, RATE, nothing, generator()), audio)
    mel = MelSpectrogram(SPEC)(audio)
    assert torch.equal(perturb_mel(mel, SPEC, nothing, generator()), mel)
    assert torch.equal(draw_speeds(3, nothing, generator()), torch.ones(3))
    ranges = Perturbation(gain_db=(-3.0, 3.0), snr_db=(10.0, 20.0), warp=0.1, equaliser_db=3.0)
    one, two, other = (perturb_waveform(audio, RATE, ranges, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    perturbed = perturb_mel(mel, SPEC, ranges, generator())
    assert float(perturbed.min()) >= math.log(1e-5) - 1e-5
    assert not torch.equal(perturbed, mel)
