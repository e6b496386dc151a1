"""The published formulas, written plainly over a state dict: one step at a time, no module of torch.nn."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

Weights = Mapping[str, Tensor]


def lstm(w: Weights, prefix: str, frames: Tensor, layer: int, end: str = "") -> Tensor:
    """(B, T, I) -> (B, T, H); gates in the order i, f, g, o; "_reverse" runs backwards."""
    w_in, w_state, b_in, b_state = _layer(w, prefix, layer, end)
    state = cell = frames.new_zeros(len(frames), w_state.shape[1])
    states = []
    for frame in _in_order(frames, end):
        i, f, g, o = (frame @ w_in.T + b_in + state @ w_state.T + b_state).chunk(4, dim=1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        state = o.sigmoid() * cell.tanh()
        states.append(state)
    return torch.stack(states[::-1] if end else states, dim=1)


def gru(w: Weights, prefix: str, frames: Tensor, layer: int, end: str = "") -> Tensor:
    """(B, T, I) -> (B, T, H); gates r, z, n; the reset gate acts after the product with the state."""
    w_in, w_state, b_in, b_state = _layer(w, prefix, layer, end)
    state = frames.new_zeros(len(frames), w_state.shape[1])
    states = []
    for frame in _in_order(frames, end):
        r_in, z_in, n_in = (frame @ w_in.T + b_in).chunk(3, dim=1)
        r_state, z_state, n_state = (state @ w_state.T + b_state).chunk(3, dim=1)
        update = (z_in + z_state).sigmoid()
        proposal = (n_in + (r_in + r_state).sigmoid() * n_state).tanh()
        state = (1 - update) * proposal + update * state
        states.append(state)
    return torch.stack(states[::-1] if end else states, dim=1)


def _layer(w: Weights, prefix: str, layer: int, end: str) -> list[Tensor]:
    return [w[f"{prefix}.{name}_l{layer}{end}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def _in_order(frames: Tensor, end: str) -> list[Tensor]:
    ordered = list(frames.unbind(1))
    return ordered[::-1] if end else ordered


def unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.square().sum(dim=1, keepdim=True).sqrt()


def d_vector(w: Weights, mel: Tensor) -> Tensor:
    """AutoVC's speaker encoder: the last frame, projected, of unit length."""
    hidden = mel
    for layer in range(3):
        hidden = lstm(w, "lstm", hidden, layer)
    return unit(hidden[:, -1] @ w["embedding.weight"].T + w["embedding.bias"])


def resemblyzer(w: Weights, mel: Tensor) -> Tensor:
    """The last state, projected, its positive part, of unit length."""
    hidden = mel
    for layer in range(3):
        hidden = lstm(w, "lstm", hidden, layer)
    return unit((hidden[:, -1] @ w["linear.weight"].T + w["linear.bias"]).clamp(min=0))


def gru_embedder(w: Weights, mel: Tensor) -> Tensor:
    hidden = (mel + 5.76) / 5.76
    for layer in range(3):
        hidden = gru(w, "rnn_stack", hidden, layer)
    return unit(hidden[:, -1] @ w["projection.weight"].T + w["projection.bias"])


def convgru_embedder(w: Weights, waveform: Tensor) -> Tensor:
    """(B, L) within [-1, 1]; after the first convolution every channel is normalised over time."""
    hidden = waveform.clamp(-1, 1)[:, None]
    for index, stride in enumerate((5, 2, 2, 2, 2, 2, 2)):
        hidden = functional.conv1d(hidden, w[f"conv_encoder.conv_layers.{index}.0.weight"], stride=stride)
        if index == 0:
            mean, variance = hidden.mean(2, keepdim=True), hidden.var(2, unbiased=False, keepdim=True)
            scale, shift = (w[f"conv_encoder.conv_layers.0.2.{name}"][:, None] for name in ("weight", "bias"))
            hidden = (hidden - mean) / (variance + 1e-5).sqrt() * scale + shift
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    frames = hidden.transpose(1, 2)
    for layer in range(3):
        forward, backward = gru(w, "rnn", frames, layer), gru(w, "rnn", frames, layer, "_reverse")
        frames = torch.cat([forward, backward], dim=2)
    ends = torch.cat([forward[:, -1], backward[:, 0]], dim=1)
    return unit(ends @ w["head.weight"].T + w["head.bias"])


def autovc(
    w: Weights, mel: Tensor, source: Tensor, target: Tensor, freq: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Mel (B, T, 80) with T in whole codes -> mels before and after the postnet, and the codes."""
    frames = mel.shape[1]
    hidden = torch.cat([mel, source[:, None].repeat(1, frames, 1)], dim=2).transpose(1, 2)
    for index in range(3):
        hidden = _convolution(w, f"encoder.convolutions.{index}", hidden).relu()
    states = hidden.transpose(1, 2)
    for layer in range(2):
        forward, backward = (lstm(w, "encoder.lstm", states, layer, end) for end in ("", "_reverse"))
        states = torch.cat([forward, backward], dim=2)
    codes = [
        torch.cat([forward[:, first + freq - 1], backward[:, first]], dim=1)
        for first in range(0, frames, freq)
    ]
    repeated = torch.stack([codes[frame // freq] for frame in range(frames)], dim=1)
    hidden = lstm(w, "decoder.lstm1", torch.cat([repeated, target[:, None].repeat(1, frames, 1)], dim=2), 0)
    hidden = hidden.transpose(1, 2)
    for index in range(3):
        hidden = _convolution(w, f"decoder.convolutions.{index}", hidden).relu()
    hidden = lstm(w, "decoder.lstm2", lstm(w, "decoder.lstm2", hidden.transpose(1, 2), 0), 1)
    projection = "decoder.linear_projection.linear_layer"
    before = hidden @ w[f"{projection}.weight"].T + w[f"{projection}.bias"]
    residual = before.transpose(1, 2)
    for index in range(4):
        residual = _convolution(w, f"postnet.convolutions.{index}", residual).tanh()
    residual = _convolution(w, "postnet.convolutions.4", residual)
    return before, before + residual.transpose(1, 2), torch.stack(codes, dim=1)


def _convolution(w: Weights, prefix: str, hidden: Tensor) -> Tensor:
    """Five taps, then batch normalisation with the statistics of training."""
    hidden = functional.conv1d(hidden, w[f"{prefix}.0.conv.weight"], w[f"{prefix}.0.conv.bias"], padding=2)
    names = ("running_mean", "running_var", "weight", "bias")
    mean, variance, scale, shift = (w[f"{prefix}.1.{name}"][:, None] for name in names)
    return (hidden - mean) / (variance + 1e-5).sqrt() * scale + shift
