"""`timbrel enrol` keeps a voice."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Command, is_one_sentence

Pair = tuple[Path, Path]


def test_a_voice_is_kept_and_says_what_it_is(timbrel: Command, demo_pair: Pair) -> None:
    ended = timbrel("enrol", demo_pair[0], "-o", "his.voice")
    assert ended.code == 0
    assert ended.out.startswith("his.voice: ")
    told = timbrel("info", "his.voice")
    assert told.code == 0
    for text in ("timbrel-one", "Hz", demo_pair[0].name):
        assert text in told.out


@pytest.mark.parametrize(
    ("output", "text"),
    [("his.wav", ".voice"), ("nowhere/his.voice", "nowhere"), ("kept.voice", "exists already")],
)
def test_a_wrong_output_is_refused(timbrel: Command, demo_pair: Pair, output: str, text: str) -> None:
    Path("kept.voice").write_text("mine")
    ended = timbrel("enrol", demo_pair[0], "-o", output)
    assert ended.code == 2
    assert is_one_sentence(ended.err)
    assert text in ended.err
    assert [path.name for path in Path.cwd().iterdir()] == ["kept.voice"]
    assert Path("kept.voice").read_text() == "mine"


def test_noise_is_no_voice(timbrel: Command, noise: Path) -> None:
    ended = timbrel("enrol", noise, "-o", "no.voice")
    assert ended.code == 2
    assert is_one_sentence(ended.err)
    assert not Path("no.voice").exists()


def test_a_blend_is_kept_as_a_voice(timbrel: Command, demo_pair: Pair) -> None:
    first, second = demo_pair
    assert timbrel("enrol", f"{first}:3", f"{second}:1", "-o", "both.voice").code == 0
    told = timbrel("info", "both.voice").out
    assert f"{first.name} (75%)" in told
    assert f"{second.name} (25%)" in told


def test_recordings_of_two_people_draw_a_warning(timbrel: Command, demo_pair: Pair) -> None:
    ended = timbrel("enrol", *demo_pair, "-o", "both.voice")
    assert ended.code == 0
    assert "timbrel: warning: " in ended.err
    assert "sound like two people" in ended.err
