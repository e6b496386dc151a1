"""The GRU embedder of simple-speaker-embedding (RF5): a bare state dict whose names begin with "model."."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from timbrel.interop.containers import Stored
from timbrel.interop.family import Family, Imported, Options, rows, weights
from timbrel.models.gru_embedder import GRUEmbedderConfig

_SECTIONS = ("model", "model_state_dict.model", "model_state_dict", "state_dict")


def _recognise(tensors: Mapping[str, Tensor]) -> bool:
    found = weights(tensors, *_SECTIONS)
    return "rnn_stack.weight_ih_l0" in found and "projection.weight" in found


def _convert(stored: Stored, options: Options) -> Imported:
    tensors = weights(stored.tensors, *_SECTIONS)
    config = GRUEmbedderConfig(
        width=max(1, rows(tensors, "rnn_stack.weight_hh_l0") // 3),
        embedding_dim=max(1, rows(tensors, "projection.weight")),
    )
    return Imported(
        family="gru-embedder",
        config=config,
        tensors=tensors,
        notes=("Its mel is tacotron-22k, natural logarithms at 22.05 kHz, which it normalises itself.",),
        licence="MIT for the code; not stated apart from it for the weights",
        source="RF5/simple-speaker-embedding on GitHub",
    )


FAMILY = Family(
    name="gru-embedder",
    summary="GRU speaker encoder on mels at 22.05 kHz, the one simple-autovc was trained with.",
    recognise=_recognise,
    convert=_convert,
)
