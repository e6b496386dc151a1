"""Perturbations that change who speaks, where and how loudly, but not what is said.

Small pure functions on batches, waveforms (B, L) or log-mels (B, T, D). What is random is drawn by a
generator on the CPU, so that a step draws the same on every device; `Perturbation` states the ranges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from timbrel.audio.mel import filterbank
from timbrel.audio.resample import resample
from timbrel.contract import FeatureSpec

_NEPER_IN_DB = 20 / math.log(10)
#: Seconds of a room's response, and the nats by which 60 dB fall.
_ROOM_SECONDS = 0.2
_SIXTY_DB = 60 / _NEPER_IN_DB
#: Above this share of the band a warp runs back to where it must end, at the top.
_WARPED_SHARE = 0.8125
#: Points of a random equaliser over the mel axis.
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
        warp: formants move by up to exp(warp), up or down (`warp_formants`).
        equaliser_db: deviation of a smooth random curve over the mel axis.
    """

    speed: tuple[float, float] = (1.0, 1.0)
    speed_share: float = 0.0
    gain_db: tuple[float, float] = (0.0, 0.0)
    room_share: float = 0.0
    snr_db: tuple[float, float] = (0.0, 0.0)
    noise_colour: float = 0.0
    warp: float = 0.0
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
    """Level, room and noise as `ranges` say, (B, L) -> (B, L)."""
    count, device = len(audio), audio.device
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


def perturb_mel(mel: Tensor, spec: FeatureSpec, ranges: Perturbation, generator: torch.Generator) -> Tensor:
    """Formants and equaliser as `ranges` say, (B, T, D) -> (B, T, D), not below the floor of `spec`."""
    if ranges.warp > 0:
        factors = torch.exp(uniform((len(mel),), -ranges.warp, ranges.warp, generator))
        mel = warp_formants(mel, spec, factors.to(mel.device))
    if ranges.equaliser_db > 0:
        curve = equaliser(len(mel), spec.dim, ranges.equaliser_db, generator)
        mel = mel + curve.to(mel.device)[:, None]
    return mel.clamp(min=math.log(spec.floor))


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


def repeat(audio: Tensor, lengths: Tensor) -> Tensor:
    """The first `lengths` (B,) samples of each clip over and over, (B, L) -> (B, L)."""
    places = torch.arange(audio.shape[1], device=audio.device) % lengths.clamp(min=1)[:, None]
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


def warp_formants(mel: Tensor, spec: FeatureSpec, factors: Tensor) -> Tensor:
    """Moves what lies at f Hz of a log-mel to `factors` (B,) * f, as a longer or shorter throat does.

    Up to 0.81 of the band; from there the axis runs straight to the top, which stays where it is.
    """
    centres = _band_centres(spec).to(mel.device)
    factors = factors[:, None]
    limit = _WARPED_SHARE * spec.f_max * factors.clamp(max=1.0)
    above = limit / factors + (centres - limit) / (spec.f_max - limit) * (spec.f_max - limit / factors)
    source = torch.where(centres <= limit, centres / factors, above)
    right = torch.searchsorted(centres, source.contiguous()).clamp(1, spec.dim - 1)
    left = right - 1
    share = ((source - centres[left]) / (centres[right] - centres[left])).clamp(0.0, 1.0)
    picks = [index[:, None].expand(-1, mel.shape[1], -1) for index in (left, right)]
    return torch.lerp(mel.gather(2, picks[0]), mel.gather(2, picks[1]), share[:, None].to(mel.dtype))


def equaliser(count: int, bands: int, decibels: float, generator: torch.Generator) -> Tensor:
    """Smooth random curves over the mel axis with a deviation of `decibels` at 8 points, (B, D) in nats."""
    points = torch.randn(count, 1, _EQUALISER_POINTS, generator=generator) * decibels / _NEPER_IN_DB
    return functional.interpolate(points, size=bands, mode="linear", align_corners=True)[:, 0]


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Evenly distributed numbers on the CPU."""
    return low + (high - low) * torch.rand(shape, generator=generator)


@cache
def _band_centres(spec: FeatureSpec) -> Tensor:
    """Hz at which each band's triangle peaks, (D,), to within 0.25 Hz at 16 kHz."""
    fine = FeatureSpec(
        kind="mel",
        sample_rate=spec.sample_rate,
        hop=1,
        dim=spec.dim,
        n_fft=1 << 15,
        window=1,
        f_min=spec.f_min,
        f_max=spec.f_max,
        mel_scale=spec.mel_scale,
    )
    return filterbank(fine).argmax(dim=1) * (spec.sample_rate / fine.n_fft)


def _rms(audio: Tensor) -> Tensor:
    """(B, L) -> (B, 1)."""
    return audio.square().mean(dim=1, keepdim=True).sqrt()
