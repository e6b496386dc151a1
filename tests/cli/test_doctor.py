"""`timbrel doctor`: 0 when all is sound, 1 when something was found, 2 when it cannot look."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
from tests.cli.conftest import Command, is_one_sentence
from tests.methods.making import part, speaker, vocoder, vqvc

from timbrel.audio.mel import PRESETS


def test_sound_parts(timbrel: Command) -> None:
    ended = timbrel("doctor", "timbrel-one")
    assert (ended.code, ended.err) == (0, "")
    assert "Nothing is wrong." in ended.out


def test_a_misfit_is_found_and_ranked(timbrel: Command, tmp_path: Path) -> None:
    parts = part(tmp_path / "vqvc", vqvc()), part(tmp_path / "vocoder", vocoder(PRESETS["hifigan-16k"]))
    ended = timbrel("doctor", *parts)
    assert ended.code == 1
    assert "dim is 20, wanted 80" in ended.out
    assert "1. fault" in ended.out


def test_json_is_json_whatever_the_numbers(timbrel: Command, noise: Path) -> None:
    ended = timbrel("doctor", "timbrel-one", "--audio", noise, "--json")
    assert ended.code == 1
    seen = json.loads(ended.out)
    assert seen["findings"][0]["severity"] == "fault"
    assert "no speech" in seen["findings"][0]["why"] or "speech" in seen["findings"][0]["what"]
    assert "samples" not in ended.out.split('"recordings"')[1][:200]


def test_silence_and_numbers_that_are_none_are_findings(timbrel: Command) -> None:
    soundfile.write("silent.wav", np.zeros(16000), 16000)
    assert timbrel("doctor", "--audio", "silent.wav").code == 1
    soundfile.write("nan.wav", np.full(16000, np.nan), 16000, subtype="FLOAT")
    assert timbrel("doctor", "--audio", "nan.wav", "--json").code == 1


def test_the_reference_is_looked_at(timbrel: Command, demo_pair: tuple[Path, Path]) -> None:
    samples, rate = soundfile.read(demo_pair[0])
    soundfile.write("clipped.wav", np.clip(20 * samples, -1, 1), rate)
    ended = timbrel("doctor", "--reference", "clipped.wav")
    assert ended.code == 1, ended.err
    assert "clipped.wav" in ended.out
    assert "It is clipped" in ended.out


def test_what_cannot_be_looked_at(timbrel: Command, tmp_path: Path) -> None:
    Path("text.wav").write_text("no audio")
    Path("text.npy").write_text("no array")
    encoder = part(tmp_path / "a", speaker())
    for arguments in (
        ["no-such-model"],
        ["--audio", "nowhere.wav"],
        ["--audio", "text.wav"],
        ["text.npy"],
        ["nowhere.voice"],
        [encoder, part(tmp_path / "b", speaker(1))],
    ):
        ended = timbrel("doctor", *arguments)
        assert ended.code == 2, arguments
        assert is_one_sentence(ended.err), ended.err
