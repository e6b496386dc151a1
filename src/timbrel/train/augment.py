"""Perturbations that change who speaks, where and how loudly, but not what is said.

Small pure functions on batches of waveforms (B, L). What is random is drawn by a generator on the CPU,
so that a step draws the same on every device; `Perturbation` states the ranges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from timbrel.audio.resample import resample

_NEPER_IN_DB = 20 / math.log(10)
#: Seconds of a room's response, and the nats by which 60 dB fall.
_ROOM_SECONDS = 0.2
_SIXTY_DB = 60 / _NEPER_IN_DB
#: Samples of the windows through which a sound is recoloured, and from one to the next.
_WINDOW, _HOP = 512, 128
#: Cepstral coefficients that tell a spectrum's envelope from its harmonics: up to 1.6 ms at 16 kHz.
_ENVELOPE = 25
#: Nats by which moving formants changes a bin at most: what lies in noise stays there.
_LARGEST_CHANGE = 2.3
#: Added to amplitudes before their logarithm.
_FLOOR = 1e-4
#: Points of a random equaliser over the frequency axis.
_EQUALISER_POINTS = 8


@dataclass(frozen=True, slots=True)
class Perturbation:
    """Ranges to draw from; the defaults change nothing.

    Fields:
        speed: factors of speed, pitch and formants together; drawn evenly on a logarithmic scale.
        speed_share: of clips whose speed changes.
        gain_db: of the level.
        room_share: of batches in which a third of the clips are put into a room (`reverberate`).
        snr_db: of added noise; none if both ends are 0.
        noise_colour: the steepest slope of its spectrum, see `add_noise`.
        warp: formants move by up to exp(warp), up or down, as through a longer or shorter throat.
        warp_share: of clips whose formants move.
        equaliser_db: deviation of a smooth random curve over the frequency axis (`equaliser`).
    """

    speed: tuple[float, float] = (1.0, 1.0)
    speed_share: float = 0.0
    gain_db: tuple[float, float] = (0.0, 0.0)
    room_share: float = 0.0
    snr_db: tuple[float, float] = (0.0, 0.0)
    noise_colour: float = 0.0
    warp: float = 0.0
    warp_share: float = 1.0
    equaliser_db: float = 0.0


def draw_speeds(count: int, ranges: Perturbation, generator: torch.Generator) -> Tensor:
    """Factors of speed for `count` clips, 1 for those that are left alone, (B,)."""
    low, high = (math.log(end) for end in ranges.speed)
    factors = torch.exp(uniform((count,), low, high, generator))
    chosen = torch.rand(count, generator=generator) < ranges.speed_share
    return torch.where(chosen, factors, torch.ones(count))


def perturb_waveform(
    audio: Tensor, sample_rate: int, ranges: Perturbation, generator: torch.Generator
) -> Tensor:
    """Formants, equaliser, level, room and noise as `ranges` say, (B, L) -> (B, L)."""
    count, device = len(audio), audio.device
    audio = disguise(audio, ranges, generator)
    audio = amplify(audio, uniform((count,), *ranges.gain_db, generator).to(device))
    third = count // 3
    if float(torch.rand((), generator=generator)) < ranges.room_share and third:
        decay = uniform((third,), 0.05, 0.3, generator)
        level = uniform((third,), 0.05, 0.2, generator)
        audio = torch.cat([reverberate(audio[:third], sample_rate, decay, level, generator), audio[third:]])
    if ranges.snr_db != (0.0, 0.0):
        snr_db = uniform((count,), *ranges.snr_db, generator)
        colour = uniform((count,), 0.0, ranges.noise_colour, generator)
        audio = add_noise(audio, snr_db, colour, generator)
    return audio


def disguise(audio: Tensor, ranges: Perturbation, generator: torch.Generator) -> Tensor:
    """Formants and equaliser as `ranges` say, (B, L) -> (B, L): another voice that speaks in the same way."""
    if ranges.warp == 0 and ranges.equaliser_db == 0:
        return audio
    factors, curves = _draw_disguise(len(audio), ranges, generator)
    return recolour(audio, factors.to(audio.device), curves.to(audio.device))


def another_person(
    audio: Tensor, references: Tensor, ranges: Perturbation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Clips (B, L) and second ones of their speakers (B, R), both with the same new formants and equaliser.

    They are two recordings, as loud as before, of a person of whom there is none.
    """
    factors, curves = _draw_disguise(len(audio), ranges, generator)
    one, two = (
        recolour(sound, factors.to(sound.device), curves.to(sound.device)) for sound in (audio, references)
    )
    return _as_loud(one, audio), _as_loud(two, references)


def recolour(audio: Tensor, factors: Tensor, curves: Tensor) -> Tensor:
    """Another envelope on a sound's own harmonics and phases, (B, L) -> (B, L).

    Args:
        factors: what lay at f Hz of the envelope lies at `factors` (B,) * f.
        curves: what is added to the log-spectrum, in nats, (B, 257).
    """
    window = torch.hann_window(_WINDOW, device=audio.device)
    spectrum = torch.stft(audio, _WINDOW, _HOP, window=window, return_complex=True)
    envelope = spectral_envelope(torch.log(spectrum.abs() + _FLOOR).transpose(1, 2))
    gain = (_stretched(envelope, factors) - envelope).clamp(-_LARGEST_CHANGE, _LARGEST_CHANGE)
    coloured = spectrum * torch.exp(gain + curves[:, None]).transpose(1, 2)
    recoloured: Tensor = torch.istft(coloured, _WINDOW, _HOP, window=window, length=audio.shape[1])
    return recoloured


def _draw_disguise(count: int, ranges: Perturbation, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Factors (B,) and curves (B, 257) for `recolour`."""
    factors = torch.exp(uniform((count,), -ranges.warp, ranges.warp, generator))
    chosen = torch.rand(count, generator=generator) < ranges.warp_share
    curves = equaliser(count, _WINDOW // 2 + 1, ranges.equaliser_db, generator)
    return torch.where(chosen, factors, torch.ones(count)), curves


def _as_loud(changed: Tensor, before: Tensor) -> Tensor:
    return changed * (_rms(before) / _rms(changed).clamp(min=1e-12))


def spectral_envelope(log_amplitude: Tensor) -> Tensor:
    """Log-spectra (B, T, F) smoothed by their first cepstral coefficients (Oppenheim & Schafer 1968)."""
    cepstrum = torch.fft.irfft(log_amplitude)
    cepstrum[..., _ENVELOPE + 1 : -_ENVELOPE] = 0
    envelope: Tensor = torch.fft.rfft(cepstrum).real
    return envelope


def _stretched(envelope: Tensor, factors: Tensor) -> Tensor:
    """(B, T, F) with what was in bin f in bin `factors` (B,) * f; the top is held."""
    last = envelope.shape[-1] - 1
    places = torch.arange(last + 1, device=envelope.device) / factors[:, None]
    left = places.long().clamp(max=last - 1)
    share = (places - left).clamp(max=1.0)[:, None]
    below, above = (envelope.gather(2, bins[:, None].expand_as(envelope)) for bins in (left, left + 1))
    return torch.lerp(below, above, share)


def change_speed(audio: Tensor, factors: Tensor, sample_rate: int, length: int) -> Tensor:
    """Plays each clip `factors` (B,) times as fast: its pitch and formants rise by the same factor.

    Zeros follow where too little is left: (B, L) -> (B, length). Factors are rounded to 1 / sample_rate.
    """
    changed = audio.new_zeros(len(audio), length)
    for row, factor in enumerate(factors.tolist()):
        piece = audio[row]
        if factor != 1.0:
            played = resample(piece.cpu().numpy(), round(sample_rate * factor), sample_rate)
            piece = torch.from_numpy(played).to(audio.device)
        piece = piece[:length]
        changed[row, : len(piece)] = piece
    return changed


def amplify(audio: Tensor, decibels: Tensor) -> Tensor:
    """(B, L) with a gain for each clip, (B,) in dB."""
    return audio * 10 ** (decibels / 20)[:, None]


def repeat(audio: Tensor, lengths: Tensor, length: int | None = None) -> Tensor:
    """The first `lengths` (B,) samples of each clip over and over, (B, L) -> (B, `length`), by default L."""
    size = audio.shape[1] if length is None else length
    places = torch.arange(size, device=audio.device) % lengths.clamp(min=1)[:, None]
    return audio.gather(1, places)


def reverberate(
    audio: Tensor, sample_rate: int, decay: Tensor, level: Tensor, generator: torch.Generator
) -> Tensor:
    """A room: the sound itself, then decaying noise (Moorer 1979) for up to 0.2 s.

    Args:
        decay: seconds in which the noise falls by 60 dB, (B,).
        level: amplitude of its first reflections beside the sound's 1, (B,).
    """
    count, length = audio.shape
    taps = round(_ROOM_SECONDS * sample_rate)
    time = torch.arange(taps) / sample_rate
    response = torch.randn(count, taps, generator=generator) * torch.exp(-_SIXTY_DB * time / decay[:, None])
    response = response * level[:, None]
    response[:, 0] = 1.0
    size = 1 << (length + taps - 1).bit_length()
    spectrum = torch.fft.rfft(audio, size) * torch.fft.rfft(response.to(audio.device), size)
    reverberant: Tensor = torch.fft.irfft(spectrum, size)[:, :length]
    return reverberant


def add_noise(audio: Tensor, snr_db: Tensor, colour: Tensor, generator: torch.Generator) -> Tensor:
    """Noise of its own at `snr_db` (B,) below the RMS of each clip.

    Its amplitude falls with frequency as f ** -colour (B,): 0 is white, 0.5 pink, 1 brown.
    """
    noise = torch.randn(audio.shape, generator=generator)
    spectrum = torch.fft.rfft(noise)
    # From a little above 0, so that a brown noise does not wander away.
    frequency = torch.arange(spectrum.shape[1]) + 20.0
    noise = torch.fft.irfft(spectrum * (frequency / frequency[-1]) ** -colour[:, None], audio.shape[1])
    noise = noise / _rms(noise).clamp(min=1e-12)
    level = 10 ** (-snr_db / 20)[:, None]
    noisy: Tensor = audio + _rms(audio) * (level * noise).to(audio.device)
    return noisy


def equaliser(count: int, bins: int, decibels: float, generator: torch.Generator) -> Tensor:
    """Smooth random curves over frequency with a deviation of `decibels` at 8 points, (B, F) in nats."""
    points = torch.randn(count, 1, _EQUALISER_POINTS, generator=generator) * decibels / _NEPER_IN_DB
    return functional.interpolate(points, size=bins, mode="linear", align_corners=True)[:, 0]


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Evenly distributed numbers on the CPU."""
    return low + (high - low) * torch.rand(shape, generator=generator)


def _rms(audio: Tensor) -> Tensor:
    """(B, L) -> (B, 1)."""
    return audio.square().mean(dim=1, keepdim=True).sqrt()
