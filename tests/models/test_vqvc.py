"""VQVC against the paper's formulas and the published sizes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models.vqvc import VQVC, VQVCConfig, losses

MEL = FeatureSpec(kind="mel", sample_rate=16000, hop=256, dim=20, n_fft=1024, window=1024, f_max=8000)
LEARNED = FeatureSpec(kind="learned", sample_rate=16000, hop=320, dim=48, encoder="test")


def _small(spec_in: FeatureSpec = MEL, **options: object) -> VQVC:
    sizes = {"codes": 16, "code_dim": 8, "stem": 16, "hidden": 24, "width": 16, **options}
    torch.manual_seed(0)
    return VQVC(VQVCConfig(spec_in, MEL, **sizes))  # type: ignore[arg-type]


def _trained(spec_in: FeatureSpec = MEL, **options: object) -> VQVC:
    """A small model whose codebook has started."""
    model = _small(spec_in, **options)
    model.train()(_mel(2, 60, spec_in.dim))
    return model.eval()


def _mel(batch: int, frames: int, dim: int = MEL.dim, seed: int = 0) -> Tensor:
    return torch.randn(batch, frames, dim, generator=torch.Generator().manual_seed(seed)) * 2 - 5


def test_published_sizes() -> None:
    spec = FeatureSpec(kind="mel", sample_rate=22050, hop=256, dim=80, n_fft=1024, window=1024, f_max=8000)
    model = VQVC(VQVCConfig.published(spec))
    assert sum(parameter.numel() for parameter in model.parameters()) == 468_240
    shapes = [tuple(value.shape) for value in model.encoder.state_dict().values() if value.ndim > 1]
    residual = (128, 128, 3)
    assert shapes == [(64, 80, 4), (256, 64, 3), (128, 256, 3), residual, residual, (32, 128, 1)]
    shapes = [tuple(value.shape) for value in model.decoder.state_dict().values() if value.ndim > 1]
    assert shapes == [(128, 32, 3), residual, residual, (256, 128, 2), (80, 256)]
    assert model.quantizer.codebook.shape == (256, 32)


@pytest.mark.parametrize("name", ["codes", "code_dim", "width"])
def test_nothing_can_have_no_size(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} must be at least 1, not 0\.$"):
        _small(**{name: 0})


def test_speaker_is_the_mean_of_what_quantisation_removed() -> None:
    model = _trained()
    mel = _mel(2, 40)
    code = model.encode(mel)
    latent = model.encoder(mel)
    torch.testing.assert_close(code.speaker, latent.mean(1) - code.content.mean(1))
    assert torch.equal(code.content, model.quantizer.lookup(code.indices))


def test_content_ignores_what_is_constant_over_time() -> None:
    model = _trained()
    normalised = []
    model.quantizer.register_forward_pre_hook(lambda _, given: normalised.append(given[0]))
    model.encode(_mel(2, 40))
    (vectors,) = normalised
    torch.testing.assert_close(vectors.mean(1), torch.zeros(2, 8), atol=1e-5, rtol=0)
    torch.testing.assert_close(vectors.std(1), torch.ones(2, 8), atol=1e-3, rtol=0)


def test_conversion_joins_the_source_content_with_the_reference_speaker() -> None:
    model = _trained()
    source, reference = _mel(1, 41), _mel(1, 30, seed=1)
    converted = model.convert(source, reference)
    said, voice = model.encode(source), model.encode(reference)
    assert converted.shape == source.shape
    assert torch.equal(converted, model.decode(said.content, voice.speaker, 41))
    assert not torch.equal(converted, model.convert(source, source))
    assert torch.equal(model.convert(source, source), model(source).mel)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 7, 64, 65])
@pytest.mark.parametrize("unit_length", [False, True])
def test_any_length_gives_as_many_finite_frames(frames: int, unit_length: bool) -> None:
    model = _trained(unit_length=unit_length)
    mel = _mel(2, frames).requires_grad_()
    output = model(mel)
    assert output.mel.shape == mel.shape
    assert output.code.content.shape == (2, (frames + 1) // 2, 8)
    output.mel.square().sum().backward()
    assert output.mel.isfinite().all()
    assert mel.grad is not None
    assert mel.grad.isfinite().all()


def test_silence_is_finite() -> None:
    silence = torch.full((1, 20, MEL.dim), -11.5129)
    assert _trained()(silence).mel.isfinite().all()


def test_learned_features_of_another_rate_come_out_at_the_rate_of_the_mel() -> None:
    model = _trained(LEARNED)
    features = _mel(2, 50, LEARNED.dim)
    # 50 frames a second for a second: 62.5 mel frames.
    assert model(features).mel.shape == (2, 62, MEL.dim)
    assert model(features, 63).mel.shape == (2, 63, MEL.dim)


def test_losses_are_the_terms_of_the_paper() -> None:
    model = _trained()
    mel = _mel(2, 40)
    output = model(mel)
    found = losses(output, mel, latent_weight=0.5)
    expected = (output.mel - mel).abs().mean()
    assert found.reconstruction.item() == pytest.approx(expected.item())
    latent = output.code.codebook_loss + output.code.commitment_loss
    assert found.total.item() == pytest.approx((expected + 0.5 * latent).item(), rel=1e-5)


def test_losses_refuse_to_broadcast() -> None:
    model = _trained()
    mel = _mel(2, 40)
    with pytest.raises(ValueError, match="equal shapes"):
        losses(model(mel), mel[:1])


def test_every_parameter_of_the_encoder_learns_through_the_quantiser() -> None:
    model = _small().train()
    mel = _mel(2, 40)
    torch.autograd.backward(losses(model(mel), mel).reconstruction)
    gradients = {name: parameter.grad for name, parameter in model.encoder.named_parameters()}
    assert all(grad is not None and grad.abs().max() > 0 for grad in gradients.values())


def test_training_lowers_the_loss_and_keeps_the_codebook_in_use() -> None:
    model = _small(decay=0.9).train()
    mel = _mel(4, 40)
    model.fit_statistics(mel, mel)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    history = []
    for _ in range(60):
        found = losses(model(mel), mel)
        optimizer.zero_grad()
        torch.autograd.backward(found.total)
        optimizer.step()
        history.append(found.total.item())
    assert history[-1] < 0.8 * history[0]
    assert model.quantizer.window_perplexity() > 8


def test_statistics_are_part_of_the_weights() -> None:
    model = _small()
    mel = _mel(1, 500)
    model.fit_statistics(mel, mel)
    assert model.state_dict()["input_scale.mean"].mean().item() == pytest.approx(-5, abs=0.2)
    assert model.state_dict()["output_scale.deviation"].mean().item() == pytest.approx(2, abs=0.2)


def test_a_linear_encoder_is_one_matrix_on_the_mean_of_a_step() -> None:
    model = _small(LEARNED, encoder="linear", code_dim=8)
    frames = _mel(1, 12, LEARNED.dim)
    weight = model.encoder.state_dict()["project.weight"]
    assert list(model.encoder.state_dict()) == ["project.weight"]
    assert weight.shape == (8, 48)
    expected = (frames[:, 0::2] + frames[:, 1::2]) / 2 @ weight.T
    torch.testing.assert_close(model.encoder(frames), expected)
    # 50 frames a second in, 62.5 out: eight seconds are 400 and 500.
    assert _trained(LEARNED, encoder="linear")(_mel(1, 400, LEARNED.dim)).mel.shape == (1, 500, MEL.dim)
