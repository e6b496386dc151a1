"""`timbrel compose` and then `timbrel convert --model`: parts on the shelf become a converter."""

from __future__ import annotations

import shlex
from pathlib import Path

import soundfile
from tests.cli.conftest import Command, is_one_sentence
from tests.methods.making import MEL, autovc, part, speaker, speechlike, vocoder, vqvc

from timbrel import checkpoint, registry
from timbrel.audio.mel import PRESETS
from timbrel.models.vocgan import VocGAN, VocGANConfig
from timbrel.pipeline import VoiceConverter
from timbrel.train import recipe as recipes


def test_composed_parts_convert(timbrel: Command, tmp_path: Path) -> None:
    converter, sound = part(tmp_path / "vqvc", vqvc()), part(tmp_path / "vocoder", vocoder(MEL))
    ended = timbrel("compose", "--converter", converter, "--vocoder", sound, "-o", "mine")
    assert ended.code == 0, ended.err
    assert "converter to vocoder: the same" in ended.out
    for name, pitch in (("a.wav", 120.0), ("b.wav", 200.0)):
        soundfile.write(name, speechlike(2.0, 16000, pitch), 16000)
    ended = timbrel("convert", "a.wav", "--target", "b.wav", "--model", "mine", "-o", "out.wav")
    assert ended.code == 0, ended.err
    assert soundfile.info("out.wav").duration == 2.0


def test_an_encoder_is_joined_in_its_role(timbrel: Command, tmp_path: Path) -> None:
    encoder = speaker()
    parts = part(tmp_path / "autovc", autovc(encoder)), part(tmp_path / "encoder", encoder)
    ended = timbrel("compose", "--converter", parts[0], "--speaker-encoder", parts[1], "-o", "mine")
    assert ended.code == 0, ended.err
    made = registry.parts(checkpoint.read(Path("mine")))
    assert {role: one.family for role, one in made.items()} == {"converter": "autovc", "speaker": "speaker"}


def test_a_pair_is_joined_as_its_recipe_says(timbrel: Command) -> None:
    comments = recipes.shipped()["vqvc-vctk"].read_text(encoding="utf-8")
    line = next(one for one in comments.splitlines() if "timbrel compose" in one)
    mel = PRESETS["vqvc-22k"]
    trained = {
        "runs/vqvc-vctk/final": vqvc(mel, mel),
        "runs/vocgan-22k/final": VocGAN(VocGANConfig(PRESETS["vocgan-22k"], channels=64, residual_layers=2)),
    }
    for path, network in trained.items():
        assert path in line
        part(Path(path), network)
    ended = timbrel(*shlex.split(line.partition("timbrel ")[2]))
    assert ended.code == 0, ended.err
    assert VoiceConverter.from_pretrained("pair").sample_rate == 22050


def test_parts_that_do_not_fit_are_refused_in_one_sentence(timbrel: Command, tmp_path: Path) -> None:
    converter = part(tmp_path / "vqvc", vqvc())
    sound = part(tmp_path / "vocoder", vocoder(PRESETS["autovc-16k"]))
    ended = timbrel("compose", "--converter", converter, "--vocoder", sound, "-o", "mine", "--allow-lossy")
    assert ended.code == 2
    assert is_one_sentence(ended.err)
    assert "f_min is 0.0, wanted 90.0" in ended.err
    assert not Path("mine").exists()


def test_a_converter_is_needed(timbrel: Command) -> None:
    assert timbrel("compose", "-o", "mine").code == 2
