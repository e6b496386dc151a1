"""VocGAN generators of rishikksh20/VocGAN (Yang et al. 2020), which VQVC-Pytorch uses as well."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from timbrel.audio.mel import PRESETS
from timbrel.contract import FeatureSpec
from timbrel.interop.containers import Stored
from timbrel.interop.family import Family, Imported, Options, weights
from timbrel.interop.vocoders import plain_weights, stated_or
from timbrel.models.vocgan import VocGANConfig, for_use

SECTION = "model_g"

#: Parts that only this generator has.
_SIGNS = ("start.1.", "upsample_6.1.", "res_stack_6.3.shortcut.", "skip_upsample_4.")


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """Six stages with residual stacks, into four of which the mel comes again."""
    names = weights(tensors, SECTION).keys()
    return all(any(name.startswith(sign) for name in names) for sign in _SIGNS)


def convert(stored: Stored, options: Options) -> Imported:
    """The generator, without the heads for coarser waveforms that some files have."""
    plain = plain_weights(stored, SECTION)
    spec, note = _mel(stored, options)
    config, tensors = for_use(VocGANConfig(spec), plain.tensors)
    dropped = ("Its heads for coarser waveforms, which serve training only, are left out.",)
    return Imported(
        family="vocgan",
        config=config,
        tensors=tensors,
        notes=(note, *(dropped if len(tensors) < len(plain.tensors) else ())),
        licence="MIT for the code (c) 2020 Rishikesh; not stated for the weights",
        source="VocGAN (Yang et al. 2020), rishikksh20/VocGAN",
        published=plain.published,
    )


def _mel(stored: Stored, options: Options) -> tuple[FeatureSpec, str]:
    """What the user states, what the file's own settings say, or the authors' 22.05 kHz."""
    published = PRESETS["vocgan-22k"]
    given = _settings(stored.extras.get("hp_str"))
    if options.mel is None and given.keys() >= _SETTINGS:
        spec = replace(
            published,
            sample_rate=int(given["sampling_rate"]),
            hop=int(given["hop_length"]),
            dim=int(given["n_mel_channels"]),
            n_fft=int(given["filter_length"]),
            window=int(given["win_length"]),
            f_min=given["mel_fmin"],
            f_max=given["mel_fmax"],
        )
        return spec, "Its mel is that of the settings in the file."
    return stated_or(published, options, "which the published files read")


#: What the settings say of the mel.
_SETTINGS = {
    "sampling_rate",
    "hop_length",
    "n_mel_channels",
    "filter_length",
    "win_length",
    "mel_fmin",
    "mel_fmax",
}


def _settings(text: object) -> dict[str, float]:
    """The lines `name: number` of the settings, a YAML text that the file carries along."""
    if not isinstance(text, str):
        return {}
    lines = re.findall(r"^ *(\w+): *(\d+(?:\.\d*)?) *(?:#.*)?$", text, re.MULTILINE)
    return {name: float(number) for name, number in lines}


FAMILY = Family(
    name="vocgan",
    summary="VocGAN vocoder, 22.05 kHz",
    recognise=recognise,
    convert=convert,
    options=("mel",),
)
