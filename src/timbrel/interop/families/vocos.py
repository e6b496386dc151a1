"""Vocos of gemelo-ai/vocos over mels: `pytorch_model.bin` of charactr/vocos-mel-24khz (Siuzdak 2023)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from timbrel.audio.mel import PRESETS, filterbank
from timbrel.contract import FeatureSpec
from timbrel.errors import CheckpointError
from timbrel.interop.containers import Stored
from timbrel.interop.family import Family, Imported, Options, rows, without_module
from timbrel.interop.vocoders import stated_or
from timbrel.models.vocos import VocosConfig

_MEL_BANDS = "feature_extractor.mel_spec.mel_scale.fb"
_MEL_WINDOW = "feature_extractor.mel_spec.spectrogram.window"
_WINDOW = "head.istft.window"
#: torchaudio computes its filterbank in single precision, 7e-6 from the exact one.
_TOLERANCE = 1e-4


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """ConvNeXt blocks and a head that gives spectra."""
    names = without_module(tensors).keys()
    return "backbone.convnext.0.dwconv.weight" in names and "head.out.weight" in names


def convert(stored: Stored, options: Options) -> Imported:
    """The network; filterbank and windows in the file say whether the mel is the right one.

    Raises:
        CheckpointError: it is another Vocos, or none.
    """
    tensors = without_module(stored.tensors)
    if "backbone.norm.scale.weight" in tensors:
        raise CheckpointError(
            "backbone.norm.scale.weight belongs to a Vocos that reads the codes of EnCodec: take one of mels."
        )
    spec, note = stated_or(PRESETS["vocos-24k"], options, "which charactr/vocos-mel-24khz reads")
    blocks = {name.split(".")[2] for name in tensors if name.startswith("backbone.convnext.")}
    config = VocosConfig(
        spec,
        width=rows(tensors, "backbone.embed.weight"),
        hidden=rows(tensors, "backbone.convnext.0.pwconv1.weight"),
        blocks=len(blocks),
        n_fft=spec.n_fft,
    )
    agreed = _MEL_BANDS in tensors and options.mel is None
    return Imported(
        family="vocos",
        config=config,
        tensors=_without_front_end(tensors, spec),
        notes=(note, *(("The filterbank in the file is that mel's.",) if agreed else ())),
        licence="MIT, (c) 2023 Charactr Inc.",
        source="Vocos (Siuzdak 2023), gemelo-ai/vocos",
    )


def _without_front_end(tensors: Mapping[str, Tensor], spec: FeatureSpec) -> dict[str, Tensor]:
    """The network's tensors, once those of its front end turned out to be the spec's.

    Raises:
        CheckpointError: naming the one that is not.
    """
    window = torch.hann_window(spec.window)
    expected = {_MEL_WINDOW: window, _MEL_BANDS: filterbank(spec).T, _WINDOW: window}
    for name, wanted in expected.items():
        given = tensors.get(name, wanted)
        if given.shape != wanted.shape:
            raise CheckpointError(f"{name} is {tuple(given.shape)}, wanted {tuple(wanted.shape)}.")
        if not torch.allclose(given.float(), wanted, rtol=0, atol=_TOLERANCE):
            raise CheckpointError(f"{name} is not that of the mel: state the right one with --mel.")
    return {name: tensor for name, tensor in tensors.items() if name not in expected}


FAMILY = Family(
    name="vocos",
    summary="Vocos vocoder, from mels to 24 kHz",
    recognise=recognise,
    convert=convert,
    options=("mel",),
)
