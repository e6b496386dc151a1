"""`pytorch_model.bin` of charactr/vocos-mel-24khz."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from tests.interop import publishing
from tests.interop import vocoder_tables as tables
from tests.interop.imports import imported, refusal
from tests.models import published
from torch import Tensor

from timbrel.audio.mel import PRESETS
from timbrel.interop.family import Options
from timbrel.models import Vocoder

MEL_BANDS = "feature_extractor.mel_spec.mel_scale.fb"


def front_end() -> dict[str, Tensor]:
    """The buffers of the file: two windows and the filterbank of torchaudio, in single precision."""
    bands = librosa.filters.mel(sr=24000, n_fft=1024, n_mels=100, fmin=0, fmax=12000, htk=True, norm=None)
    noise = 7e-6 * np.random.default_rng(0).uniform(-1, 1, bands.shape)
    window = torch.from_numpy(np.hanning(1025)[:-1].astype(np.float32))
    return {
        "feature_extractor.mel_spec.spectrogram.window": window,
        MEL_BANDS: torch.from_numpy((bands + noise).T.astype(np.float32).copy()),
        "head.istft.window": window,
    }


def weights(*sizes: int) -> dict[str, Tensor]:
    state = tables.filled(tables.vocos(*sizes))
    state["head.out.bias"][:513] += 0.5  # as loud as speech
    return front_end() | state


def saved(folder: Path, state: dict[str, Tensor]) -> Path:
    return publishing.save_zip(folder / "pytorch_model.bin", state)


def test_it_speaks_as_published(tmp_path: Path) -> None:
    state = weights()
    model, report = imported(saved(tmp_path, state))
    assert (report.family, report.registry_family, report.parameters) == ("vocos", "vocos", 13_531_650)
    assert isinstance(model, Vocoder)
    assert model.spec_in == PRESETS["vocos-24k"]
    mel = tables.mel(12, 100)
    expected = published.vocos(state, mel, 256)
    assert expected.shape == (1, 11 * 256)
    assert 0.01 < expected.std() < expected.abs().max() < 1
    made = model(mel)
    assert made.shape == (1, 12 * 256)
    torch.testing.assert_close(made[:, : 11 * 256], expected, atol=1e-4, rtol=0)


def test_the_folder_of_the_hub_is_read(tmp_path: Path) -> None:
    saved(tmp_path, weights(16, 24, 1))
    (tmp_path / "config.yaml").write_text("feature_extractor:\n  class_path: x\n", encoding="utf-8")
    _, report = imported(tmp_path)
    assert report.family == "vocos"


def test_the_mel_is_named_and_the_filterbank_in_the_file_is_compared(tmp_path: Path) -> None:
    _, report = imported(saved(tmp_path, weights(16, 24, 1)))
    assert "vocos-24k (24000 Hz, hop 256, 0 to 12000 Hz, ln)" in report.notes[0]
    assert "filterbank" in report.notes[1]


def test_another_filterbank_is_refused(tmp_path: Path) -> None:
    """Slaney's scale instead of HTK's: a voice that squeaks."""
    slaney = librosa.filters.mel(sr=24000, n_fft=1024, n_mels=100, fmin=0, fmax=12000)
    path = saved(tmp_path, weights(16, 24, 1) | {MEL_BANDS: torch.from_numpy(slaney.T.copy())})
    assert f"{MEL_BANDS} is not that of the mel" in refusal(path)


def test_a_mel_with_another_filterbank_is_refused(tmp_path: Path) -> None:
    message = refusal(saved(tmp_path, weights(16, 24, 1)), options=Options(mel="hifigan-22k"))
    assert f"{MEL_BANDS} is (513, 100), wanted (513, 80)" in message


def test_files_without_their_front_end_are_read(tmp_path: Path) -> None:
    state = tables.filled(tables.vocos(16, 24, 2))
    model, report = imported(saved(tmp_path, state))
    assert not any("filterbank" in note for note in report.notes)
    mel = tables.mel(5, 100)
    expected = published.vocos(state, mel, 256).clamp(-1, 1)
    torch.testing.assert_close(model(mel)[:, : 4 * 256], expected, atol=1e-4, rtol=0)


def test_the_vocos_of_encodec_is_refused(tmp_path: Path) -> None:
    state = weights(16, 24, 1)
    for name in ("weight", "bias"):
        del state[f"backbone.norm.{name}"]
    state["backbone.norm.scale.weight"] = torch.ones(4, 16)
    assert "EnCodec" in refusal(saved(tmp_path, state))


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("backbone.embed.bias", None, "backbone.embed.bias is missing"),
        ("backbone.convnext.1.gamma", None, "backbone.convnext.1.gamma is missing"),
        ("backbone.convnext.0.pwconv1.weight", (24,), "pwconv1.weight is (24,), wanted (24, 16)"),
        ("head.out.weight", (1000, 16), "head.out.weight is (1000, 16), wanted (1026, 16)"),
        ("head.istft.window", (512,), "head.istft.window is (512,), wanted (1024,)"),
        ("head.extra", (1,), "head.extra is not part of it"),
    ],
)
def test_the_first_key_that_does_not_fit_is_named(
    tmp_path: Path, name: str, shape: tables.Shape | None, words: str
) -> None:
    state = weights(16, 24, 2)
    if shape is None:
        del state[name]
    else:
        state[name] = torch.zeros(shape)
    assert words in refusal(saved(tmp_path, state))
