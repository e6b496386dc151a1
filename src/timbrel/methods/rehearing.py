"""A second attempt: what a converter should have been told, once it is heard what it made of it.

What a content encoder says of a source is not quite free of the source's speaker, and a converter does not
quite say what it is told. Both can be heard: the encoder listens to a first attempt. Words that it hears too
little of are asked for more strongly, and of the detail, which tells how a sound was made and so a little of
who made it, much is taken from the attempt, where the wanted voice makes it. So is how loud each sound is
beside its neighbours, which differs from voice to voice as well.

A converter does not quite have the voice either. The attempt can be heard as if it were a reference: what the
attentions find in the true one is moved away from what they would find in the attempt, by `contrast` times
the difference (`models.converter.ReferenceAttention`), as a steersman holds against the drift.

In both attempts words can be told to be said more distinctly: what makes a moment differ from those around
it is made larger.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from timbrel.models.converter import ConverterConfig

#: Content frames, 0.4 s, beside which `articulated` sees each.
_AROUND = 25
#: Nats below the loudest frame of what is said, down to which it counts as speech.
_SPEECH_RANGE = 6.0


def reconsidered(content: Tensor, heard: Tensor, words: int, config: ConverterConfig) -> Tensor:
    """What a second attempt is told, (B, T, C).

    Args:
        content: what the first was told.
        heard: in the first, as the same encoder hears it.
        words: leading values that say which sounds they are; the others are detail.
        config: with `restore` and `adopt`, the shares.
    """
    apart = heard - content
    return content + torch.cat(
        [-config.restore * apart[..., :words], config.adopt * apart[..., words:]], dim=-1
    )


def speech(energy: Tensor) -> Tensor:
    """Where there is any in a piece, (B, T), by its energies (B, T, 2)."""
    loudness = energy.mean(dim=-1)
    return loudness > loudness.amax(dim=1, keepdim=True) - _SPEECH_RANGE


def articulated(content: Tensor, words: int, share: float) -> Tensor:
    """Content (B, T, C), its first `words` values by a share farther from their mean in the 0.4 s around."""
    if share == 0:
        return content
    said = content[..., :words].transpose(1, 2)
    around = functional.avg_pool1d(said, _AROUND, 1, _AROUND // 2, count_include_pad=False)
    return torch.cat([(said + share * (said - around)).transpose(1, 2), content[..., words:]], dim=-1)


def reach(config: ConverterConfig) -> int:
    """Frames on either side that `articulated` looks at."""
    return _AROUND // 2 if config.articulate else 0
