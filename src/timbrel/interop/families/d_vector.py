"""The speaker encoder published with AutoVC, D_VECTOR: `3000000-BL.ckpt`, weights under "model_b"."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from timbrel.interop.containers import Stored
from timbrel.interop.family import Family, Imported, Options, rows, weights
from timbrel.models.ge2e import DVectorConfig

_SECTIONS = ("model_b", "model_state_dict", "state_dict", "model")


def _recognise(tensors: Mapping[str, Tensor]) -> bool:
    found = weights(tensors, *_SECTIONS)
    return "lstm.weight_ih_l0" in found and "embedding.weight" in found


def _convert(stored: Stored, options: Options) -> Imported:
    tensors = weights(stored.tensors, *_SECTIONS)
    config = DVectorConfig(
        width=max(1, rows(tensors, "lstm.weight_hh_l0") // 4),
        embedding_dim=max(1, rows(tensors, "embedding.weight")),
    )
    return Imported(
        family="d-vector",
        config=config,
        tensors=tensors,
        notes=("Its mel is autovc-16k, and it hears windows of 128 frames, 2 s, whose mean is not scaled.",),
        licence="not stated for the weights; the code is MIT",
        source="auspicious3000/autovc on GitHub; Qian et al., ICML 2019",
    )


FAMILY = Family(
    name="autovc-speaker-encoder",
    summary="The LSTM speaker encoder (D_VECTOR) published with AutoVC; vectors of 256 values.",
    recognise=_recognise,
    convert=_convert,
)
