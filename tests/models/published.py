"""Forward passes of published networks, from their weights alone, as paper and official code have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

State = Mapping[str, Tensor]


def hifigan(
    state: State, features: Tensor, rates: Sequence[int], dilations: Sequence[Sequence[int]]
) -> Tensor:
    """HiFi-GAN of either kind of residual block: (B, T, D) -> (B, L)."""

    def conv(name: str, x: Tensor, dilation: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        side = (weight.shape[2] * dilation - dilation) // 2
        return functional.conv1d(x, weight, state[f"{name}.bias"], padding=side, dilation=dilation)

    if "lin_pre.weight" in state:
        features = features @ state["lin_pre.weight"].T + state["lin_pre.bias"]
    x = conv("conv_pre", features.transpose(1, 2))
    for i, rate in enumerate(rates):
        weight, bias = state[f"ups.{i}.weight"], state[f"ups.{i}.bias"]
        padding = (weight.shape[2] - rate) // 2
        x = functional.conv_transpose1d(functional.leaky_relu(x, 0.1), weight, bias, rate, padding)
        outputs = []
        for j, group in enumerate(dilations):
            y, block = x, f"resblocks.{i * len(dilations) + j}"
            for n, dilation in enumerate(group):
                z = functional.leaky_relu(y, 0.1)
                if f"{block}.convs1.{n}.weight" in state:
                    z = functional.leaky_relu(conv(f"{block}.convs1.{n}", z, dilation), 0.1)
                    y = y + conv(f"{block}.convs2.{n}", z)
                else:
                    y = y + conv(f"{block}.convs.{n}", z, dilation)
            outputs.append(y)
        x = torch.stack(outputs).mean(0)
    return torch.tanh(conv("conv_post", functional.leaky_relu(x, 0.01)))[:, 0]


def vocgan(state: State, features: Tensor) -> list[Tensor]:
    """VocGAN: (B, T, 80) -> waveforms of the rates that it has heads for, coarsest first."""

    def conv(name: str, x: Tensor, pad: int = 0, dilation: int = 1) -> Tensor:
        padded = functional.pad(x, (pad, pad), "reflect")
        return functional.conv1d(padded, state[f"{name}.weight"], state[f"{name}.bias"], dilation=dilation)

    def up(name: str, x: Tensor, rate: int) -> Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        assert weight.shape[2] == 2 * rate
        return functional.conv_transpose1d(x, weight, bias, rate, rate // 2)

    def relu(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    m = (features.transpose(1, 2) + 5) / 5
    x = conv("start.1", m, 3)
    waveforms = []
    for n, rate in enumerate((4, 4, 2, 2, 2, 2), 1):
        x = up(f"upsample_{n}.1", relu(x), rate)
        if n >= 3:
            x = x + up(f"skip_upsample_{n - 2}", m, 4 * 2**n)
        for j in range(4):
            stack = f"res_stack_{n}.{j}"
            dilated = conv(f"{stack}.block.2", relu(x), 3**j, 3**j)
            x = conv(f"{stack}.shortcut", x) + conv(f"{stack}.block.4", relu(dilated))
        head = "out.2" if n == 6 else f"sub_out_{n - 1}.2"
        if f"{head}.weight" in state:
            waveforms.append(torch.tanh(conv(head, relu(x), 3))[:, 0])
    return waveforms


def vocos(state: State, features: Tensor, hop: int) -> Tensor:
    """Vocos: (B, T, D) -> (B, (T - 1) * hop), not clipped."""

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        deviation = (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return centred / deviation * state[f"{name}.weight"] + state[f"{name}.bias"]

    def conv(name: str, x: Tensor, groups: int) -> Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return functional.conv1d(x.transpose(1, 2), weight, bias, padding=3, groups=groups).transpose(1, 2)

    x = norm("backbone.norm", conv("backbone.embed", features, 1))
    for i in range(sum(name.endswith(".gamma") for name in state)):
        block = f"backbone.convnext.{i}"
        y = norm(f"{block}.norm", conv(f"{block}.dwconv", x, x.shape[2]))
        y = linear(f"{block}.pwconv1", y)
        y = y * 0.5 * (1 + torch.erf(y / 2**0.5))
        x = x + state[f"{block}.gamma"] * linear(f"{block}.pwconv2", y)
    out = linear("head.out", norm("backbone.final_layer_norm", x)).transpose(1, 2)
    half = out.shape[1] // 2
    size, angle = out[:, :half].exp().clamp(max=100), out[:, half:]
    n_fft = 2 * half - 2
    spectra = torch.complex(size * angle.cos(), size * angle.sin())
    return torch.istft(spectra, n_fft, hop, window=torch.hann_window(n_fft), center=True)


def vqvc(state: State, source: Tensor, reference: Tensor) -> Tensor:
    """VQVC-Pytorch's conversion of normalised mels: (B, T, 80), (B, R, 80) -> (B, T, 80), T and R even."""
    content, _ = _take_apart(state, source)
    _, speaker = _take_apart(state, reference)
    unit = content / (content.norm(dim=2, keepdim=True) + 1e-4)
    mixed = unit + (speaker / (speaker.norm(dim=1, keepdim=True) + 1e-4))[:, None]
    x = functional.conv1d(mixed.transpose(1, 2), state["decoder.res_blocks.0.weight"], padding=1)
    for block in ("decoder.res_blocks.1", "decoder.res_blocks.2"):
        x = x + torch.relu(functional.conv1d(x, state[f"{block}.weight"], state[f"{block}.bias"], padding=1))
    x = functional.interpolate(x, scale_factor=2, mode="nearest")
    smooth = "decoder.res_blocks.4"
    x = torch.relu(
        functional.conv1d(x, state[f"{smooth}.weight"], state[f"{smooth}.bias"], padding=1)[..., :-1]
    )
    out = x.transpose(1, 2) @ state["decoder.res_blocks.5.weight"].T
    return out + state["decoder.res_blocks.5.bias"]


def _take_apart(state: State, mel: Tensor) -> tuple[Tensor, Tensor]:
    """Content (B, T / 2, 32) and speaker (B, 32) of a mel."""

    def conv(index: int, x: Tensor) -> Tensor:
        name = f"encoder.encoder.{index}"
        return functional.conv1d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)

    first = "encoder.encoder.0"
    weight, bias = state[f"{first}.weight"], state[f"{first}.bias"]
    x = functional.conv1d(mel.transpose(1, 2), weight, bias, stride=2, padding=2)[..., :-1]
    x = conv(2, conv(1, torch.relu(x)))
    for index in (3, 4):
        x = x + torch.relu(conv(index, x))
    z = functional.conv1d(x, state["encoder.encoder.5.weight"]).transpose(1, 2)
    normal = (z - z.mean(1, keepdim=True)) / (z.std(1, keepdim=True) + 1e-5)
    rows = state["codebook.embedding"]
    units = rows / (rows.norm(dim=1, keepdim=True) + 1e-4)
    chosen = rows[torch.cdist(normal, units.expand(len(z), -1, -1)).argmin(2)]
    return chosen, (z - chosen).mean(1)
