"""A converter that takes its time, from which another learns to say in one pass what takes that one more.

What takes it more is guidance, a second attempt (`methods.rehearing`), or both. Distillation of guided models
as in Meng et al. 2023: the student is given what the guide would have made. Here it is compared as filters,
of which the sound is a function, where there is speech.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from timbrel.errors import ConfigError
from timbrel.models.converter import Converter
from timbrel.models.voice_tokens import VoiceTokens
from timbrel.train.tasks.scenes import Scene, pitch_of

#: Nats below the loudest frame at which a frame counts half, and how fast that falls, per nat.
_HALF, _SLOPE = 4.5, 2.0


class Guide(nn.Module):
    """A frozen converter, heard with a guidance of `beyond`.

    Raises:
        ConfigError: it has nothing to teach, or there is nobody in its crowd.
    """

    def __init__(self, converter: Converter, beyond: float) -> None:
        super().__init__()
        self.converter = copy.deepcopy(converter).requires_grad_(False).eval()
        if beyond == 0 and converter.config.attempts == 1:
            raise ConfigError("it makes one attempt, and without guidance there is nothing to learn from it.")
        if beyond > 0 and (self.converter.crowd is None or not self.converter.crowd.is_peopled):
            raise ConfigError("there is nobody in its crowd to keep away from.")
        self.beyond = beyond

    @property
    def altogether(self) -> float:
        """The guidance of who learns from it: its own, on top of what the converter has in its filters."""
        return (1 + self.converter.config.beyond) * (1 + self.beyond) - 1

    @torch.no_grad()
    def voice(self, scene: Scene) -> VoiceTokens:
        """The scene's references as it knows them."""
        heard = (scene.reference_content, scene.reference_mel, scene.mask)
        tokens: VoiceTokens = self.converter.reference(*heard)
        return tokens

    @torch.no_grad()
    def filters(self, pieces: Scene, voices: VoiceTokens, log_f0_mean: Tensor) -> Tensor:
        """Its filters, (N, 2 K, 3, F), of N pieces, told as for its last attempt.

        Args:
            log_f0_mean: of the voices' references, (N,); 0 where it is not known.
        """
        converter, said = self.converter, (pieces.content, pieces.prosody)
        filters = converter.filters(*said, voices).float()
        if self.beyond == 0:
            return filters
        common = converter.in_common(pitch_of(log_f0_mean, pieces.prosody))
        assert common is not None
        return converter.guided(filters, *said, common, self.beyond)


def filter_distance(made: Tensor, wanted: Tensor, energy: Tensor) -> Tensor:
    """Mean of absolute differences of log-amplitudes in nats, (), where there is speech.

    Args:
        made, wanted: filters, (N, 2 K, 3, F).
        energy: of what is said, (N, K, 2).
    """
    loudness = energy.flatten(1)
    counts = torch.sigmoid(_SLOPE * (loudness - loudness.amax(dim=1, keepdim=True) + _HALF))
    difference = (made - wanted).abs()[:, :, (0, 2)].mean(dim=(2, 3))
    return (difference * counts).sum() / counts.sum()
