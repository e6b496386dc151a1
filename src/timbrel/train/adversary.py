"""An adversary cheap enough for two CPU cores: small discriminators of log-spectrograms, taken in turns.

Logarithms show them the quiet detail between harmonics and in high bands that a mean distance blurs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from timbrel.models.discriminators import Judgement
from timbrel.models.layers import magnitude
from timbrel.models.losses import discriminator_adversarial, feature_matching, generator_adversarial

_SLOPE = 0.1
#: Samples of a window of each discriminator.
_WINDOWS = (512, 1024, 2048)


class LogSpectrogramDiscriminator(nn.Module):
    """Two-dimensional convolutions over log-amplitudes, frames before bands, thinning out both.

    Its judgement's features are those of the layers before the last.
    """

    def __init__(self, n_fft: int, width: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        layers = [
            nn.Conv2d(1, width, (3, 9), (1, 2), padding=(1, 4)),
            nn.Conv2d(width, width, (3, 9), (1, 2), padding=(1, 4)),
            nn.Conv2d(width, width, (3, 7), (1, 2), padding=(2, 3), dilation=(2, 1)),
            nn.Conv2d(width, 2 * width, (3, 5), (1, 2), padding=(4, 2), dilation=(4, 1)),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
        ]
        self.convs = nn.ModuleList(weight_norm(layer) for layer in layers)
        self.last = weight_norm(nn.Conv2d(2 * width, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> Judgement:
        """(B, L) -> Judgement."""
        amplitude = magnitude(audio, self.n_fft, self.n_fft // 4, self.n_fft).transpose(1, 2)
        # About zero mean and unit deviation for speech at the standard level.
        hidden = torch.log(amplitude + 1e-3)[:, None] * 0.5 + 1.0
        features = []
        for conv in self.convs:
            hidden = functional.leaky_relu(conv(hidden), _SLOPE)
            features.append(hidden)
        scores = self.last(hidden).flatten(1)
        return Judgement((scores.float(),), tuple(feature.float() for feature in features))


class Adversary(nn.Module):
    """Discriminators of several resolutions, of which two judge in each step.

    The losses are means over those that judge; `feature_matching` is for what has a real counterpart.
    """

    def __init__(self, width: int = 20) -> None:
        super().__init__()
        self.judges = nn.ModuleList(LogSpectrogramDiscriminator(n_fft, width) for n_fft in _WINDOWS)

    def choose(self, generator: torch.Generator) -> list[nn.Module]:
        """The two that judge in this step."""
        return [self.judges[i] for i in torch.randperm(len(self.judges), generator=generator)[:2].tolist()]

    def tell_apart(
        self, judges: Sequence[nn.Module], real: Tensor, made: Tensor
    ) -> tuple[Tensor, list[Judgement]]:
        """The discriminators' loss, (), and what they think of the real audio; as many (B, L) of each."""
        pairs = [(judge(real), judge(made.detach())) for judge in judges]
        loss = torch.stack([discriminator_adversarial(*pair) for pair in pairs]).mean()
        return loss, [true for true, _ in pairs]

    def deceive(
        self, judges: Sequence[nn.Module], real: Sequence[Judgement], made: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The generator's adversarial loss over `made` (N, L), and its feature matching, () each.

        The first B of `made` are imitations of the B recordings that `real` judges.
        """
        with frozen(self):
            judgements = [judge(made) for judge in judges]
        adversarial = torch.stack([generator_adversarial(one) for one in judgements]).mean()
        matching = [
            feature_matching(true, _first(one, true)) for true, one in zip(real, judgements, strict=True)
        ]
        return adversarial, torch.stack(matching).mean()


def _first(judgement: Judgement, like: Judgement) -> Judgement:
    """The first rows, as many as `like` has."""
    rows = len(like.scores[0])
    return Judgement(
        tuple(score[:rows] for score in judgement.scores),
        tuple(feature[:rows] for feature in judgement.features),
    )


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No gradients for the parameters; they still flow through to the input."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
