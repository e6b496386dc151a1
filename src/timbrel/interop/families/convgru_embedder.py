"""The ConvGRU embedder of simple-speaker-embedding (RF5): weights under "model_state_dict"."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from timbrel.interop.containers import Stored
from timbrel.interop.family import Family, Imported, Options, rows, weights
from timbrel.models.convgru_embedder import ConvGRUEmbedderConfig

_SECTIONS = ("model_state_dict", "model", "state_dict")
_FIRST = "conv_encoder.conv_layers.0.0.weight"


def _recognise(tensors: Mapping[str, Tensor]) -> bool:
    return _FIRST in weights(tensors, *_SECTIONS)


def _convert(stored: Stored, options: Options) -> Imported:
    tensors = weights(stored.tensors, *_SECTIONS)
    config = ConvGRUEmbedderConfig(
        channels=max(1, rows(tensors, _FIRST)),
        width=max(1, rows(tensors, "rnn.weight_hh_l0") // 3),
        embedding_dim=max(1, rows(tensors, "head.weight")),
    )
    return Imported(
        family="convgru-embedder",
        config=config,
        tensors=tensors,
        notes=(
            "It hears the waveform at 16 kHz as it is; a file trained on spoken digits (sc09) has the same "
            "shapes and is no substitute.",
        ),
        licence="MIT for the code; not stated apart from it for the weights",
        source="RF5/simple-speaker-embedding on GitHub",
    )


FAMILY = Family(
    name="convgru-embedder",
    summary="Convolutional GRU speaker encoder on waveforms at 16 kHz; vectors of 256 values.",
    recognise=_recognise,
    convert=_convert,
)
