"""VocGAN files as rishikksh20/VocGAN writes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

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

#: Part of the settings' text that goes with a checkpoint: several YAML documents in one.
SETTINGS = """\
data:
  train: 'wavs'
---
train:
  rep_discriminator: 1
  adam:
    lr: 0.0001
---
audio:
  n_mel_channels: 80
  segment_length: 16000
  pad_short: 2000
  filter_length: 1024
  hop_length: 256 # WARNING: this can't be changed.
  win_length: 1024
  sampling_rate: 22050
  mel_fmin: 0.0
  mel_fmax: 8000.0
---
model:
  generator_ratio: [4, 4, 2, 2, 2, 2] # for 256 hop size and 22050 sample rate
  mult: 256
"""


def saved(folder: Path, state: dict[str, Tensor], settings: str | None = SETTINGS) -> Path:
    """With everything else that a training run keeps in it."""
    critic = {"model.disc_0.discriminator.layer_5.bias": torch.zeros(1)}
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-4}]}
    content = {
        "model_g": state,
        "model_d": critic,
        "optim_g": optimizer,
        "optim_d": optimizer,
        "step": 1_500_000,
        "epoch": 3180,
        "githash": "6b9f4a2",
    }
    return publishing.save_zip(
        folder / "vctk_6b9f4a2_3180.pt", content | ({"hp_str": settings} if settings else {})
    )


@pytest.mark.parametrize("spelling", ["old", "new", "plain"])
def test_it_speaks_as_published(tmp_path: Path, spelling: tables.Spelling) -> None:
    state = tables.weights(tables.vocgan(), spelling)
    if spelling != "plain":
        assert (len(state), tables.learned(state)) == (252, 4_714_010)
    model, report = imported(saved(tmp_path, state))
    assert (report.family, report.registry_family, report.parameters) == ("vocgan", "vocgan", 4_706_121)
    assert isinstance(model, Vocoder)
    mel = tables.mel(9)
    (expected,) = published.vocgan(tables.folded(state), mel)
    assert expected.shape == (1, 9 * 256)
    assert 0.01 < expected.std() < 0.9
    torch.testing.assert_close(model(mel), expected, atol=1e-4, rtol=0)


def test_the_published_ten_frames_of_silence_change_nothing_before_them(tmp_path: Path) -> None:
    """Its authors append them and cut 2560 samples; ours needs no such thing, but for the edge."""
    state = tables.weights(tables.vocgan())
    model, _ = imported(saved(tmp_path, state))
    mel = tables.mel(60)
    padded = torch.cat([mel, torch.full((1, 10, 80), -11.5129)], 1)
    (expected,) = published.vocgan(tables.folded(state), padded)
    kept = (60 - model.receptive_field) * 256
    assert kept > 0
    torch.testing.assert_close(model(mel)[:, :kept], expected[:, :kept], atol=1e-4, rtol=0)


def test_heads_for_training_are_left_out(tmp_path: Path) -> None:
    state = tables.weights(tables.vocgan(side_outputs=True))
    assert (len(state), tables.learned(state)) == (264, 4_715_698)
    model, report = imported(saved(tmp_path, state))
    assert report.parameters == 4_706_121
    assert any("heads" in note for note in report.notes)
    mel = tables.mel(9)
    *_, expected = published.vocgan(tables.folded(state), mel)
    torch.testing.assert_close(model(mel), expected, atol=1e-4, rtol=0)


def test_the_mel_is_that_of_the_settings_in_the_file(tmp_path: Path) -> None:
    settings = (
        SETTINGS.replace("22050\n", "16000\n").replace("8000.0", "7600.0").replace("0.0\n", "90.0\n", 1)
    )
    assert "mel_fmin: 90.0" in settings
    model, report = imported(saved(tmp_path, tables.weights(tables.vocgan()), settings))
    assert model.spec_in == replace(PRESETS["vocgan-22k"], sample_rate=16000, f_min=90.0, f_max=7600.0)
    assert "settings in the file" in report.notes[0]


@pytest.mark.parametrize("settings", [None, "audio:\n  sampling_rate: fast\n", ""])
def test_without_settings_the_published_mel_is_taken_and_named(tmp_path: Path, settings: str | None) -> None:
    model, report = imported(saved(tmp_path, tables.weights(tables.vocgan()), settings))
    assert model.spec_in == PRESETS["vocgan-22k"]
    assert "(22050 Hz, hop 256, 0 to 8000 Hz, ln)" in report.notes[0]


def test_a_stated_mel_goes_before_the_settings(tmp_path: Path) -> None:
    path = saved(tmp_path, tables.weights(tables.vocgan()))
    model, _ = imported(path, options=Options(mel="hifigan-16k"))
    assert model.spec_in == PRESETS["hifigan-16k"]


def test_a_mel_in_other_units_is_refused(tmp_path: Path) -> None:
    """The network itself shifts and scales natural logarithms."""
    path = saved(tmp_path, tables.weights(tables.vocgan()))
    assert "natural logarithms" in refusal(path, options=Options(mel="autovc-16k"))


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("start.1.weight_v", None, "model_g.start.1.weight_v is missing"),
        ("res_stack_3.2.block.4.bias", None, "model_g.res_stack_3.2.block.4.bias is missing"),
        ("start.1.bias", (500,), "model_g.start.1.bias is (500,), wanted (512,)"),
        ("upsample_2.1.weight_v", (256, 128, 4), "weight_v is (256, 128, 4), wanted (256, 128, 8)"),
        ("out.3.bias", (1,), "model_g.out.3.bias is not part of it"),
    ],
)
def test_the_first_key_that_does_not_fit_is_named(
    tmp_path: Path, name: str, shape: tables.Shape | None, words: str
) -> None:
    state = tables.weights(tables.vocgan())
    if shape is None:
        del state[name]
    else:
        state[name] = torch.zeros(shape)
    assert words in refusal(saved(tmp_path, state), "vocgan")
