"""The vocoder of RF5/simple-autovc: a HiFi-GAN V1 pickled whole into a torch.package.

The tensors are read from the archive; the source code in it is not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from timbrel.audio.mel import PRESETS
from timbrel.interop.containers import Stored
from timbrel.interop.family import Family, Imported, Options
from timbrel.interop.hifigan_sizes import is_generator, sizes
from timbrel.interop.vocoders import plain_weights, stated_or

#: What the pickle in the archive is called, where there are several.
SECTION = "hifigan"

#: The mel of simple-autovc before it is scaled: (x + 12) / 12 is for AutoVC alone.
_MEL = replace(PRESETS["simple-autovc-16k"], scale=1.0, offset=0.0)


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """A generator with nothing before its first convolution; the container tells it from `hifigan`."""
    return is_generator(tensors, SECTION, projected=False)


def convert(stored: Stored, options: Options) -> Imported:
    """The generator, whether weight norm was taken off before it was packed or not."""
    plain = plain_weights(stored, SECTION)
    spec, note = stated_or(_MEL, options, "which simple-autovc gives it")
    return Imported(
        family="hifigan",
        config=sizes(plain, spec),
        tensors=plain.tensors,
        notes=(note, "The code in the archive was not run."),
        licence="not stated: the repository has no licence file",
        source="RF5/simple-autovc, release stable; HiFi-GAN (Kong, Kim & Bae 2020)",
        published=plain.published,
    )


FAMILY = Family(
    name="simple-autovc-hifigan",
    summary="the 16 kHz HiFi-GAN of simple-autovc, a torch.package",
    recognise=recognise,
    convert=convert,
    options=("mel",),
    container="torch.package",
)
