"""Discriminators for waveforms: multi-period and multi-scale (HiFi-GAN), multi-resolution (UnivNet).

Each is a set of small networks that look at the audio in one way. All of them answer a waveform
(B, L) with a `Judgement`. Module names are those of the official HiFi-GAN.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from timbrel.models.layers import magnitude

_SLOPE = 0.1
#: (n_fft, hop, window) of UnivNet (Jang et al. 2021).
_RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What discriminators think of a batch of waveforms.

    Fields:
        scores: one (B, N_i) per network; training drives it to 1 for real and 0 for generated audio.
        features: the output of every layer of every network, for feature matching.
    """

    scores: tuple[Tensor, ...]
    features: tuple[Tensor, ...]


class DiscriminatorSet(nn.Module):
    """Several discriminators as one; its judgement joins theirs."""

    def __init__(self, discriminators: Iterable[nn.Module]) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(discriminators)

    def forward(self, audio: Tensor) -> Judgement:
        """(B, L) -> Judgement."""
        return _join([discriminator(audio) for discriminator in self.discriminators])


class MultiPeriodDiscriminator(DiscriminatorSet):
    """Folds the waveform at prime periods, so that each network sees every p-th sample (Kong et al. 2020).

    `width` 32 is the published size, 41.1 million parameters; the count goes with its square.
    """

    def __init__(self, periods: Sequence[int] = (2, 3, 5, 7, 11), width: int = 32) -> None:
        super().__init__(PeriodDiscriminator(period, width) for period in periods)


class MultiScaleDiscriminator(DiscriminatorSet):
    """Looks at the waveform as it is and averaged to a half and a quarter of its rate (Kumar et al. 2019).

    `width` 128 is the published size, 29.6 million parameters; it must be a multiple of 16.
    """

    def __init__(self, width: int = 128) -> None:
        super().__init__(ScaleDiscriminator(width, spectral=scale == 0) for scale in range(3))

    def forward(self, audio: Tensor) -> Judgement:
        judgements = []
        for scale, discriminator in enumerate(self.discriminators):
            if scale > 0:
                audio = functional.avg_pool1d(audio[:, None], 4, 2, padding=2)[:, 0]
            judgements.append(discriminator(audio))
        return _join(judgements)


class MultiResolutionDiscriminator(DiscriminatorSet):
    """Looks at magnitude spectrograms of several resolutions (Jang et al. 2021), light enough for a CPU.

    `width` 32 is the published size.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__(SpectrogramDiscriminator(*resolution, width) for resolution in _RESOLUTIONS)


class PeriodDiscriminator(nn.Module):
    """Two-dimensional convolutions along the rows of a waveform folded to (L / period, period)."""

    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        channels = [1, *(width * factor for factor in (1, 4, 16, 32, 32))]
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(channels[i], channels[i + 1], (5, 1), (stride, 1), padding=(2, 0)))
            for i, stride in enumerate((3, 3, 3, 3, 1))
        )
        self.conv_post = weight_norm(nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, audio: Tensor) -> Judgement:
        missing = -audio.shape[1] % self.period
        folded = functional.pad(audio[:, None], (0, missing), "reflect")
        folded = folded.view(len(audio), 1, -1, self.period)
        return _walk(folded, self.convs, self.conv_post)


class ScaleDiscriminator(nn.Module):
    """Grouped one-dimensional convolutions over the waveform; the first scale is spectrally normalised."""

    def __init__(self, width: int, spectral: bool) -> None:
        super().__init__()
        normalise = spectral_norm if spectral else weight_norm
        # (input and output channels in units of width, kernel, stride, groups)
        plan = [(1, 1, 41, 2, 4), (1, 2, 41, 2, 16), (2, 4, 41, 4, 16), (4, 8, 41, 4, 16), (8, 8, 41, 1, 16)]
        layers = [nn.Conv1d(1, width, 15, padding=7)]
        layers += [
            nn.Conv1d(width * a, width * b, kernel, stride, padding=kernel // 2, groups=groups)
            for a, b, kernel, stride, groups in plan
        ]
        layers.append(nn.Conv1d(width * 8, width * 8, 5, padding=2))
        self.convs = nn.ModuleList(normalise(layer) for layer in layers)
        self.conv_post = normalise(nn.Conv1d(width * 8, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> Judgement:
        return _walk(audio[:, None], self.convs, self.conv_post)


class SpectrogramDiscriminator(nn.Module):
    """Two-dimensional convolutions over a magnitude spectrogram, thinning out time."""

    def __init__(self, n_fft: int, hop: int, window: int, width: int) -> None:
        super().__init__()
        self.n_fft, self.hop, self.window = n_fft, hop, window
        layers = [nn.Conv2d(1, width, (3, 9), padding=(1, 4))]
        layers += [nn.Conv2d(width, width, (3, 9), (1, 2), padding=(1, 4)) for _ in range(3)]
        layers.append(nn.Conv2d(width, width, 3, padding=1))
        self.convs = nn.ModuleList(weight_norm(layer) for layer in layers)
        self.conv_post = weight_norm(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> Judgement:
        spectrogram = magnitude(audio, self.n_fft, self.hop, self.window)
        return _walk(spectrogram[:, None], self.convs, self.conv_post)


def _walk(hidden: Tensor, layers: nn.ModuleList, last: nn.Module) -> Judgement:
    """Runs the layers one after the other and keeps what each of them gave."""
    features = []
    for layer in layers:
        hidden = functional.leaky_relu(layer(hidden), _SLOPE)
        features.append(hidden)
    hidden = last(hidden)
    features.append(hidden)
    return Judgement((hidden.flatten(1),), tuple(features))


def _join(judgements: Sequence[Judgement]) -> Judgement:
    return Judgement(
        tuple(score for judgement in judgements for score in judgement.scores),
        tuple(feature for judgement in judgements for feature in judgement.features),
    )
