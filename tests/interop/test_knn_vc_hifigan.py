"""The vocoder of kNN-VC as bshall/knn-vc writes it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.interop import publishing
from tests.interop import vocoder_tables as tables
from tests.interop.imports import imported, refusal
from tests.models import published
from torch import Tensor

from timbrel.contract import FeatureSpec
from timbrel.interop.family import Options
from timbrel.models import Vocoder

PAIRS = ((1, 3, 5),) * 3
RATES = (10, 8, 2, 2)
KERNELS = (20, 16, 4, 4)


def weights(channels: int, spelling: tables.Spelling = "old") -> dict[str, Tensor]:
    """The linear layer, then the generator, whose first convolution reads 512 values."""
    generator = torch.Generator().manual_seed(1)
    linear = {
        "lin_pre.weight": torch.randn(512, 1024, generator=generator) / 32,
        "lin_pre.bias": torch.randn(512, generator=generator),
    }
    return linear | tables.weights(tables.hifigan(channels, KERNELS, given=512), spelling)


def prematched(folder: Path, state: dict[str, Tensor]) -> Path:
    return publishing.save_zip(folder / "prematch_g_02500000.pt", {"generator": state})


def test_it_speaks_as_published(tmp_path: Path) -> None:
    state = weights(512)
    assert (len(state), tables.learned(state)) == (236, 16_533_506)
    model, report = imported(prematched(tmp_path, state))
    assert (report.family, report.registry_family) == ("knn-vc-hifigan", "hifigan")
    assert report.parameters == 16_523_393
    assert isinstance(model, Vocoder)
    assert model.spec_in == FeatureSpec(kind="learned", sample_rate=16000, hop=320, dim=1024)
    frames = torch.randn(1, 4, 1024)
    expected = published.hifigan(tables.folded(state), frames, RATES, PAIRS)
    assert expected.shape == (1, 4 * 320)
    assert expected.std() > 0.01
    torch.testing.assert_close(model(frames), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("spelling", ["new", "plain"])
def test_weight_norm_in_other_spellings(tmp_path: Path, spelling: tables.Spelling) -> None:
    state = weights(16, spelling)
    model, _ = imported(prematched(tmp_path, state))
    frames = torch.randn(2, 3, 1024)
    expected = published.hifigan(tables.folded(state), frames, RATES, PAIRS)
    torch.testing.assert_close(model(frames), expected, atol=1e-4, rtol=0)


def test_what_goes_in_is_said(tmp_path: Path) -> None:
    _, report = imported(prematched(tmp_path, weights(16)))
    assert "layer 6" in report.notes[0]
    assert "WavLM-Large" in report.notes[0]


def test_there_is_no_mel_to_state(tmp_path: Path) -> None:
    message = refusal(prematched(tmp_path, weights(16)), options=Options(mel="knn-vc"))
    assert "mel means nothing to knn-vc-hifigan" in message


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("lin_pre.bias", None, "generator.lin_pre.bias is missing"),
        ("lin_pre.weight", (512, 768), "generator.lin_pre.weight is (512, 768), wanted (512, 1024)"),
        ("conv_pre.bias", (8,), "generator.conv_pre.bias is (8,), wanted (16,)"),
        ("ups.0.weight_v", (16, 8, 16), "generator.ups.0.weight_v is (16, 8, 16), wanted (16, 8, 20)"),
    ],
)
def test_the_first_key_that_does_not_fit_is_named(
    tmp_path: Path, name: str, shape: tables.Shape | None, words: str
) -> None:
    state = weights(16)
    if shape is None:
        del state[name]
    else:
        state[name] = torch.ones(shape)
    assert words in refusal(prematched(tmp_path, state), "knn-vc-hifigan")


def test_a_generator_of_mels_is_named_as_what_it_is_not(tmp_path: Path) -> None:
    path = prematched(tmp_path, tables.weights(tables.hifigan(16)))
    assert "generator.lin_pre.weight" in refusal(path, "knn-vc-hifigan")
