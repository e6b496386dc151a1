"""A voice as tokens that a decoder attends to, beside a vector for the whole."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class VoiceTokens:
    """What the decoder knows of a voice.

    Fields:
        tokens: (B, R, W), one for each reference frame.
        mask: (B, R), true where a token counts; or, in numbers, what is added to the logarithm of its
            share in the attention.
        summary: (B, W).
        attempt: the voice as a first attempt at it has it, from which a second keeps away; see
            `timbrel.methods.rehearing`.
    """

    tokens: Tensor
    mask: Tensor
    summary: Tensor
    attempt: VoiceTokens | None = None

    def select(self, rows: Tensor) -> VoiceTokens:
        """The voices of these rows of the batch, in this order."""
        attempt = None if self.attempt is None else self.attempt.select(rows)
        return VoiceTokens(self.tokens[rows], self.mask[rows], self.summary[rows], attempt)
