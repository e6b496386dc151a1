"""The vocoder of kNN-VC: WavLM-Large's frames through a linear layer and a HiFi-GAN V1 (Baas et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from timbrel.contract import FeatureSpec
from timbrel.interop.containers import Stored
from timbrel.interop.family import Family, Imported, Options
from timbrel.interop.hifigan_sizes import first_channels, is_generator
from timbrel.interop.vocoders import plain_weights
from timbrel.models.hifigan import HiFiGANConfig

SECTION = "generator"

#: The file does not name the encoder's weights: whatever makes frames of this kind is let through.
_FRAMES = FeatureSpec(kind="learned", sample_rate=16000, hop=320, dim=1024)


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """A generator behind a linear layer."""
    return is_generator(tensors, SECTION, projected=True)


def convert(stored: Stored, options: Options) -> Imported:
    """The prematched and the regular file look alike; both are read."""
    plain = plain_weights(stored, SECTION)
    published = HiFiGANConfig.knn_vc(_FRAMES)
    config = replace(published, channels=first_channels(plain, len(published.upsample_rates)))
    return Imported(
        family="hifigan",
        config=config,
        tensors=plain.tensors,
        notes=(
            "It reads the frames of WavLM-Large after layer 6, of audio whose level is left as it is.",
            "The prematched and the regular file have the same names and shapes: which one this is, "
            "the file does not say.",
        ),
        licence="MIT, of the repository that publishes it, (c) 2023 MediaLab, Stellenbosch University",
        source="kNN-VC (Baas, van Niekerk & Kamper 2023), bshall/knn-vc",
        published=plain.published,
    )


FAMILY = Family(
    name="knn-vc-hifigan",
    summary="the HiFi-GAN of kNN-VC, from WavLM-Large's layer 6 to 16 kHz",
    recognise=recognise,
    convert=convert,
)
