"""simple-autovc (RF5): AutoVC's network trained anew, on natural logarithms and with GRU vectors.

`checkpoint_noopt.pth` and the training's `checkpoint_last.pth`, weights under "model_state_dict".
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from timbrel.audio.mel import PRESETS
from timbrel.contract import EmbeddingSpec
from timbrel.interop.containers import Stored
from timbrel.interop.families.autovc import SIGN, frames_note, mel_note, network, published
from timbrel.interop.family import Family, Imported, Options, front_end, weights

#: What it was trained with: vectors of the GRU embedder on mels at 22.05 kHz. A ConvGRU embedder's have
#: the same length and pass every check of shapes.
GRU_VECTORS = EmbeddingSpec("gru-embedder", 256, l2_normalised=True, input=PRESETS["tacotron-22k"])


def _recognise(tensors: Mapping[str, Tensor]) -> bool:
    return f"model_state_dict.{SIGN}" in tensors or SIGN in weights(tensors)


def _convert(stored: Stored, options: Options) -> Imported:
    config, tensors = network(stored, options, front_end(options, "simple-autovc-16k"), GRU_VECTORS)
    return Imported(
        family="autovc",
        config=config,
        tensors=tensors,
        notes=(
            frames_note(options, config),
            mel_note(options, "simple-autovc-16k"),
            "It goes with vectors of gru-embedder, and with no others: those of convgru-embedder are as long "
            "and mean something else.",
        ),
        licence="none stated, neither for the code nor for the weights",
        source="RF5/simple-autovc on GitHub; the method is of Qian et al., ICML 2019",
        published=published,
    )


FAMILY = Family(
    name="simple-autovc",
    summary="AutoVC trained on VCTK with natural logarithms and vectors of the GRU embedder.",
    recognise=_recognise,
    convert=_convert,
    options=("freq", "mel"),
)
