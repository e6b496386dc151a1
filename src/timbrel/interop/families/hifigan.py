"""HiFi-GAN generators of jik876/hifi-gan: V1 to V3 and others of that architecture (Kong, Kim & Bae 2020).

A file holds weights alone. Its mel, its rates and its dilations are in the `config.json` that the
authors put beside it; without that they are taken as all their published files have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from timbrel.audio.mel import PRESETS
from timbrel.contract import FeatureSpec
from timbrel.interop.containers import Stored
from timbrel.interop.family import Family, Imported, Options
from timbrel.interop.hifigan_sizes import Settings, is_generator, settings_beside, sizes
from timbrel.interop.vocoders import plain_weights, stated_or

SECTION = "generator"


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """A generator with nothing before its first convolution."""
    return is_generator(tensors, SECTION, projected=False)


def convert(stored: Stored, options: Options) -> Imported:
    """The generator, whatever the spelling of its weight norm."""
    plain = plain_weights(stored, SECTION)
    settings = settings_beside(stored.path)
    spec, note = _mel(options, settings)
    return Imported(
        family="hifigan",
        config=sizes(plain, spec, settings),
        tensors=plain.tensors,
        notes=(note,),
        licence="MIT for the code (c) 2020 Jungil Kong; not stated for the weights",
        source="HiFi-GAN (Kong, Kim & Bae 2020), jik876/hifi-gan",
        published=plain.published,
    )


def _mel(options: Options, settings: Settings | None) -> tuple[FeatureSpec, str]:
    """What the user states, what lies beside the file, or the authors' 22.05 kHz."""
    rate = options.sample_rate
    if settings is not None and options.mel is None and rate in (None, settings.sampling_rate):
        return settings.mel, "Mel, rates and dilations are those of the config.json beside the file."
    spec = PRESETS["hifigan-22k"]
    if rate is not None:
        return stated_or(replace(spec, sample_rate=rate), options, "at the rate that is stated")
    return stated_or(spec, options, "which the published LJ, VCTK and UNIVERSAL files read")


FAMILY = Family(
    name="hifigan",
    summary="HiFi-GAN vocoder, V1 to V3, of any sample rate and mel",
    recognise=recognise,
    convert=convert,
    options=("mel", "sample_rate"),
)
