"""What is said stands out more from how the voice sounds in the mean.

Networks that learn from distances say every envelope a little too smoothly. Statistical speech synthesis
widens the variance over an utterance again (global variance, Toda and Tokuda 2007); here each frame's shape
is moved away from the mean shape of the voice, which its recording tells, so that no frame has to wait for
the rest of what is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from timbrel.audio.mel import MelSpectrogram, spread

#: Nats below the loudest frame of the voice at which a frame counts half, and how fast that falls, per nat.
_HALF, _SLOPE = 4.5, 2.0
#: Below the amplitudes of any filter; it keeps the logarithm finite.
_LEAST = 1e-8


def presence(loudness: Tensor, loudest: Tensor) -> Tensor:
    """How much frames count as speech, 0 to 1, from log-energies as in `Prosody`, nats."""
    return torch.sigmoid(_SLOPE * (loudness - loudest + _HALF))


@dataclass(frozen=True, slots=True)
class Contrast:
    """How far a frame's shape is moved from the voice's mean.

    Attributes:
        share: of what lies between the two, by which it is moved farther.
        mean: log-mel of the voice's speech, (D,), nats; its level does not matter.
        loudest: log-energy of the voice's loudest frame, ().
        bands: the mel's filterbank, (D, F).
        spread: from values at the bands to frequencies, (D, F).
    """

    share: float
    mean: Tensor
    loudest: Tensor
    bands: Tensor
    spread: Tensor

    @classmethod
    def of(
        cls, share: float, voices: Sequence[tuple[Tensor, float]], mel: MelSpectrogram, bins: int
    ) -> Contrast:
        """From the speech of a voice, or of several with their weights: log-mels (R, 2 D), as
        `converter.mel_pairs` has them; F is `bins`."""
        halves = [(speech.float().unflatten(-1, (2, -1)), weight) for speech, weight in voices]
        means = [weight * half.mean(dim=(0, 1)) for half, weight in halves]
        peaks = [weight * half.logsumexp(dim=-1).max() for half, weight in halves]
        device = mel.filterbank.device
        return cls(
            share=share,
            mean=torch.stack(means).sum(dim=0).to(device),
            loudest=torch.stack(peaks).sum().to(device),
            bands=mel.filterbank,
            spread=spread(mel.spec, bins).to(device),
        )

    def __call__(self, filters: Tensor, energy: Tensor) -> Tensor:
        """Nats (B, N, F) to add to the log-amplitudes of both filters, of (B, N, 3, F).

        Args:
            energy: of the frames, (B, N / 2, 2), as in `Prosody`; quiet ones are left alone.
        """
        harmonic, _, breath = filters.unbind(dim=2)
        # Both sources have unit power, so powers add up; the pulses' phases do not matter.
        power = torch.logaddexp(2 * harmonic, 2 * breath)
        heard = torch.log(torch.exp(0.5 * power) @ self.bands.T + _LEAST)
        away = heard - self.mean
        away = away - away.mean(dim=-1, keepdim=True)
        counts = presence(energy.flatten(1), self.loudest)[..., None]
        return torch.as_tensor(self.share * counts * (away @ self.spread))
