"""WavLM (Chen et al. 2022), Base, Base+ and Large: Microsoft's own files, and folders of Hugging Face."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from timbrel.errors import CheckpointError, ConfigError
from timbrel.interop.family import Family, Imported, Options, rows, weights
from timbrel.interop.weight_norm import fold
from timbrel.models.wavlm import WavLMConfig

if TYPE_CHECKING:
    from torch import Tensor

    from timbrel.interop.containers import Stored

T = TypeVar("T")

#: What kNN-VC and LinearVC take.
LAYER = 6
#: Beginnings of Microsoft's names and what `transformers` calls them, in its module of the same sizes.
_RENAMED = (
    ("layer_norm.", "feature_projection.layer_norm."),
    ("post_extract_proj.", "feature_projection.projection."),
    ("encoder.pos_conv.0.", "encoder.pos_conv_embed.conv."),
)
#: Parts of names inside a layer.
_IN_LAYERS = (
    (".self_attn.relative_attention_bias.", ".attention.rel_attn_embed."),
    (".self_attn.grep_linear.", ".attention.gru_rel_pos_linear."),
    (".self_attn.grep_a", ".attention.gru_rel_pos_const"),
    (".self_attn_layer_norm.", ".layer_norm."),
    (".self_attn.", ".attention."),
    (".fc1.", ".feed_forward.intermediate_dense."),
    (".fc2.", ".feed_forward.output_dense."),
)
#: The mask of training, by both names.
_MASKS = ("mask_emb", "masked_spec_embed")
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.")
_CONVOLUTIONS = re.compile(r"\((\d+),\s*(\d+),\s*(\d+)\)\s*\]\s*(?:\*\s*(\d+))?")
_OURS = "network."


@dataclass(frozen=True, slots=True)
class _Facts:
    """What shapes do not tell: strides of the convolutions, order of the norms, reach of the positions."""

    strides: tuple[int, ...] | None = None
    norm_first: bool | None = None
    max_distance: int | None = None
    normalised: bool = False


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """By the gates of its relative positions, which nobody else has."""
    return any(name.endswith((".self_attn.grep_a", ".attention.gru_rel_pos_const")) for name in tensors)


def convert(stored: Stored, options: Options) -> Imported:
    """The layers that are wanted of any of the published sizes."""
    given = weights(stored.tensors, "model", "wavlm")
    microsoft = any(name.endswith(".grep_a") for name in given)
    facts = _of_microsoft(stored.extras) if microsoft else _of_hugging_face(stored.extras)
    rename: Callable[[str], str] = _from_microsoft if microsoft else str
    folded = fold({name: tensor for name, tensor in given.items() if name not in _MASKS})
    folded = {rename(name): tensor for name, tensor in folded.items()}
    by_layer = "feature_extractor.conv_layers.1.layer_norm.weight" in folded
    called: Callable[[str], str] = partial(_to_microsoft, by_layer=by_layer) if microsoft else str
    config, notes = _config(folded, facts, options, called)
    return Imported(
        family="wavlm",
        config=config,
        tensors={_OURS + name: tensor for name, tensor in folded.items() if _wanted(name, config)},
        notes=notes,
        licence="CC BY-SA 3.0 as Hugging Face's page of the weights says; the code is MIT",
        source="Chen et al. 2022 (arXiv:2110.13900), microsoft/unilm",
        published=lambda name: called(name.removeprefix(_OURS)),
    )


def _from_microsoft(name: str) -> str:
    convolution = re.fullmatch(r"feature_extractor\.conv_layers\.(\d+)\.(0|2|2\.1)\.(weight|bias)", name)
    if convolution:
        place, part, value = convolution.groups()
        kind = "conv" if part == "0" else "layer_norm"
        return f"feature_extractor.conv_layers.{place}.{kind}.{value}"
    return _renamed(name, _RENAMED, _IN_LAYERS)


def _to_microsoft(name: str, *, by_layer: bool) -> str:
    convolution = re.fullmatch(r"feature_extractor\.conv_layers\.(\d+)\.(conv|layer_norm)\.(\w+)", name)
    if convolution:
        place, kind, value = convolution.groups()
        part = "0" if kind == "conv" else "2.1" if by_layer else "2"
        return f"feature_extractor.conv_layers.{place}.{part}.{value}"
    back = [[(new, old) for old, new in pairs] for pairs in (_RENAMED, _IN_LAYERS)]
    return _renamed(name, *back)


def _renamed(name: str, beginnings: Iterable[tuple[str, str]], inside: Iterable[tuple[str, str]]) -> str:
    """With another beginning, or inside a layer with other parts; the first of each pair is replaced."""
    for old, new in beginnings:
        if name.startswith(old):
            return new + name.removeprefix(old)
    if _LAYER.match(name):
        for old, new in inside:
            name = name.replace(old, new)
    return name


def _of_microsoft(extras: Mapping[str, Any]) -> _Facts:
    facts = _table(extras, "cfg")
    text = str(facts.get("conv_feature_layers", ""))
    strides = [
        int(stride) for _, _, stride, times in _CONVOLUTIONS.findall(text) for _ in range(int(times or 1))
    ]
    return _Facts(
        tuple(strides) or None,
        _plain(facts, "layer_norm_first", bool),
        _plain(facts, "max_distance", int),
        bool(facts.get("normalize", False)),
    )


def _of_hugging_face(extras: Mapping[str, Any]) -> _Facts:
    facts = _table(extras, "config")
    strides = _plain(facts, "conv_stride", list)
    if strides and not all(isinstance(stride, int) for stride in strides):
        raise CheckpointError(f"its conv_stride is {strides}, where numbers are expected.")
    return _Facts(
        tuple(strides) if strides else None,
        _plain(facts, "do_stable_layer_norm", bool),
        _plain(facts, "max_bucket_distance", int),
        facts.get("feat_extract_norm") == "layer",
    )


def _table(extras: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = extras.get(name) or {}
    if not isinstance(found, Mapping):
        raise CheckpointError(f"its {name} is no table of settings.")
    return found


def _plain(facts: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    found = facts.get(name)
    if found is not None and not isinstance(found, kind):
        raise CheckpointError(f"its {name} is {found!r}, where a {kind.__name__} is expected.")
    return found


def _config(
    tensors: Mapping[str, Tensor], facts: _Facts, options: Options, called: Callable[[str], str]
) -> tuple[WavLMConfig, tuple[str, ...]]:
    """The sizes, mostly from shapes, and what is to be said about them; `called` gives published names."""
    size = partial(rows, tensors, called=called)
    numbers = [int(found[1]) for name in tensors if (found := _LAYER.match(name))]
    count = max(numbers, default=-1) + 1
    layer = LAYER if options.layer is None else options.layer
    if not 0 <= layer <= count:
        raise CheckpointError(f"it has {count} layers, so --layer must lie between 0 and {count}.")
    kernels = _kernels(tensors)
    usual = WavLMConfig()
    by_layer = "feature_extractor.conv_layers.1.layer_norm.weight" in tensors
    norm_first = by_layer if facts.norm_first is None else bool(facts.norm_first)
    width = size("feature_projection.projection.weight")
    group = size("encoder.pos_conv_embed.conv.weight", 1)
    attention = "encoder.layers.0.attention"
    config = _checked(
        layer=layer,
        final_norm=norm_first and layer == count,
        width=width,
        heads=size(f"{attention}.gru_rel_pos_const", 1),
        feed_forward=size("encoder.layers.0.feed_forward.intermediate_dense.weight"),
        conv_width=size("feature_extractor.conv_layers.0.conv.weight"),
        conv_kernels=kernels,
        conv_strides=facts.strides or usual.conv_strides,
        conv_bias="feature_extractor.conv_layers.0.conv.bias" in tensors,
        conv_norm="layer" if by_layer else "group",
        norm_first=norm_first,
        position_kernel=size("encoder.pos_conv_embed.conv.weight", 2),
        position_groups=width // max(1, group),
        buckets=size(f"{attention}.rel_attn_embed.weight"),
        max_distance=facts.max_distance or usual.max_distance,
    )
    return config, _notes(config, count, facts, options)


def _checked(**sizes: Any) -> WavLMConfig:
    try:
        return replace(WavLMConfig(), **sizes)
    except ConfigError as error:
        raise CheckpointError(str(error)) from error


def _kernels(tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    count = sum(bool(re.search(r"conv_layers\.\d+\.conv\.weight$", name)) for name in tensors)
    return tuple(
        rows(tensors, f"feature_extractor.conv_layers.{place}.conv.weight", 2) for place in range(count)
    )


def _notes(config: WavLMConfig, count: int, facts: _Facts, options: Options) -> tuple[str, ...]:
    notes = []
    if options.layer is None:
        notes.append(f"Layer {LAYER} of {count} is taken, as kNN-VC does; --layer takes another.")
    else:
        notes.append(f"Layer {config.layer} of {count} is taken; the layers after it are left out.")
    if config.final_norm:
        notes.append("The last layer comes with the normalisation after it, as FreeVC takes it.")
    if facts.max_distance is None:
        notes.append(
            f"The file does not say how far relative positions reach: {config.max_distance} frames are taken."
        )
    if facts.normalised:
        notes.append("It hears waveforms as they are, as kNN-VC, LinearVC and FreeVC give them to it.")
    return tuple(notes)


def _wanted(name: str, config: WavLMConfig) -> bool:
    """Whether a tensor takes part in the layers that are run."""
    layer = _LAYER.match(name)
    if layer:
        return int(layer[1]) < config.layer
    unused_norm = config.norm_first and not config.final_norm
    return not (unused_norm and name.startswith("encoder.layer_norm."))


FAMILY = Family(
    name="wavlm",
    summary="WavLM: learned frames of speech, 50 a second, that content encoders and kNN-VC start from.",
    recognise=recognise,
    convert=convert,
    options=("layer",),
)
