"""An adversary that knows voices: is this a recording of the person who speaks in that reference?

A fixed speaker encoder can be pleased by speech that is unlike the person in all it does not hear; a
discriminator goes on to look for what is still missing. This one hears through the first layers of a frozen
network (Sauer et al. 2021), joins sound and voice by a product (Miyato & Koyama 2018), and refuses
recordings of other people as it refuses what was made (Reed et al. 2016).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from timbrel.train.adversary import frozen

_SLOPE = 0.1
#: Of unit vectors, so that their values are about as large as those of the frames.
_VECTOR_GAIN = 8.0
#: Where scores begin: what recordings of the right and of a wrong person have in the mean.
_FIRST_SCORE = 0.4


@dataclass(frozen=True, slots=True)
class Lineup:
    """B recordings, what is known of their speakers, and N pieces made in the voices of some of them.

    Fields:
        recorded, made: frames that a frozen network hears in them, (B, T, W) and (N, T, W).
        references: unit vectors of other speech of the B people, (B, E).
        voices: (N,), which of the B each piece is made to sound like.
        speakers: (B,) identities; two of the B may be one person.
    """

    recorded: Tensor
    made: Tensor
    references: Tensor
    voices: Tensor
    speakers: Tensor


class VoiceAdversary(nn.Module):
    """Scores frames of speech against voices.

    Args:
        heard: values of a frame that is heard.
        vector: values of a speaker's vector.
        width: channels.
    """

    def __init__(self, heard: int, vector: int, width: int = 256) -> None:
        super().__init__()
        self.join = weight_norm(nn.Conv1d(heard, width, 5, 2, padding=2))
        self.first = weight_norm(nn.Conv1d(width, width, 3, padding=1))
        self.thin = weight_norm(nn.Conv1d(width, width, 5, 2, padding=2))
        self.second = weight_norm(nn.Conv1d(width, width, 3, padding=1))
        self.alone = nn.Linear(width, 1)
        self.sound = nn.Linear(width, width)
        self.voice = nn.Linear(vector, width)
        nn.init.zeros_(self.alone.weight)
        nn.init.constant_(self.alone.bias, _FIRST_SCORE)
        nn.init.normal_(self.voice.weight, std=0.01)

    def forward(self, sounds: Tensor, voices: Tensor) -> Tensor:
        """Frames (B, T, H) from `listen`, voices (N, H) from `know` -> scores (B, N, T)."""
        together = torch.einsum("bth,nh->bnt", self.sound(sounds), voices) / sounds.shape[-1] ** 0.5
        alone: Tensor = self.alone(sounds)
        scores: Tensor = alone[:, None, :, 0] + together
        return scores.float()

    def listen(self, frames: Tensor) -> Tensor:
        """Frames that were heard, (B, T, W) -> (B, T / 4, H)."""
        hidden = _leaky(self.join(frames.transpose(1, 2)))
        hidden = hidden + _leaky(self.first(hidden))
        hidden = _leaky(self.thin(hidden))
        return (hidden + _leaky(self.second(hidden))).transpose(1, 2)

    def know(self, references: Tensor) -> Tensor:
        """Vectors (B, E) -> voices (B, H)."""
        known: Tensor = self.voice(_VECTOR_GAIN * references)
        return known

    def tell_apart(self, lineup: Lineup) -> Tensor:
        """The discriminator's loss, (): 1 is for a person's own recordings, 0 for all else."""
        known = self.know(lineup.references)
        real = self(self.listen(lineup.recorded), known)
        same = lineup.speakers[:, None] == lineup.speakers[None]
        own = (1 - real.diagonal(dim1=0, dim2=1)).square().mean()
        others = real.square().mean(dim=-1)[~same]
        made = self(self.listen(lineup.made.detach()), known)[_pairs(lineup)].square().mean()
        # A batch of one person has no others, and the mean of nothing is no number.
        loss: Tensor = own + 0.5 * others.sum() / max(1, others.numel()) + made
        return loss

    def deceive(self, lineup: Lineup) -> Tensor:
        """The generator's loss, (): what was made should pass for a recording of the person."""
        with frozen(self):
            known = self.know(lineup.references)
            scores: Tensor = self(self.listen(lineup.made), known)[_pairs(lineup)]
        return (1 - scores).square().mean()


def _pairs(lineup: Lineup) -> tuple[Tensor, Tensor]:
    """Places in (N, B) scores of each piece with its own voice."""
    return torch.arange(len(lineup.voices), device=lineup.voices.device), lineup.voices


def _leaky(frames: Tensor) -> Tensor:
    return functional.leaky_relu(frames, _SLOPE)
