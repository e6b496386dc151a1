"""Parts that were made apart become a pipeline that converts, or are refused with every reason."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.methods.making import (
    MEL,
    attending,
    autovc,
    part,
    phonetic,
    pipeline,
    speaker,
    speechlike,
    vocoder,
    vqvc,
)

from timbrel import checkpoint
from timbrel.audio.io import Waveform
from timbrel.audio.mel import PRESETS, MelSpectrogram
from timbrel.compose import compose
from timbrel.errors import CheckpointError, ContractError, OutputError
from timbrel.methods.joints import joints
from timbrel.pipeline import VoiceConverter

AUTOVC = PRESETS["autovc-16k"]
LOGARITHMS = replace(AUTOVC, log="ln", scale=1.0, offset=0.0, clip=None)


def waveform(seconds: float = 1.0, pitch: float = 130.0) -> Waveform:
    return Waveform(torch.from_numpy(speechlike(seconds, 16000, pitch)), 16000)


def converted(folder: Path) -> torch.Tensor:
    converter = VoiceConverter.from_pretrained(folder)
    return converter.convert(waveform(), converter.enrol(waveform(pitch=200.0))).waveform


@pytest.fixture
def autovc_parts(tmp_path: Path) -> dict[str, Path]:
    encoder = speaker()
    networks = {"converter": autovc(encoder), "speaker": encoder, "vocoder": vocoder(LOGARITHMS)}
    return {role: part(tmp_path / f"part-{role}", network) for role, network in networks.items()}


def test_autovc_with_its_encoder_and_a_vocoder_converts(
    tmp_path: Path, autovc_parts: dict[str, Path]
) -> None:
    made = compose(autovc_parts, tmp_path / "whole")
    assert made.losses == ()
    whole = pipeline(
        tmp_path / "by-hand",
        converter=autovc(speaker()),
        speaker=speaker(),
        vocoder=vocoder(LOGARITHMS),
    )
    expected = converted(whole)
    for folder in autovc_parts.values():
        shutil.rmtree(folder)  # the pipeline is whole without them
    assert torch.equal(converted(tmp_path / "whole"), expected)


def test_the_bridge_is_exact(autovc_parts: dict[str, Path]) -> None:
    joint = joints({"converter": autovc(speaker()), "vocoder": vocoder(LOGARITHMS)})[-1]
    scale, offset = joint.scale_and_offset(allow_lossy=False)
    # Section 1.1 of the notes on published weights: ln = 11.512925 S - 9.670857.
    assert scale == pytest.approx(11.512925, abs=1e-6)
    assert offset == pytest.approx(-9.670857, abs=1e-6)
    # Above AutoVC's own clip, 0, the bridged mel is the vocoder's.
    samples = waveform().samples[None]
    given, wanted = MelSpectrogram(AUTOVC)(samples), MelSpectrogram(LOGARITHMS)(samples)
    inside = (given > 0) & (given < 1)
    torch.testing.assert_close((given * scale + offset)[inside], wanted[inside], atol=1e-5, rtol=0)


def test_vqvc_with_a_vocoder_converts(tmp_path: Path) -> None:
    made = compose(
        {"converter": part(tmp_path / "vqvc", vqvc()), "vocoder": part(tmp_path / "vocoder", vocoder(MEL))},
        tmp_path / "whole",
    )
    assert made.joints == ("converter to vocoder: the same",)
    assert converted(tmp_path / "whole").isfinite().all()


def test_an_attending_converter_takes_parts_of_pipelines(tmp_path: Path) -> None:
    whole = attending(tmp_path / "whole")
    compose(dict.fromkeys(("converter", "speaker", "content"), whole), tmp_path / "again")
    assert torch.equal(converted(tmp_path / "again"), converted(whole))


def test_an_encoder_beside_the_converter_comes_along(tmp_path: Path) -> None:
    encoder = speaker()
    alone = part(tmp_path / "alone", autovc(encoder))
    part(alone / "speaker", encoder)
    made = compose({"converter": alone}, tmp_path / "whole")
    assert set(made.parts) == {"converter", "speaker"}


def test_a_loss_is_asked_for_once(tmp_path: Path) -> None:
    parts = {
        "converter": part(tmp_path / "vqvc", vqvc()),
        "vocoder": part(tmp_path / "vocoder", vocoder(replace(MEL, floor=1e-3))),
    }
    with pytest.raises(ContractError, match=r"only with loss \(floor .*--allow-lossy"):
        compose(parts, tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
    made = compose(parts, tmp_path / "whole", allow_lossy=True)
    assert len(made.losses) == 1
    assert converted(tmp_path / "whole").isfinite().all()  # from_pretrained is not told again
    facts = json.loads((tmp_path / "whole" / "provenance.json").read_text())
    assert facts["allowed_losses"] == list(made.losses)
    assert made.losses[0] in (tmp_path / "whole" / "CARD.md").read_text()


def test_every_field_of_every_joint_that_differs_is_named(
    tmp_path: Path, autovc_parts: dict[str, Path]
) -> None:
    parts = {
        **autovc_parts,
        "speaker": part(tmp_path / "other", speaker(seed=1)),
        "vocoder": part(tmp_path / "bands", vocoder(PRESETS["hifigan-16k"])),
    }
    with pytest.raises(ContractError) as refusal:
        compose(parts, tmp_path / "whole", allow_lossy=True)
    for words in (
        "The speaker encoder does not fit",
        "encoder is",
        "The converter does not fit",
        "f_min",
        "f_max",
        "pad",
    ):
        assert words in str(refusal.value)
    assert not (tmp_path / "whole").exists()


def test_parts_of_the_wrong_kind_are_refused(tmp_path: Path, autovc_parts: dict[str, Path]) -> None:
    vocoder_folder = autovc_parts["vocoder"]
    for role, words in (
        ("converter", "converts nothing by itself"),
        ("speaker", "is no speaker encoder"),
        ("vocoder", "is no vocoder"),
    ):
        wrong = autovc_parts["speaker"] if role == "vocoder" else vocoder_folder
        with pytest.raises(CheckpointError, match=words):
            compose({**autovc_parts, role: wrong}, tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


def test_a_part_without_a_use_is_refused(tmp_path: Path) -> None:
    converter = part(tmp_path / "vqvc", vqvc())
    for role, network in (("speaker", speaker()), ("content", phonetic())):
        parts = {"converter": converter, role: part(tmp_path / role, network)}
        with pytest.raises(CheckpointError, match=f"has no use for a {role} encoder"):
            compose(parts, tmp_path / "whole")


def test_an_output_that_exists_is_kept(tmp_path: Path, autovc_parts: dict[str, Path]) -> None:
    compose(autovc_parts, tmp_path / "whole")
    with pytest.raises(CheckpointError, match="exists already"):
        compose(autovc_parts, tmp_path / "whole")
    compose(autovc_parts, tmp_path / "whole", force=True)
    assert checkpoint.read(tmp_path / "whole").family == "pipeline"


@pytest.mark.parametrize("inside", ["", "below", ".."])
def test_an_output_in_or_around_a_part_is_refused(
    tmp_path: Path, autovc_parts: dict[str, Path], inside: str
) -> None:
    with pytest.raises(OutputError, match="lie one in the other"):
        compose(autovc_parts, autovc_parts["converter"] / inside, force=True)
    assert checkpoint.read(autovc_parts["converter"]).family == "autovc"


def test_a_part_that_does_not_exist_is_refused(tmp_path: Path, autovc_parts: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError):
        compose({**autovc_parts, "vocoder": tmp_path / "nowhere"}, tmp_path / "whole")
    whole = attending(tmp_path / "attending")
    with pytest.raises(CheckpointError, match="has no vocoder among its parts"):
        compose({**autovc_parts, "vocoder": whole}, tmp_path / "whole")
