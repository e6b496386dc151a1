"""AutoVC as its authors published it (Qian et al. 2019): `autovc.ckpt`, weights under "model"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from timbrel.audio.mel import PRESETS
from timbrel.contract import EmbeddingSpec, FeatureSpec
from timbrel.errors import CheckpointError, ConfigError
from timbrel.interop.containers import Stored
from timbrel.interop.family import Family, Imported, Options, front_end, rows, weights
from timbrel.models.autovc import AutoVCConfig

#: Frames in a code of the published network; the training script's default is 16.
FREQ = 32
#: Mel frames of a crop in training.
CROP = 128
#: Where a checkpoint may hold the network.
SECTIONS = ("model", "model_state_dict", "state_dict", "generator")
#: A name that no other published network has.
SIGN = "encoder.convolutions.0.0.conv.weight"

#: The vectors that the published network was trained with. Files do not say whose they were, so the
#: encoder is named by its family; the pipeline that joins the two writes the fingerprint of its weights.
D_VECTORS = EmbeddingSpec("d-vector", 256, l2_normalised=False, input=PRESETS["autovc-16k"])


def network(
    stored: Stored, options: Options, spec: FeatureSpec, embedding: EmbeddingSpec
) -> tuple[AutoVCConfig, dict[str, Tensor]]:
    """Sizes that follow from the shapes, and the tensors under our names.

    Raises:
        CheckpointError: a tensor from which a size follows is missing, as a clause.
        ConfigError: `freq` is impossible.
    """
    found = weights(stored.tensors, *SECTIONS)
    freq = FREQ if options.freq is None else options.freq
    if freq < 1:
        raise ConfigError(f"freq must be at least 1, not {freq}.")
    bands = rows(found, "decoder.linear_projection.linear_layer.weight")
    if bands != spec.dim:
        raise CheckpointError(
            f"decoder.linear_projection.linear_layer.weight has {bands} rows, wanted {spec.dim}"
        )
    config = AutoVCConfig(
        embedding=replace(embedding, dim=max(1, rows(found, SIGN, 1) - spec.dim)),
        spec=spec,
        dim_neck=max(1, rows(found, "encoder.lstm.weight_hh_l0") // 4),
        freq=freq,
        dim_pre=max(1, rows(found, "decoder.lstm1.weight_hh_l0") // 4),
        channels=max(1, rows(found, SIGN)),
        dim_recurrent=max(1, rows(found, "decoder.lstm2.weight_hh_l0") // 4),
        window=max(1, CROP // freq) * freq,
    )
    return config, _renamed(found)


def frames_note(options: Options, config: AutoVCConfig) -> str:
    """What was taken for `freq`, and what else fits."""
    how = "as stated" if options.freq is not None else "the published value, since the file does not say"
    other = "; a network of the training script's defaults wants --freq 16" if options.freq is None else ""
    return f"freq is {config.freq} mel frames in a code, {how}{other}."


def mel_note(options: Options, name: str) -> str:
    """What was taken for the mel."""
    how = "as stated" if options.mel is not None else "the published one, since the file does not say"
    return f"Its mel is {options.mel or name}, {how}."


def published(name: str) -> str:
    """The published name of a tensor of ours."""
    if name.startswith("decoder.linear_projection."):
        return name.replace("linear_projection.", "linear_projection.linear_layer.")
    layer, _, last = name.rpartition(".")
    return f"{layer}.conv.{last}" if ".convolutions." in name and layer.endswith(".0") else name


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {
        name.replace(".conv.", ".").replace(".linear_layer.", "."): tensor for name, tensor in tensors.items()
    }
    # Files of old versions do not count batches, and nothing depends on the count.
    for name, tensor in list(renamed.items()):
        if name.endswith(".running_mean"):
            counter = name.replace("running_mean", "num_batches_tracked")
            renamed.setdefault(counter, tensor.new_zeros(()).long())
    return renamed


def _recognise(tensors: Mapping[str, Tensor]) -> bool:
    return f"model.{SIGN}" in tensors or SIGN in weights(tensors)


def _convert(stored: Stored, options: Options) -> Imported:
    config, tensors = network(stored, options, front_end(options, "autovc-16k"), D_VECTORS)
    return Imported(
        family="autovc",
        config=config,
        tensors=tensors,
        notes=(
            frames_note(options, config),
            mel_note(options, "autovc-16k"),
            "It goes with vectors of autovc-speaker-encoder, averaged and not scaled, and with no others.",
        ),
        licence="not stated for the weights; the code is MIT",
        source="auspicious3000/autovc on GitHub; Qian et al., ICML 2019",
        published=published,
    )


FAMILY = Family(
    name="autovc",
    summary="AutoVC, zero-shot voice conversion on mels of 16 kHz, with d-vectors of 256 values.",
    recognise=_recognise,
    convert=_convert,
    options=("freq", "mel"),
)
