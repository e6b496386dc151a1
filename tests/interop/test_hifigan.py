"""HiFi-GAN files as jik876/hifi-gan writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.interop import publishing
from tests.interop import vocoder_tables as tables
from tests.interop.imports import imported, refusal
from tests.models import published
from torch import Tensor

from timbrel.audio.mel import PRESETS
from timbrel.contract import FeatureSpec
from timbrel.interop.family import Options
from timbrel.models import Vocoder

PAIRS = ((1, 3, 5),) * 3
THIRD = ((1, 2), (2, 6), (3, 12))
SMALL = tables.hifigan(16, (16, 16, 4, 4), (3, 7, 11))


def generator(tmp_path: Path, state: dict[str, Tensor], name: str = "g_02500000") -> Path:
    return publishing.save_zip(tmp_path / name, {"generator": state})


@pytest.mark.parametrize(
    ("table", "entries", "normed", "plain", "rates", "dilations"),
    [
        (tables.hifigan(), 234, 13_936_130, 13_926_017, (8, 8, 2, 2), PAIRS),
        (tables.hifigan(128), 234, 928_514, 925_985, (8, 8, 2, 2), PAIRS),
        (tables.hifigan_v3(), 69, 1_464_322, 1_462_273, (8, 8, 4), THIRD),
    ],
    ids=["V1", "V2", "V3"],
)
def test_published_sizes_speak_as_published(
    tmp_path: Path,
    table: dict[str, tables.Shape],
    entries: int,
    normed: int,
    plain: int,
    rates: tuple[int, ...],
    dilations: tuple[tuple[int, ...], ...],
) -> None:
    state = tables.weights(table)
    assert (len(state), tables.learned(state)) == (entries, normed)
    model, report = imported(generator(tmp_path, state))
    assert (report.family, report.registry_family, report.parameters) == ("hifigan", "hifigan", plain)
    assert isinstance(model, Vocoder)
    assert model.spec_in == PRESETS["hifigan-22k"]
    mel = tables.mel(5)
    expected = published.hifigan(tables.folded(state), mel, rates, dilations)
    assert expected.std() > 0.01
    torch.testing.assert_close(model(mel), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("spelling", ["old", "new", "plain"])
def test_weight_norm_in_three_spellings(tmp_path: Path, spelling: tables.Spelling) -> None:
    state = tables.weights(tables.hifigan_v3(), spelling)
    model, report = imported(generator(tmp_path, state))
    assert report.parameters == 1_462_273
    mel = tables.mel(4)
    expected = published.hifigan(tables.folded(state), mel, (8, 8, 4), THIRD)
    torch.testing.assert_close(model(mel), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("case", ["bare", "DataParallel", "legacy", "half"])
def test_what_people_make_of_the_file_is_read_as_well(tmp_path: Path, case: str) -> None:
    state = tables.weights(SMALL)
    given = {
        "bare": state,
        "DataParallel": {"generator": {f"module.{name}": tensor for name, tensor in state.items()}},
        "legacy": {"generator": state},
        "half": {"generator": {name: tensor.half() for name, tensor in state.items()}},
    }[case]
    save = publishing.save_legacy if case == "legacy" else publishing.save_zip
    model, _ = imported(save(tmp_path / "g", given))
    if case == "half":
        state = {name: tensor.half().float() for name, tensor in state.items()}
    mel = tables.mel(4)
    expected = published.hifigan(tables.folded(state), mel, (8, 8, 2, 2), PAIRS)
    torch.testing.assert_close(model(mel), expected, atol=1e-3 if case == "half" else 1e-4, rtol=0)


def test_the_mel_that_was_taken_is_named(tmp_path: Path) -> None:
    path = generator(tmp_path, tables.weights(SMALL))
    _, report = imported(path)
    assert "hifigan-22k (22050 Hz, hop 256, 0 to 8000 Hz, ln)" in report.notes[0]
    assert "--mel" in report.notes[0]
    card = (report.path / "CARD.md").read_text(encoding="utf-8")
    assert report.notes[0] in card


@pytest.mark.parametrize(
    ("options", "spec"),
    [
        (Options(mel="autovc-16k"), PRESETS["autovc-16k"]),
        (Options(mel="tacotron-22k"), PRESETS["tacotron-22k"]),
        (Options(sample_rate=16000), PRESETS["hifigan-16k"]),
    ],
)
def test_any_mel_may_be_stated(tmp_path: Path, options: Options, spec: FeatureSpec) -> None:
    model, _ = imported(generator(tmp_path, tables.weights(SMALL)), options=options)
    assert model.spec_in == spec


#: As the authors' config_v1.json has it, but at 24 kHz and with rates that kernels do not tell.
SETTINGS = {
    "resblock": "1",
    "num_gpus": 0,
    "batch_size": 16,
    "upsample_rates": [10, 6, 2, 2],
    "upsample_kernel_sizes": [16, 12, 4, 4],
    "upsample_initial_channel": 16,
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 2, 4], [1, 3, 9]],
    "segment_size": 8192,
    "num_mels": 100,
    "n_fft": 1024,
    "hop_size": 240,
    "win_size": 1024,
    "sampling_rate": 24000,
    "fmin": 0,
    "fmax": None,
    "fmax_for_loss": None,
}


def test_the_settings_beside_the_file_are_used(tmp_path: Path) -> None:
    state = tables.weights(tables.hifigan(16, (16, 12, 4, 4), (3, 7, 11), given=100))
    path = generator(tmp_path, state)
    assert "config.json" in refusal(path, options=Options(mel="vocos-24k"))
    (tmp_path / "config.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    model, report = imported(path)
    assert model.spec_in == FeatureSpec(
        kind="mel",
        sample_rate=24000,
        hop=240,
        dim=100,
        n_fft=1024,
        window=1024,
        pad="same",
        f_max=12000.0,
        sqrt_eps=1e-9,
    )
    assert "config.json" in report.notes[0]
    mel, plain = tables.mel(4, 100), tables.folded(state)
    expected = published.hifigan(plain, mel, (10, 6, 2, 2), ((1, 3, 5), (1, 2, 4), (1, 3, 9)))
    torch.testing.assert_close(model(mel), expected, atol=1e-4, rtol=0)


def test_what_is_stated_goes_before_the_settings(tmp_path: Path) -> None:
    settings = SETTINGS | {"upsample_rates": [8, 8, 2, 2], "hop_size": 256, "num_mels": 80}
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    path = generator(tmp_path, tables.weights(SMALL))
    model, _ = imported(path, options=Options(mel="simple-autovc-16k"))
    assert model.spec_in == PRESETS["simple-autovc-16k"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "config.json"),
        (json.dumps(SETTINGS | {"hop_size": "wide"}), "hop_size"),
        (json.dumps(SETTINGS | {"upsample_rates": [3, 3]}), "(3, 3)"),
        (json.dumps(SETTINGS | {"upsample_rates": [24, 10]}), "upsample_kernels"),
        (json.dumps(SETTINGS | {"resblock_dilation_sizes": [[1]]}), "resblock_dilations"),
        (json.dumps(SETTINGS | {"sampling_rate": -1}), "sample_rate"),
    ],
)
def test_broken_settings_are_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = generator(tmp_path, tables.weights(tables.hifigan(16, (16, 12, 4, 4), given=100)))
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    assert words in refusal(path)


def test_settings_of_another_size_are_named(tmp_path: Path) -> None:
    """A folder of downloads: the config.json of V1 beside the weights of V3."""
    first = SETTINGS | {"upsample_rates": [8, 8, 2, 2], "hop_size": 256, "num_mels": 80}
    (tmp_path / "config.json").write_text(json.dumps(first), encoding="utf-8")
    path = generator(tmp_path, tables.weights(tables.hifigan_v3()))
    assert "config.json beside it is of another model" in refusal(path)


def test_settings_of_something_else_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["WavLMModel"]}', encoding="utf-8")
    model, _ = imported(generator(tmp_path, tables.weights(SMALL)))
    assert model.spec_in == PRESETS["hifigan-22k"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("conv_pre.weight_v", "generator.conv_pre.weight_v is missing"),
        ("ups.2.weight_g", "generator.ups.2.weight_g is missing"),
        ("resblocks.4.convs2.1.bias", "generator.resblocks.4.convs2.1.bias is missing"),
        ("resblocks.0.convs1.0.weight_v", "generator.resblocks.0.convs1.0.weight_v is missing"),
        ("conv_post.bias", "generator.conv_post.bias is missing"),
    ],
)
def test_the_first_key_that_is_missing_is_named(tmp_path: Path, name: str, words: str) -> None:
    state = tables.weights(SMALL)
    del state[name]
    message = refusal(generator(tmp_path, state), "hifigan")
    assert words in message
    assert "g_02500000" in message


def test_a_layer_that_is_missing_is_named(tmp_path: Path) -> None:
    state = {n: t for n, t in tables.weights(SMALL).items() if not n.startswith("resblocks.11.convs2.2.")}
    assert "generator.resblocks.11.convs2.2.weight_v is missing" in refusal(
        generator(tmp_path, state), "hifigan"
    )


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("conv_pre.bias", (15,), r"conv_pre.bias is (15,), wanted (16,)"),
        ("ups.1.weight_v", (8, 3, 16), "ups.1.weight_v is (8, 3, 16), wanted (8, 4, 16)"),
        ("resblocks.3.convs1.0.weight_v", (4, 4, 5), "convs1.0.weight_v is (4, 4, 5), wanted (4, 4, 3)"),
    ],
)
def test_the_first_key_of_another_shape_is_named(
    tmp_path: Path, name: str, shape: tables.Shape, words: str
) -> None:
    state = tables.weights(SMALL)
    state[name] = torch.zeros(shape)
    assert words in refusal(generator(tmp_path, state), "hifigan")


def test_rows_that_cannot_be_halved_are_named(tmp_path: Path) -> None:
    state = tables.weights(SMALL)
    state["conv_pre.weight_v"], state["conv_pre.weight_g"] = torch.ones(18, 80, 7), torch.ones(18, 1, 1)
    assert "generator.conv_pre.weight_v is (18, 80, 7)" in refusal(generator(tmp_path, state), "hifigan")


def test_what_is_not_part_of_it_is_named(tmp_path: Path) -> None:
    state = tables.weights(SMALL) | {"cond.weight": torch.zeros(16, 4, 1)}
    assert "generator.cond.weight is not part of it" in refusal(generator(tmp_path, state), "hifigan")


def test_a_generator_of_spectra_is_refused(tmp_path: Path) -> None:
    """iSTFTNet: 18 rows in the last layer."""
    state = tables.weights(tables.hifigan(16, (16, 16)) | {"conv_post": (18, 4, 7)})
    assert "generator.conv_post.weight_v is (18, 4, 7)" in refusal(generator(tmp_path, state), "hifigan")


def test_another_hop_than_the_mels_is_refused(tmp_path: Path) -> None:
    message = refusal(generator(tmp_path, tables.weights(SMALL)), options=Options(mel="timbrel-16k"))
    assert "hop of 256 samples, the mel has 128" in message


def test_a_mel_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    path = generator(tmp_path, tables.weights(SMALL))
    assert 'no mel "hifigan-48k"' in refusal(path, options=Options(mel="hifigan-48k"))


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = generator(tmp_path, tables.weights(SMALL))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "g_02500000 is damaged or cut short" in refusal(path)


def test_long_audio_may_be_made_in_pieces(tmp_path: Path) -> None:
    """The reach that the network states is enough to join windows without a seam."""
    model, _ = imported(generator(tmp_path, tables.weights(tables.hifigan_v3())))
    reach = model.receptive_field
    mel = tables.mel(2 * reach + 9)
    piece = model(mel[:, 3:])[0, (reach + 3) * 256 : (reach + 5) * 256]
    torch.testing.assert_close(piece, model(mel)[0, (reach + 6) * 256 : (reach + 8) * 256], atol=1e-5, rtol=0)


def test_discriminators_are_no_vocoder(tmp_path: Path) -> None:
    path = publishing.save_zip(
        tmp_path / "do_02500000", {"mpd": {"discriminators.0.convs.0.bias": torch.zeros(32)}}
    )
    assert "mpd" in refusal(path)
