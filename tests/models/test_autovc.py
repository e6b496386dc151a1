"""AutoVC against the published sizes, and against its forward pass put together from torch's own layers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from timbrel.audio.mel import PRESETS
from timbrel.contract import EmbeddingSpec
from timbrel.errors import ConfigError
from timbrel.models.autovc import AutoVC, AutoVCConfig, AutoVCOutput, losses

MEL = PRESETS["autovc-16k"]
EMBEDDING = EmbeddingSpec(encoder="0123456789abcdef", dim=256, l2_normalised=True, input=MEL)
SMALL_EMBEDDING = replace(EMBEDDING, dim=6)


def small(freq: int = 4, dim_neck: int = 3, window: int = 16, spec: object = MEL) -> AutoVC:
    torch.manual_seed(0)
    config = AutoVCConfig(
        SMALL_EMBEDDING,
        replace(spec, dim=10),  # type: ignore[type-var]
        dim_neck=dim_neck,
        freq=freq,
        dim_pre=12,
        channels=14,
        dim_recurrent=16,
        window=window,
    )
    return AutoVC(config).eval()


def inputs(frames: int = 16, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    mel = torch.rand(batch, frames, 10, generator=generator)
    voices = functional.normalize(torch.randn(2, batch, 6, generator=generator), dim=-1)
    return mel, voices[0], voices[1]


@pytest.mark.parametrize(("size", "parameters"), [("paper", 28_422_464), ("code", 28_266_304)])
def test_published_sizes(size: str, parameters: int) -> None:
    model = AutoVC(AutoVCConfig.of(size, EMBEDDING))  # type: ignore[arg-type]
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_published_tensors() -> None:
    tensors = AutoVC(AutoVCConfig.of("paper", EMBEDDING)).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert len(shapes) == 107
    assert sum(math.prod(shapes[name]) for name in shapes if "running" in name or "tracked" in name) == 10_411
    assert shapes["encoder.convolutions.0.0.weight"] == (512, 336, 5)
    assert shapes["encoder.lstm.weight_ih_l1_reverse"] == (128, 64)
    assert shapes["decoder.lstm1.weight_ih_l0"] == (2048, 320)
    assert shapes["decoder.convolutions.2.0.weight"] == (512, 512, 5)
    assert shapes["decoder.lstm2.weight_ih_l1"] == (4096, 1024)
    assert shapes["decoder.linear_projection.weight"] == (80, 1024)
    assert shapes["postnet.convolutions.4.0.weight"] == (80, 512, 5)
    assert shapes["postnet.convolutions.4.1.running_mean"] == (80,)


def convolved(hidden: Tensor, tensors: dict[str, Tensor], name: str) -> Tensor:
    """A convolution and its batch normalisation in use, (B, C, T)."""
    hidden = functional.conv1d(hidden, tensors[f"{name}.0.weight"], tensors[f"{name}.0.bias"], padding=2)
    shift, scale, mean, variance = (
        tensors[f"{name}.1.{one}"][:, None] for one in ("bias", "weight", "running_mean", "running_var")
    )
    return (hidden - mean) / torch.sqrt(variance + 1e-5) * scale + shift


def recurrent(frames: Tensor, tensors: dict[str, Tensor], name: str) -> Tensor:
    """One direction of one LSTM layer, step by step, (B, T, D) -> (B, T, H)."""
    into, around, bias_in, bias_around = (
        tensors[name.replace("*", one)] for one in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    state = cell = frames.new_zeros(len(frames), around.shape[1])
    states = []
    for frame in frames.unbind(1):
        enter, keep, new, leave = (frame @ into.T + bias_in + state @ around.T + bias_around).chunk(4, 1)
        cell = keep.sigmoid() * cell + enter.sigmoid() * new.tanh()
        state = leave.sigmoid() * cell.tanh()
        states.append(state)
    return torch.stack(states, 1)


def published(tensors: dict[str, Tensor], mel: Tensor, source: Tensor, target: Tensor) -> AutoVCOutput:
    """The published forward pass with freq 4 and dim_neck 3 (published_weights, section 3.4)."""
    frames = mel.shape[1]
    hidden = torch.cat([mel.transpose(1, 2), source[:, :, None].repeat(1, 1, frames)], 1)
    for index in range(3):
        hidden = convolved(hidden, tensors, f"encoder.convolutions.{index}").relu()
    states = hidden.transpose(1, 2)
    for layer in range(2):
        forwards = recurrent(states, tensors, f"encoder.lstm.*_l{layer}")
        backwards = recurrent(states.flip(1), tensors, f"encoder.lstm.*_l{layer}_reverse").flip(1)
        states = torch.cat([forwards, backwards], 2)
    codes = [torch.cat([states[:, 4 * k + 3, :3], states[:, 4 * k, 3:]], 1) for k in range(frames // 4)]
    spread = torch.cat([code[:, None].repeat(1, 4, 1) for code in codes], 1)
    decoded = torch.cat([spread, target[:, None].repeat(1, frames, 1)], 2)
    hidden = recurrent(decoded, tensors, "decoder.lstm1.*_l0").transpose(1, 2)
    for index in range(3):
        hidden = convolved(hidden, tensors, f"decoder.convolutions.{index}").relu()
    states = hidden.transpose(1, 2)
    for layer in range(2):
        states = recurrent(states, tensors, f"decoder.lstm2.*_l{layer}")
    weight, bias = (tensors[f"decoder.linear_projection.{one}"] for one in ("weight", "bias"))
    before = states @ weight.T + bias
    hidden = before.transpose(1, 2)
    for index in range(4):
        hidden = convolved(hidden, tensors, f"postnet.convolutions.{index}").tanh()
    after = before + convolved(hidden, tensors, "postnet.convolutions.4").transpose(1, 2)
    return AutoVCOutput(before, after, torch.stack(codes, 1))


def test_forward_is_the_published_one() -> None:
    model = small()
    for name, tensor in model.state_dict().items():
        if name.endswith(("running_mean", "running_var", "1.weight", "1.bias")):
            torch.nn.init.uniform_(tensor, 0.5, 1.5)
    mel, source, target = inputs()
    with torch.no_grad():
        given, wanted = model(mel, source, target), published(model.state_dict(), mel, source, target)
    for name in ("codes", "before", "after"):
        torch.testing.assert_close(getattr(given, name), getattr(wanted, name))


@pytest.mark.parametrize("frames", [1, 3, 4, 13, 16, 18])
def test_any_length_is_filled_with_the_floor_and_cut(frames: int) -> None:
    # Digital silence: (20 log10(1e-5) - 16 + 100) / 100 is below 0, where autovc-16k is clipped.
    model = small()
    mel, source, target = inputs(frames)
    output = model(mel, source, target)
    assert output.before.shape == output.after.shape == mel.shape
    assert output.codes.shape == (2, math.ceil(frames / 4), 6)
    filled = functional.pad(mel, (0, 0, 0, -frames % 4), value=0.0)
    assert torch.equal(output.after, model(filled, source, target).after[:, :frames])


def test_the_floor_is_that_of_the_mel() -> None:
    # (ln(1e-5) + 12) / 12
    assert small(spec=PRESETS["simple-autovc-16k"]).floor == pytest.approx(0.040590, abs=1e-6)
    assert small().floor == 0.0


def test_a_short_recording_is_one_window_filled_up() -> None:
    model = small()
    mel, source, target = inputs(frames=11)
    whole = model(functional.pad(mel, (0, 0, 0, 5)), source, target).after[:, :11]
    torch.testing.assert_close(model.convert(mel, source, target), whole)


def test_windows_overlap_by_a_half_and_fade() -> None:
    model = small()
    mel, source, target = inputs(frames=24)
    first, second = (model(mel[:, start : start + 16], source, target).after for start in (0, 8))
    made = model.convert(mel, source, target)
    torch.testing.assert_close(made[:, :8], first[:, :8])
    torch.testing.assert_close(made[:, 16:], second[:, 8:])
    share = torch.tensor([math.sin(math.pi * (i + 0.5) / 16) ** 2 for i in range(8)])[:, None]
    torch.testing.assert_close(made[:, 8:16], (1 - share) * first[:, 8:] + share * second[:, :8])


@pytest.mark.parametrize(("start", "stop"), [(0, 60), (16, 80), (21, 90), (8, 101)])
def test_a_piece_is_converted_as_the_whole_is_but_for_its_ends(start: int, stop: int) -> None:
    model = small()
    mel, source, target = inputs(frames=101)
    whole = model.convert(mel, source, target)
    piece = model.convert(mel[:, start:stop], source, target, first=start)
    assert piece.shape == (2, stop - start, 10)
    inner = slice(0 if start == 0 else 16, None if stop == 101 else -16)
    torch.testing.assert_close(piece[:, inner], whole[:, start:stop][:, inner])


def test_loss_by_hand_and_without_broadcasting() -> None:
    mel = torch.tensor([[[1.0], [2.0]], [[5.0], [6.0]]])  # two utterances of two frames
    output = AutoVCOutput(before=mel + 2.0, after=mel + 1.0, codes=torch.zeros(2, 1, 4))
    recoded = torch.full((2, 1, 4), 0.5)
    terms = losses(output, recoded, mel, before_weight=0.5, content_weight=3.0)
    assert terms.reconstruction == 1.0
    assert terms.before_postnet == 4.0
    assert terms.content == 0.5
    assert terms.total == 1.0 + 0.5 * 4.0 + 3.0 * 0.5
    # What the published script does: (2, 1, 2, 1) against (2, 2, 1), every output with every utterance.
    with pytest.warns(UserWarning, match="broadcasting"):
        broadcast = functional.mse_loss(output.after[:, None], mel)
    # Half the pairs are other utterances: differences of 1 - 4 and 1 + 4 beside 1 and 1.
    assert broadcast == (1.0 + 1.0 + 9.0 + 25.0) / 4
    with pytest.raises(ValueError, match=r"equal shapes, not \(2, 1, 2, 1\) and \(2, 2, 1\)"):
        losses(replace(output, after=output.after[:, None]), recoded, mel)


def test_the_postnet_begins_with_nothing_to_add() -> None:
    output = small().train()(*inputs())
    assert torch.equal(output.after, output.before)


def test_content_loss_teaches_both_sides() -> None:
    model = small()
    mel, source, _ = inputs()
    after = mel.clone().requires_grad_()
    output = AutoVCOutput(mel, after, model.encode(mel, source))
    losses(output, model.encode(output.after * 0.5, source), mel, content_weight=1.0).content.backward()
    assert after.grad is not None
    assert after.grad.abs().sum() > 0
    assert model.encoder.lstm.weight_hh_l0.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dim_neck": 0}, "dim_neck must be at least 1"),
        ({"freq": 0}, "freq must be at least 1"),
        ({"dim_pre": -1}, "dim_pre must be at least 1"),
        ({"freq": 24}, "multiple of freq, 24"),
        ({"freq": 1, "window": 1}, "at least 2"),
        ({"spec": replace(MEL, kind="learned", encoder="x")}, "reads and writes a mel"),
    ],
)
def test_impossible_sizes_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        AutoVCConfig(**{"embedding": EMBEDDING, **change})  # type: ignore[arg-type]


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(ConfigError, match='no size "large": those that exist are paper, code'):
        AutoVCConfig.of("large", EMBEDDING)  # type: ignore[arg-type]
