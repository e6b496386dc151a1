"""Hierarchically nested discriminators (VocGAN, Yang et al. 2020).

One for every waveform that the generator makes, from the coarsest to the last; the last is also judged
averaged to a half and a quarter of its rate, as in MelGAN (Kumar et al. 2019). Each says two things of
a waveform: whether it sounds real, and whether it is real sound of this mel (the joint conditional and
unconditional objective, after Zhang, Xie & Yang 2018).

Real audio is brought to the coarser rates through a low-pass filter: without one, whatever lies above
the new Nyquist frequency would fold down, and the generator would be asked to imitate that as well.

The public implementation says the two things in the same way but joins mel and audio end to end in
time, where no convolution meets both; here the mel is held over its frame and joined by channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from timbrel.models.discriminators import Judgement

_SLOPE = 0.2
#: Zero crossings of the low-pass on either side, and the shape of the window around them: 80 dB.
_CROSSINGS, _KAISER_BETA = 16, 8.0


class Downsample(nn.Module):
    """Every `divisor`-th sample behind a windowed-sinc low-pass: (B, L) -> (B, L / divisor), rounded up.

    The filter halves the amplitude at the new Nyquist frequency, falls by 80 dB within a sixth of it, and
    delays nothing. The ends are reflected, so L must be above 16 * `divisor`.
    """

    filter: Tensor

    def __init__(self, divisor: int) -> None:
        super().__init__()
        self.divisor = divisor
        self.reach = _CROSSINGS * divisor
        place = torch.arange(-self.reach, self.reach + 1, dtype=torch.float64)
        window = torch.kaiser_window(len(place), periodic=False, beta=_KAISER_BETA, dtype=torch.float64)
        taps = torch.sinc(place / divisor) * window
        self.register_buffer("filter", (taps / taps.sum()).float()[None, None], persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        if self.divisor == 1:
            return audio
        reflected = functional.pad(audio[:, None], (self.reach, self.reach), "reflect")
        return functional.conv1d(reflected, self.filter, stride=self.divisor)[:, 0]


class JointDiscriminator(nn.Module):
    """Strided convolutions over a waveform, then a score with the mel and one without it.

    `width` 16 is the published size; it must be a multiple of 4.
    """

    def __init__(self, mel: int, width: int) -> None:
        super().__init__()
        inner = 8 * width
        self.convs = nn.ModuleList(
            [
                weight_norm(nn.Conv1d(1, width, 15, padding=7)),
                weight_norm(nn.Conv1d(width, 4 * width, 41, 4, padding=20, groups=width // 4)),
                weight_norm(nn.Conv1d(4 * width, inner, 21, 2, padding=10, groups=width)),
            ]
        )
        self.alone = _Verdict(inner, inner)
        self.condition = weight_norm(nn.Conv1d(mel, inner, 3, padding=1))
        self.together = _Verdict(2 * inner, inner)

    def forward(self, audio: Tensor, mel: Tensor) -> Judgement:
        """Waveform (B, L) and the mel (B, T, D) of the same sound -> Judgement of two scores."""
        hidden, features = audio[:, None], []
        for conv in self.convs:
            hidden = functional.leaky_relu(conv(hidden), _SLOPE)
            features.append(hidden)
        condition = functional.leaky_relu(self.condition(mel.transpose(1, 2)), _SLOPE)
        held = functional.interpolate(condition, size=hidden.shape[2])
        inner, unconditional = self.alone(hidden)
        joint, conditional = self.together(torch.cat([hidden, held], 1))
        return Judgement((unconditional, conditional), (*features, inner, joint))


class HierarchicalDiscriminator(nn.Module):
    """Judges the waveforms of all resolutions, coarsest first.

    Args:
        mel: bands of the mel.
        divisors: of the sample rate, one per resolution; the last is 1.
        scales: discriminators of the last one, the second at half and the third at a quarter of its rate.
        width: see `JointDiscriminator`.
    """

    def __init__(self, mel: int, divisors: Sequence[int], scales: int = 3, width: int = 16) -> None:
        super().__init__()
        self.downsamples = nn.ModuleList(Downsample(divisor) for divisor in divisors)
        self.nested = nn.ModuleList(JointDiscriminator(mel, width) for _ in divisors[:-1])
        self.scales = nn.ModuleList(JointDiscriminator(mel, width) for _ in range(scales))

    def resolutions(self, audio: Tensor) -> tuple[Tensor, ...]:
        """Real audio (B, L) at every rate that the generator makes."""
        return tuple(downsample(audio) for downsample in self.downsamples)

    def forward(self, waveforms: Sequence[Tensor], mel: Tensor) -> tuple[Judgement, ...]:
        """Waveforms (B, L / divisor) of one sound and its mel (B, T, D) -> a Judgement per discriminator."""
        *coarse, fine = waveforms
        judgements = [judge(audio, mel) for judge, audio in zip(self.nested, coarse, strict=True)]
        for judge in self.scales:
            judgements.append(judge(fine, mel))
            fine = functional.avg_pool1d(fine[:, None], 4, 2, padding=1, count_include_pad=False)[:, 0]
        return tuple(judgements)


class _Verdict(nn.Module):
    """(B, C, N) -> features (B, width, N) and scores (B, N)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = weight_norm(nn.Conv1d(channels, width, 5, padding=2))
        self.last = weight_norm(nn.Conv1d(width, 1, 3, padding=1))

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        inner = functional.leaky_relu(self.conv(hidden), _SLOPE)
        return inner, self.last(inner)[:, 0]
