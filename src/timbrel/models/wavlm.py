"""WavLM (Chen et al. 2022): self-supervised frames of speech, 50 a second, through `transformers`.

Any layer of Base, Base+ or Large; kNN-VC, LinearVC and others take layer 6 of Large, where what is said and
who says it both are, close to linearly. Only the layers asked for are built and run. The waveform goes in as
it is: kNN-VC, LinearVC and FreeVC do not normalise it, for Large neither, although Large was trained on
waveforms of mean 0 and deviation 1, to which the feature extractor of `transformers` would bring it. What was
trained on frames of the raw waveform wants them so.

Attention sees the whole input, and in Base a normalisation over time does too, so that a window never gives
exactly what the whole does; `models.content` gives every window two seconds on either side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.config import require_sizes
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models.layers import fold_weight_norm

WAVEFORM = FeatureSpec(kind="waveform", sample_rate=16000, hop=1, dim=1)
#: What a window should know of its surroundings.
_CONTEXT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class WavLMConfig:
    """Sizes of a WavLM; the defaults are Large's, as kNN-VC uses it.

    Fields:
        layer: how many layers the frames have gone through; 0 takes what the first one is given.
        final_norm: normalise after the last of them, which FreeVC wants of all 24 and kNN-VC does not. Only
            where norms come first; Base has none there.
        width, heads, feed_forward: of the transformer.
        conv_width, conv_kernels, conv_strides: of the convolutions on the waveform.
        conv_norm: "layer" in each convolution (Large), or "group", over time, in the first one (Base).
        norm_first: whether norms stand before attention and feed-forward (Large) or after (Base).
        position_kernel, position_groups: of the convolution that tells frames their places.
        buckets, max_distance: of the relative positions; they leave no trace in the shapes.

    Raises:
        ConfigError: a size is impossible.
    """

    spec_in: FeatureSpec = WAVEFORM
    layer: int = 6
    final_norm: bool = False
    width: int = 1024
    heads: int = 16
    feed_forward: int = 4096
    conv_width: int = 512
    conv_kernels: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_strides: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = False
    conv_norm: Literal["layer", "group"] = "layer"
    norm_first: bool = True
    position_kernel: int = 128
    position_groups: int = 16
    buckets: int = 320
    max_distance: int = 800

    def __post_init__(self) -> None:
        require_sizes(self, "layer", least=0)
        require_sizes(self, "width", "heads", "feed_forward", "conv_width", "conv_kernels", "conv_strides")
        require_sizes(self, "position_kernel", "position_groups", "buckets", "max_distance")
        if self.spec_in.kind != "waveform":
            raise ConfigError(f'spec_in must be a waveform, not a "{self.spec_in.kind}".')
        if not self.width % self.heads == self.width % self.position_groups == 0:
            raise ConfigError(
                f"width must divide by heads and position_groups: they are {self.width}, {self.heads} and "
                f"{self.position_groups}."
            )
        if len(self.conv_kernels) != len(self.conv_strides):
            raise ConfigError("conv_kernels and conv_strides need one value for each convolution.")
        if self.final_norm and not self.norm_first:
            raise ConfigError("final_norm belongs to norm_first: with norms last there is none at the end.")

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return math.prod(self.conv_strides)

    @property
    def field(self) -> int:
        """Samples under the convolutions of one frame."""
        field = 1
        for kernel, stride in zip(reversed(self.conv_kernels), reversed(self.conv_strides), strict=True):
            field = (field - 1) * stride + kernel
        return field


class WavLM(nn.Module):
    """Raw waveform (B, L, 1) -> frames (B, ceil(L / 320), width).

    Frame i has its convolutions over samples 320 i to 320 i + 399; zeros follow the end of the waveform, as
    in kNN-VC's training, so that a vocoder of hop 320 gives no less than L samples.

    Raises:
        ConfigError: `transformers` is not installed.
    """

    family = "wavlm"
    Config = WavLMConfig
    #: It hears waveforms at the level they have.
    levelled = False

    def __init__(self, config: WavLMConfig) -> None:
        super().__init__()
        self.config = config
        self.spec_in = config.spec_in
        self.spec_out = FeatureSpec(
            kind="learned", sample_rate=config.spec_in.sample_rate, hop=config.hop, dim=config.width
        )
        self.network: Any = _transformer(config)
        if config.norm_first and not config.final_norm:
            # Without it the last hidden state is what the published code calls the output of that layer.
            self.network.encoder.layer_norm = nn.Identity()
        fold_weight_norm(self)

    def forward(self, waveform: Tensor) -> Tensor:
        samples = waveform[..., 0]
        frames = max(1, -(-samples.shape[1] // self.config.hop))
        wanted = (frames - 1) * self.config.hop + self.config.field
        padded = functional.pad(samples, (0, max(0, wanted - samples.shape[1])))
        return torch.as_tensor(self.network(padded[:, :wanted]).last_hidden_state)

    @property
    def context(self) -> int:
        """Frames on either side that a window is given; more could change a frame a little."""
        return round(_CONTEXT_SECONDS * self.spec_out.frame_rate)


def _transformer(config: WavLMConfig) -> Any:
    """The network of `transformers` with as many layers as are wanted; nothing in it is left to chance."""
    try:
        import transformers
    except ImportError as error:
        raise ConfigError("WavLM needs transformers: pip install 'timbrel[wavlm]'.") from error
    count = len(config.conv_kernels)
    sizes = transformers.WavLMConfig(
        hidden_size=config.width,
        num_hidden_layers=config.layer,
        num_attention_heads=config.heads,
        intermediate_size=config.feed_forward,
        conv_dim=(config.conv_width,) * count,
        conv_kernel=config.conv_kernels,
        conv_stride=config.conv_strides,
        conv_bias=config.conv_bias,
        feat_extract_norm=config.conv_norm,
        do_stable_layer_norm=config.norm_first,
        num_conv_pos_embeddings=config.position_kernel,
        num_conv_pos_embedding_groups=config.position_groups,
        num_buckets=config.buckets,
        max_bucket_distance=config.max_distance,
        # What belongs to training alone; without masks there is no embedding of a mask either.
        hidden_dropout=0.0,
        activation_dropout=0.0,
        attention_dropout=0.0,
        feat_proj_dropout=0.0,
        layerdrop=0.0,
        apply_spec_augment=False,
        mask_time_prob=0.0,
        mask_feature_prob=0.0,
    )
    return transformers.WavLMModel(sizes)
