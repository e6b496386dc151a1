"""VQVC of Jackson-Kang/VQVC-Pytorch (Wu & Lee 2020): `model-XXXk.pth.tar`.

Mean and deviation of each mel band, by which its mels are normalised, are neither in the file nor in the
repository (`mel_stats.npy`), so they must be stated. Its codebook was never trained: it is the random one
that the run began with, and belongs to the weights all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from timbrel.audio.mel import PRESETS
from timbrel.errors import CheckpointError
from timbrel.interop.containers import Stored
from timbrel.interop.family import Family, Imported, Options, weights
from timbrel.interop.vocoders import stated_or
from timbrel.models.vqvc import VQVCConfig

SECTION = "model"

#: Our name for each layer and buffer.
_NAMES = {
    "encoder.encoder.0": "encoder.downsample",
    "encoder.encoder.1": "encoder.expand",
    "encoder.encoder.2": "encoder.contract",
    "encoder.encoder.3": "encoder.blocks.0.convolution",
    "encoder.encoder.4": "encoder.blocks.1.convolution",
    "encoder.encoder.5": "encoder.project",
    "codebook.embedding": "quantizer.codebook",
    "codebook.ema_count": "quantizer.ema_count",
    "codebook.ema_weight": "quantizer.ema_sum",
    "decoder.res_blocks.0": "decoder.widen",
    "decoder.res_blocks.1": "decoder.blocks.0.convolution",
    "decoder.res_blocks.2": "decoder.blocks.1.convolution",
    "decoder.res_blocks.4": "decoder.smooth",
    "decoder.res_blocks.5": "decoder.project",
}
_OURS = {ours: theirs for theirs, ours in _NAMES.items()}


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """A codebook between the two stacks of layers."""
    names = weights(tensors, SECTION).keys()
    return {"codebook.embedding", "encoder.encoder.0.weight", "decoder.res_blocks.0.weight"} <= names


def convert(stored: Stored, options: Options) -> Imported:
    """The network with the statistics that the user states.

    Raises:
        CheckpointError: there are none, or they are no mean and deviation of every band.
    """
    given = weights(stored.tensors, SECTION)
    spec, note = stated_or(PRESETS["vqvc-22k"], options, "which the published file reads")
    if options.mel_stats is None:
        raise CheckpointError(
            f"it needs mean and deviation of its {spec.dim} mel bands, which are published nowhere: state "
            f"mel_stats.npy of its training, an array (2, {spec.dim}), with --mel-stats."
        )
    config = VQVCConfig.published(spec)
    tensors = {_renamed(name, _NAMES): tensor for name, tensor in given.items()}
    start = f"{SECTION}." if any(name.startswith(f"{SECTION}.") for name in stored.tensors) else ""
    return Imported(
        family="vqvc",
        config=config,
        tensors=_with_counts(tensors, config.codes) | _statistics(options.mel_stats, spec.dim),
        notes=(note, f"Its mels are normalised by {options.mel_stats.name}, as stated."),
        licence="MIT for the code (c) 2021 Jackson Kang; not stated for the weights",
        source="VQVC (Wu & Lee 2020), Jackson-Kang/VQVC-Pytorch",
        published=lambda name: start + _renamed(name, _OURS),
    )


def _renamed(name: str, names: Mapping[str, str]) -> str:
    """The name with what stands for its layer, or for itself, exchanged."""
    if name in names:
        return names[name]
    layer, _, last = name.rpartition(".")
    return f"{names[layer]}.{last}" if layer in names else name


def _with_counts(tensors: Mapping[str, Tensor], codes: int) -> dict[str, Tensor]:
    """The codebook as one that has begun, so that training goes on from it instead of drawing another."""
    counters = {
        "quantizer.idle": torch.zeros(codes, dtype=torch.long),
        "quantizer.updates": torch.ones((), dtype=torch.long),
    }
    counts = tensors.get("quantizer.ema_count")
    if counts is not None and "quantizer.codebook" in tensors and not bool(counts.any()):
        # Running means that never ran: each code weighs as much as one vector.
        counters["quantizer.ema_count"] = torch.ones_like(counts)
        counters["quantizer.ema_sum"] = tensors["quantizer.codebook"].clone()
    return {**tensors, **counters}


def _statistics(path: Path, dim: int) -> dict[str, Tensor]:
    """Row 0 the mean, row 1 the deviation, as sklearn's StandardScaler gives them."""
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CheckpointError(
            f"{path} of --mel-stats cannot be read as an array of numpy: {error}."
        ) from error
    if not isinstance(rows, np.ndarray) or rows.shape != (2, dim) or rows.dtype.kind != "f":
        found = f"{rows.dtype} {rows.shape}" if isinstance(rows, np.ndarray) else "an archive"
        raise CheckpointError(f"{path} of --mel-stats holds {found}, wanted floating numbers (2, {dim}).")
    if not np.isfinite(rows).all() or (rows[1] <= 0).any():
        raise CheckpointError(
            f"{path} of --mel-stats must hold means in its first row and deviations, above 0, in its second."
        )
    mean, deviation = torch.from_numpy(rows.astype(np.float32))
    return {
        f"{scale}_scale.{name}": value.clone()
        for scale in ("input", "output")
        for name, value in (("mean", mean), ("deviation", deviation))
    }


FAMILY = Family(
    name="vqvc",
    summary="VQVC voice conversion over 22.05 kHz mels",
    recognise=recognise,
    convert=convert,
    options=("mel", "mel_stats"),
)
