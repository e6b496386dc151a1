"""Source and filter: excitation at a given pitch, shaped by spectral envelopes, by inverse STFT.

The source-filter model of speech production with a differentiable synthesiser (harmonic plus noise as
in DDSP, Engel et al. 2020; spectral head and inverse STFT as in Vocos, Siuzdak 2023). The harmonic
part is a band-limited pulse train, so pitch is right by construction and a small network need only
learn envelopes; its filter has minimum phase plus a learned deviation, which is how a vocal tract
rings. Phase and noise are functions of the absolute position in the recording, so a window of a long
recording gives the samples that the whole recording would give.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Range of the log-amplitudes of a filter, in nats: below is silence, above is overload.
LOG_AMPLITUDE_RANGE = (-14.0, 5.0)


def pulse_train(cycles: Tensor, f0: Tensor, sample_rate: int) -> Tensor:
    """A band-limited pulse train of unit power.

    The sum of `K` cosines at multiples of the fundamental has the closed form of the Dirichlet kernel,
    sin((K + 1/2) x) / (2 sin(x / 2)) - 1/2, which costs the same for any number of harmonics.

    Args:
        cycles: phase of the fundamental, in cycles, (B, L).
        f0: fundamental frequency in Hz, (B, L), positive.

    Returns:
        Samples (B, L).
    """
    count = torch.floor(0.5 * sample_rate / f0)
    # Half a cycle of the phase to either side of 0 keeps the quotient well conditioned.
    phase = 2 * math.pi * (cycles - torch.round(cycles))
    half = torch.sin(phase / 2)
    near_peak = half.abs() < 1e-4
    kernel = (
        torch.sin((count + 0.5) * phase) / (2 * torch.where(near_peak, torch.ones_like(half), half)) - 0.5
    )
    return torch.where(near_peak, count, kernel) * torch.sqrt(2 / count)


def minimum_phase(log_amplitude: Tensor) -> Tensor:
    """Phase in radians of the minimum-phase filter with this log-amplitude, (..., F) -> (..., F).

    Folding the real cepstrum (Oppenheim & Schafer, "Discrete-Time Signal Processing", 13.5).
    """
    size = 2 * (log_amplitude.shape[-1] - 1)
    cepstrum = torch.fft.irfft(log_amplitude, n=size)
    fold = torch.zeros(size, dtype=cepstrum.dtype, device=cepstrum.device)
    fold[0] = fold[size // 2] = 1.0
    fold[1 : size // 2] = 2.0
    phase: Tensor = torch.fft.rfft(cepstrum * fold, n=size).imag
    return phase


def random_sources(
    f0: Tensor, hop: int, length: int, sample_rate: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Pulses at a random phase and noise, (B, L) each, for F0 (B, K) in Hz at samples 0, hop, 2 hop, ...

    Between frames log-F0 runs straight, after the last it stays.
    """
    log_f0 = torch.log(f0.float())[:, None]
    spread = functional.interpolate(
        log_f0, size=(f0.shape[1] - 1) * hop + 1, mode="linear", align_corners=True
    )
    curve = functional.pad(spread, (0, max(0, length - spread.shape[-1])), mode="replicate")
    curve = torch.exp(curve[:, 0, :length])
    start = torch.rand(len(f0), 1, generator=generator, dtype=torch.float64).to(f0.device)
    cycles = start + torch.cumsum(curve.double() / sample_rate, dim=1)
    noise = torch.randn(len(f0), length, generator=generator).to(f0.device)
    return pulse_train((cycles % 1).float(), curve, sample_rate), noise


class SourceFilter(nn.Module):
    """Filters (B, N, F) on both sources -> waveform (B, hop * (N - 1)).

    Frame n is centred at sample `hop * n`.
    """

    window: Tensor

    def __init__(self, sample_rate: int, n_fft: int, hop: int) -> None:
        super().__init__()
        self.sample_rate, self.n_fft, self.hop = sample_rate, n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    @property
    def bins(self) -> int:
        """Frequencies of a filter."""
        return self.n_fft // 2 + 1

    def forward(
        self, pulses: Tensor, noise: Tensor, harmonic: Tensor, phase: Tensor, breath: Tensor
    ) -> Tensor:
        """Joins the two filtered sources.

        Args:
            pulses, noise: sources of unit power, (B, L) with L = hop * (N - 1).
            harmonic, breath: log-amplitudes of their filters, (B, N, F), nats.
            phase: deviation of the harmonic filter from minimum phase, (B, N, F), radians.
        """
        harmonic, breath = harmonic.clamp(*LOG_AMPLITUDE_RANGE), breath.clamp(*LOG_AMPLITUDE_RANGE)
        voiced = torch.polar(torch.exp(harmonic), minimum_phase(harmonic) + phase)
        spectrum = self._analyse(pulses) * voiced + self._analyse(noise) * torch.exp(breath)
        length = pulses.shape[-1]
        return torch.istft(spectrum.transpose(1, 2), self.n_fft, self.hop, window=self.window, length=length)

    def _analyse(self, samples: Tensor) -> Tensor:
        padded = functional.pad(samples, (self.n_fft // 2, self.n_fft // 2))
        spectrum = torch.stft(
            padded, self.n_fft, self.hop, window=self.window, center=False, return_complex=True
        )
        return spectrum.transpose(1, 2)


#: Frames whose samples are summed at a time, so that an hour needs no more memory than seconds.
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class PitchCurve:
    """Log-F0 over a whole recording and the phase that it accumulates.

    Fields:
        log_f0: natural logarithm of the fundamental in Hz at frame boundaries, (T + 1,) float64.
        phase: phase of the fundamental at the boundaries, in cycles modulo 1, (T + 1,) float64.
        hop: samples between two boundaries.
    """

    log_f0: Tensor
    phase: Tensor
    hop: int

    @classmethod
    def of(cls, log_f0: Tensor, sample_rate: int, hop: int) -> PitchCurve:
        """From log-F0 (T + 1,); between two boundaries it runs straight."""
        log_f0 = log_f0.double()
        steps = [
            _between(log_f0[start : start + _CHUNK + 1], hop).sum(dim=1) / sample_rate
            for start in range(0, len(log_f0) - 1, _CHUNK)
        ]
        phase = torch.cumsum(torch.cat([torch.zeros(1, dtype=torch.float64), *steps]), dim=0)
        return cls(log_f0, phase % 1.0, hop)

    def pulses(self, start: int, stop: int, sample_rate: int) -> Tensor:
        """Samples `hop * start` to `hop * stop` of the pulse train, (hop * (stop - start),) float32."""
        f0 = _between(self.log_f0[start : stop + 1], self.hop)
        # Summing afresh from each boundary makes a sample independent of where the window begins.
        cycles = self.phase[start:stop, None] + torch.cumsum(f0, dim=1) / sample_rate
        return pulse_train(cycles.flatten(), f0.flatten(), sample_rate).float()


#: Samples of noise that come from one seed.
_NOISE_BLOCK = 16384


def noise(start: int, stop: int, seed: int) -> Tensor:
    """Samples `start` to `stop` of an endless white noise of unit power, the same however it is cut."""
    first, last = start // _NOISE_BLOCK, (stop - 1) // _NOISE_BLOCK
    blocks = [
        torch.randn(_NOISE_BLOCK, generator=torch.Generator().manual_seed(((seed << 24) + block) % 2**63))
        for block in range(first, last + 1)
    ]
    return torch.cat(blocks)[start - first * _NOISE_BLOCK : stop - first * _NOISE_BLOCK]


def _between(log_f0: Tensor, hop: int) -> Tensor:
    """Fundamental in Hz at the `hop` samples after each boundary but the last, (T + 1,) -> (T, hop)."""
    ramp = torch.arange(hop, dtype=log_f0.dtype, device=log_f0.device) / hop
    return torch.exp(log_f0[:-1, None] * (1 - ramp) + log_f0[1:, None] * ramp)
