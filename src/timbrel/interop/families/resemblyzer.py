"""The encoder of Resemblyzer and Real-Time-Voice-Cloning (SV2TTS): weights under "model_state".

`pretrained.pt` of the package, `encoder.pt`, and `pretrained_bak_5805000.pt` of FreeVC and ppg-vc.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from timbrel.audio.mel import PRESETS
from timbrel.interop.containers import Stored
from timbrel.interop.family import Family, Imported, Options, rows, weights
from timbrel.models.ge2e import DVectorConfig

_SECTIONS = ("model_state", "state_dict", "model")
#: The loss's own two values lie beside the network's.
_OF_THE_LOSS = ("similarity_weight", "similarity_bias")
#: Frames of 10 ms in a window.
_WINDOW = 160
_LEAST_DBFS = -30.0


def _recognise(tensors: Mapping[str, Tensor]) -> bool:
    found = weights(tensors, *_SECTIONS)
    return "lstm.weight_ih_l0" in found and "linear.weight" in found


def _convert(stored: Stored, options: Options) -> Imported:
    found = weights(stored.tensors, *_SECTIONS)
    config = DVectorConfig(
        spec_in=PRESETS["resemblyzer-16k"],
        width=max(1, rows(found, "lstm.weight_hh_l0") // 4),
        embedding_dim=max(1, rows(found, "linear.weight")),
        window=_WINDOW,
        rectified=True,
        l2_normalised=True,
        least_dbfs=_LEAST_DBFS,
    )
    tensors = {
        name.replace("linear.", "embedding."): tensor
        for name, tensor in found.items()
        if name not in _OF_THE_LOSS
    }
    return Imported(
        family="d-vector",
        config=config,
        tensors=tensors,
        notes=(
            "It hears linear power (resemblyzer-16k) in windows of 1.6 s that overlap by a half; recordings "
            "below -30 dBFS are raised to it; pauses, which Resemblyzer cuts out, are best trimmed.",
        ),
        licence="Apache-2.0 (Resemblyzer) or MIT (Real-Time-Voice-Cloning) for the code they came with",
        source="resemble-ai/Resemblyzer and CorentinJ/Real-Time-Voice-Cloning on GitHub; Jia et al. 2018",
        published=_published,
    )


def _published(name: str) -> str:
    return name.replace("embedding.", "linear.")


FAMILY = Family(
    name="resemblyzer",
    summary="LSTM speaker encoder of Resemblyzer and SV2TTS; non-negative unit vectors of 256 values.",
    recognise=_recognise,
    convert=_convert,
)
