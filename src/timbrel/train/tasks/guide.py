"""A converter with guidance, from which another learns to say in one pass what takes that one two.

Distillation of guided models as in Meng et al. 2023: the student is given what the guide would have made.
Here it is compared as filters, of which the sound is a function, where there is speech.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from timbrel.errors import ConfigError
from timbrel.models.converter import Converter
from timbrel.train.tasks.scenes import Scene, pitch_of

#: Nats below the loudest frame at which a frame counts half, and how fast that falls, per nat.
_HALF, _SLOPE = 4.5, 2.0


class Guide(nn.Module):
    """A frozen converter, heard with a guidance of `beyond`.

    Raises:
        ConfigError: there is nobody in its crowd.
    """

    def __init__(self, converter: Converter, beyond: float) -> None:
        super().__init__()
        self.converter = copy.deepcopy(converter).requires_grad_(False).eval()
        if self.converter.crowd is None or not self.converter.crowd.is_peopled:
            raise ConfigError("there is nobody in its crowd to keep away from.")
        self.beyond = beyond

    @property
    def altogether(self) -> float:
        """The guidance of who learns from it: its own, on top of what the converter has in its filters."""
        return (1 + self.converter.config.beyond) * (1 + self.beyond) - 1

    def distance(self, filters: Tensor, pieces: Scene, voices: Tensor) -> Tensor:
        """From log-amplitudes made to those of the guide, mean of absolute differences in nats, ().

        Args:
            filters: made, (N, 2 K, 3, F).
            pieces: what is said and how, N of them, beside references of more.
            voices: the row (N,) of the reference in whose voice each is said.
        """
        wanted = self._wanted(pieces, voices)
        loudness = pieces.prosody.energy.flatten(1)
        counts = torch.sigmoid(_SLOPE * (loudness - loudness.amax(dim=1, keepdim=True) + _HALF))
        difference = (filters - wanted).abs()[:, :, (0, 2)].mean(dim=(2, 3))
        return (difference * counts).sum() / counts.sum()

    @torch.no_grad()
    def _wanted(self, pieces: Scene, voices: Tensor) -> Tensor:
        """Its filters, (N, 2 K, 3, F), of those pieces in those voices."""
        converter, said = self.converter, (pieces.content, pieces.prosody)
        heard = (pieces.reference_content[voices], pieces.reference_mel[voices], pieces.mask[voices])
        filters = converter.filters(*said, converter.reference(*heard)).float()
        common = converter.in_common(pitch_of(pieces.reference_log_f0_mean[voices], pieces.prosody))
        assert common is not None
        return converter.guided(filters, *said, common, self.beyond)
