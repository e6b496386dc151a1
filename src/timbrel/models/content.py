"""What a content encoder says of a recording of any length: in windows, so that memory stays flat.

Windows lie at the same places whatever is done with the frames. An encoder whose `context` is all that can
change a frame, such as the bundled one, gives what it would give of the whole; WavLM, which attends to all it
is given, gives nearly that.
"""

from __future__ import annotations

import torch
from torch import Tensor

from timbrel.audio.loudness import level_gain
from timbrel.audio.windows import plan
from timbrel.models import ContentEncoder
from timbrel.models.embedding import listen

#: Of a recording that is heard at once, without its context.
WINDOW_SECONDS = 16.0
#: Of context on either side, for encoders that do not say how much they need.
_CONTEXT_SECONDS = 2.0


def content_frames(
    encoder: ContentEncoder,
    samples: Tensor,
    *,
    gain: float | None = None,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Samples (L,) at the encoder's rate -> its frames (ceil(L / hop), C) on the CPU.

    Args:
        gain: of the recording that `samples` are of, for encoders that hear all at one level (`levelled`);
            by default that of the samples.
        device: where the encoder is, if not on the CPU.
        dtype: of what is given back; half precision takes half the memory.

    Raises:
        ContractError: the encoder hears no audio.
    """
    hop, context = encoder.spec_out.hop, context_of(encoder)
    if getattr(encoder, "levelled", False):
        samples = samples * (
            level_gain(samples.numpy(), encoder.spec_in.sample_rate) if gain is None else gain
        )
    size = max(1, round(WINDOW_SECONDS * encoder.spec_out.frame_rate))
    pieces = []
    for window in plan(-(-len(samples) // hop), size, context):
        piece = samples[window.context_start * hop : window.context_stop * hop]
        heard = listen(encoder.spec_in, piece[None].to(device), encoder.spec_in.sample_rate)
        pieces.append(encoder(heard)[0, window.inner].to("cpu", dtype))
    return torch.cat(pieces)


def context_of(encoder: ContentEncoder) -> int:
    """Frames on either side of a window that an encoder should be given."""
    spec = encoder.spec_out
    return int(getattr(encoder, "context", round(_CONTEXT_SECONDS * spec.frame_rate)))
