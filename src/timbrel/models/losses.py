"""Losses of the vocoders, each a mean over its tensors.

Two tensors are compared only if their shapes are equal: a silent broadcast of (B, T, D) against
(B, 1, T, D) has the right size of result and the wrong meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.models.discriminators import Judgement
from timbrel.models.layers import magnitude

#: (n_fft, hop, window) of Parallel WaveGAN (Yamamoto et al. 2020).
STFT_RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))

_MAGNITUDE_FLOOR = 1e-5


def l1(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference, ().

    Raises:
        ValueError: if the shapes differ.
    """
    require_same_shape(predicted, target)
    return functional.l1_loss(predicted, target)


def mean_square(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference, ().

    Raises:
        ValueError: if the shapes differ.
    """
    require_same_shape(predicted, target)
    return functional.mse_loss(predicted, target)


def mel_l1(front_end: Callable[[Tensor], Tensor], generated: Tensor, real: Tensor) -> Tensor:
    """L1 between the mels of two batches of waveforms (B, L), ().

    Raises:
        ValueError: if the shapes differ.
    """
    require_same_shape(generated, real)
    return l1(front_end(generated), front_end(real))


def generator_adversarial(generated: Judgement) -> Tensor:
    """LSGAN (Mao et al. 2017), summed over discriminators: generated audio should score 1. ()."""
    return torch.stack([(1 - score).square().mean() for score in generated.scores]).sum()


def discriminator_adversarial(real: Judgement, generated: Judgement) -> Tensor:
    """LSGAN, summed over discriminators: real audio should score 1, generated audio 0. ().

    Raises:
        ValueError: if the number or shapes of the scores differ.
    """
    _require_pairs(real.scores, generated.scores)
    terms = [
        (1 - true).square().mean() + false.square().mean()
        for true, false in zip(real.scores, generated.scores, strict=True)
    ]
    return torch.stack(terms).sum()


def feature_matching(real: Judgement, generated: Judgement) -> Tensor:
    """L1 between the discriminators' inner features, summed over layers (Kumar et al. 2019). ().

    The features of the real audio are constants here. HiFi-GAN weights the sum by 2.

    Raises:
        ValueError: if the number or shapes of the features differ.
    """
    _require_pairs(real.features, generated.features)
    pairs = zip(real.features, generated.features, strict=True)
    return torch.stack([l1(false, true.detach()) for true, false in pairs]).sum()


def joint_generator(generated: Sequence[Judgement]) -> Tensor:
    """VocGAN's adversarial loss of the generator (Yang et al. 2020), summed over discriminators. ().

    Each of them judges with and without the mel; the two count half each:
    1/2 ((1 - D(x))^2 + (1 - D(x, mel))^2) for generated x.
    """
    return torch.stack([generator_adversarial(judgement) / 2 for judgement in generated]).sum()


def joint_discriminator(real: Sequence[Judgement], generated: Sequence[Judgement]) -> Tensor:
    """The discriminators' side of `joint_generator`, summed over discriminators. ().

    1/2 ((1 - D(y))^2 + (1 - D(y, mel))^2 + D(x)^2 + D(x, mel)^2) for real y and generated x.

    Raises:
        ValueError: if the number or shapes of the scores differ.
    """
    pairs = zip(real, generated, strict=True)
    return torch.stack([discriminator_adversarial(*pair) / 2 for pair in pairs]).sum()


def joint_feature_matching(real: Sequence[Judgement], generated: Sequence[Judgement]) -> Tensor:
    """`feature_matching`, averaged over discriminators. ().

    Raises:
        ValueError: if the number or shapes of the features differ.
    """
    pairs = zip(real, generated, strict=True)
    return torch.stack([feature_matching(*pair) for pair in pairs]).mean()


class MultiResolutionSTFT(nn.Module):
    """Spectral convergence plus L1 of log magnitudes, averaged over resolutions (Yamamoto et al. 2020)."""

    def forward(self, generated: Tensor, real: Tensor) -> Tensor:
        """Waveforms (B, L), (B, L) -> ().

        Raises:
            ValueError: if the shapes differ.
        """
        require_same_shape(generated, real)
        terms = []
        for n_fft, hop, window in STFT_RESOLUTIONS:
            false, true = (magnitude(audio, n_fft, hop, window) for audio in (generated, real))
            convergence = (true - false).norm() / true.norm().clamp(min=_MAGNITUDE_FLOOR)
            terms.append(convergence + l1(_log(false), _log(true)))
        return torch.stack(terms).mean()


def require_same_shape(one: Tensor, two: Tensor) -> None:
    """Raises ValueError unless the shapes are equal."""
    if one.shape != two.shape:
        raise ValueError(f"A loss needs equal shapes, not {tuple(one.shape)} and {tuple(two.shape)}.")


def _log(spectrum: Tensor) -> Tensor:
    return spectrum.clamp(min=_MAGNITUDE_FLOOR).log()


def _require_pairs(real: Sequence[Tensor], generated: Sequence[Tensor]) -> None:
    if len(real) != len(generated):
        raise ValueError(f"A loss needs equally many tensors, not {len(real)} and {len(generated)}.")
    for one, two in zip(real, generated, strict=True):
        require_same_shape(one, two)
