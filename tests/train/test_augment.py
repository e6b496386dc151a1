"""Each perturbation does what it says: pitches, levels, decay times and formants are measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from timbrel.train.augment import (
    Perturbation,
    add_noise,
    amplify,
    another_person,
    change_speed,
    disguise,
    draw_speeds,
    equaliser,
    perturb_waveform,
    recolour,
    repeat,
    reverberate,
    spectral_envelope,
)

RATE = 16000
FLAT = torch.zeros(1, 257)


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
    assert repeat(audio, torch.tensor([2]), 3).tolist() == [[1, 2, 1]]


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


def vowel(formant: float, pitch: float = 100.0) -> torch.Tensor:
    """Harmonics of `pitch` under one formant, 800 Hz wide, 17 dB above the rest; a second, (1, L)."""
    time = torch.arange(RATE) / RATE
    number = torch.arange(1, int(8000 / pitch))
    amplitude = torch.exp(-0.5 * ((number * pitch - formant) / 400) ** 2) + 0.15
    phase = 2 * math.pi * torch.rand(len(number), 1, generator=generator())
    waves = torch.sin(2 * math.pi * pitch * number[:, None] * time + phase)
    return 0.02 * (amplitude[:, None] * waves).sum(dim=0, keepdim=True)


def harmonics(sound: torch.Tensor, pitch: float = 100.0) -> np.ndarray:
    """Amplitudes of the multiples of `pitch` in the middle of a second, by projection on a sinusoid each."""
    middle = sound[0, 4000:12000].numpy()  # a whole number of periods of 100 Hz
    time = np.arange(4000, 12000) / RATE
    number = np.arange(1, int(8000 / pitch))[:, None]
    return np.asarray(np.abs((middle * np.exp(-2j * np.pi * pitch * number * time)).mean(axis=1)))


def formant_of(sound: torch.Tensor) -> float:
    """Hz of the top of the parabola through the log-amplitudes of the harmonics near the strongest."""
    amplitude = harmonics(sound)
    hertz = 100.0 * np.arange(1, len(amplitude) + 1)
    near = amplitude > 0.4 * amplitude.max()
    square, slope, _ = np.polyfit(hertz[near], np.log(amplitude[near]), 2, w=amplitude[near])
    return float(-slope / (2 * square))


@pytest.mark.parametrize("factor", [0.82, 0.9, 1.0, 1.1, 1.2])
@pytest.mark.parametrize("formant", [1500.0, 2500.0, 4000.0])
def test_a_formant_moves_by_its_factor_and_the_pitch_stays(formant: float, factor: float) -> None:
    sound = vowel(formant)
    moved = recolour(sound, torch.tensor([factor]), FLAT)
    assert moved.shape == sound.shape
    assert formant_of(moved) / formant_of(sound) == pytest.approx(factor, rel=0.015)
    # All that is heard is still in multiples of 100 Hz: their power is that of the whole.
    power = 2 * np.square(harmonics(moved)).sum()
    assert power == pytest.approx(float(moved[0, 4000:12000].square().mean()), rel=0.01)


def test_no_factor_and_no_curve_change_nothing() -> None:
    sound = torch.cat([vowel(1500.0), 0.1 * torch.randn(1, RATE, generator=generator())])
    same = recolour(sound, torch.ones(2), FLAT.expand(2, -1))
    torch.testing.assert_close(same, sound, atol=1e-3 * float(sound.abs().max()), rtol=0)


def test_a_curve_is_added_in_nats_at_its_frequency() -> None:
    curve = torch.linspace(1.0, -1.0, 257)[None]
    sound = vowel(2500.0)
    change = np.log(harmonics(recolour(sound, torch.ones(1), curve)) / harmonics(sound))
    expected = 1.0 - 2.0 * 100.0 * np.arange(1, len(change) + 1) / 8000
    np.testing.assert_allclose(change, expected, atol=0.02)


def test_a_band_changes_by_20_decibels_at_most() -> None:
    # A formant so far above the rest that the full way would be longer.
    sound = vowel(2000.0) + 20 * (vowel(2000.0) - vowel(math.inf))
    for factor in (0.7, 1.4):
        change = np.log(harmonics(recolour(sound, torch.tensor([factor]), FLAT)) / harmonics(sound))
        assert np.abs(change).max() < 2.35
        assert np.abs(change).max() > 1.5


def test_an_envelope_has_what_varies_slowly_over_frequency() -> None:
    bins = torch.arange(257) / 256
    slow, fast = (torch.cos(math.pi * quefrency * bins)[None, None] for quefrency in (20, 60))
    torch.testing.assert_close(spectral_envelope(slow + fast), slow, atol=1e-4, rtol=0)


def test_an_equaliser_is_smooth_and_as_deep_as_asked() -> None:
    curves = equaliser(4000, 257, 6.0, generator()) * 20 / math.log(10)
    assert curves.shape == (4000, 257)
    assert float(curves[:, 0].std()) == pytest.approx(6.0, rel=0.05)
    assert float(curves.mean()) == pytest.approx(0.0, abs=0.15)
    # Eight points over 257 bins: one step is a small part of the way between two points.
    assert float(curves.diff(dim=1).abs().max()) < 2.0


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
    assert torch.equal(disguise(audio, nothing, generator()), audio)
    assert torch.equal(draw_speeds(3, nothing, generator()), torch.ones(3))
    ranges = Perturbation(gain_db=(-3.0, 3.0), snr_db=(10.0, 20.0), warp=0.1, equaliser_db=3.0)
    one, two, other = (perturb_waveform(audio, RATE, ranges, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_a_disguise_moves_formants_of_a_share_of_clips() -> None:
    sound = vowel(2500.0).expand(40, -1)
    heard = disguise(sound, Perturbation(warp=0.2, warp_share=0.5), generator())
    factors = np.array([formant_of(one[None]) for one in heard]) / formant_of(sound[:1])
    moved = np.abs(factors - 1) > 1e-3
    # Three standard deviations of 40 draws with probability a half are 9.5.
    assert 10 < moved.sum() < 30
    assert np.abs(np.log(factors)).max() < 0.23
    assert factors.min() < 0.93
    assert factors.max() > 1.07


def test_an_equaliser_alone_leaves_formants_and_is_another_for_each_clip() -> None:
    sound = vowel(2500.0).expand(3, -1)
    heard = disguise(sound, Perturbation(equaliser_db=3.0), generator())
    changes = np.log([harmonics(one[None]) / harmonics(sound[:1]) for one in heard])
    # Smooth: from one harmonic to the next little changes.
    assert np.abs(np.diff(changes, axis=1)).max() < 0.4
    assert (changes.std(axis=1) > 0.05).all()
    assert np.abs(changes[0] - changes[1]).max() > 0.1


def test_another_person_has_the_same_throat_and_colour_in_both_clips() -> None:
    sound = vowel(2500.0).expand(6, -1)
    # The second clips are half as loud and have another length.
    second = 0.5 * sound.repeat(1, 2)
    one, two = another_person(sound, second, Perturbation(warp=0.2, equaliser_db=2.0), generator())
    formants = np.array([[formant_of(clip[None]) for clip in clips] for clips in (one, two)])
    np.testing.assert_allclose(formants[0], formants[1], rtol=0.01)
    assert np.ptp(formants[0]) > 200
    torch.testing.assert_close(rms_db(one), rms_db(sound), atol=0.01, rtol=0)
    torch.testing.assert_close(rms_db(two), rms_db(second), atol=0.01, rtol=0)
