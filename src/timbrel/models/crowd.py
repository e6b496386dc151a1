"""The voice of many people at once, from which a converter can be told to keep away.

A converter that is unsure of a new voice says something between it and all voices that it knows. What it
would say in the voice of all shows the direction in which to go on (`Converter`, `guidance`), as the output
without a condition does in classifier-free guidance (Ho and Salimans 2022). All of them must speak about as
high as the voice: next to men and women alike a man's voice differs most by being a man's, and there is
nothing to add to that. On the first 48 development pairs, by weights that had not yet learned from a guide,
where a step away from the source's own voice gave a cosine of 0.665 to the wanted speaker, a guidance of 0.4
from 80 people weighted by their pitch gave 0.684, and from them unweighted, beside that step, 0.662.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from timbrel.models.voice_tokens import VoiceTokens

#: Natural logarithm: a person so much higher or lower than the voice weighs e^-0.5 of one who is not.
_WIDTH = 0.14


class Crowd(nn.Module):
    """A few tokens of each of many people, and how high they speak.

    Args:
        people: places, empty at first.
        each: tokens of a person.
        width: of a token and of a summary.
    """

    tokens: Tensor
    summaries: Tensor
    log_f0: Tensor

    def __init__(self, people: int, each: int, width: int) -> None:
        super().__init__()
        self.register_buffer("tokens", torch.zeros(people, each, width))
        self.register_buffer("summaries", torch.zeros(people, width))
        self.register_buffer("log_f0", torch.zeros(people))

    @property
    def is_peopled(self) -> bool:
        """Whether anybody is there."""
        return bool((self.log_f0 > 0).any())

    @torch.no_grad()
    def admit(self, place: int, tokens: Tensor, summary: Tensor, log_f0: float) -> None:
        """A person with tokens (each, W), a summary (W,) and a mean ln F0 above 0 takes a place."""
        self.tokens[place], self.summaries[place], self.log_f0[place] = tokens, summary, log_f0

    def at(self, log_f0: Tensor) -> VoiceTokens | None:
        """The voices of those who speak about so high as each mean ln F0 (B,); None if nobody is there."""
        if not self.is_peopled:
            return None
        there = self.log_f0 > 0
        distance = (self.log_f0[there] - log_f0[:, None]) / _WIDTH
        shares = torch.log_softmax(-0.5 * distance.square(), dim=1)
        return VoiceTokens(
            tokens=self.tokens[there].flatten(0, 1)[None].expand(len(log_f0), -1, -1),
            mask=shares.repeat_interleave(self.tokens.shape[1], dim=1),
            summary=shares.exp() @ self.summaries[there],
        )
