"""`timbrel demo`: the shipped pair, both ways."""

from __future__ import annotations

from pathlib import Path

import soundfile

from .conftest import Command

NAMES = ["first-as-second.wav", "second-as-first.wav"]


def test_both_ways_and_again(timbrel: Command, demo_pair: tuple[Path, Path]) -> None:
    for _ in range(2):
        ended = timbrel("demo")
        assert ended.code == 0
        assert sorted(path.name for path in Path("timbrel-demo").iterdir()) == NAMES
        for name in NAMES:
            assert str(Path("timbrel-demo", name).absolute()) in ended.out
        assert ended.out.count("similarity to the target") == 2
    for source, name in zip(demo_pair, NAMES, strict=True):
        made, given = soundfile.info(Path("timbrel-demo", name)), soundfile.info(source)
        assert abs(made.duration - given.duration) < 0.02


def test_a_file_in_the_way_is_named(timbrel: Command) -> None:
    Path("timbrel-demo").write_text("mine")
    ended = timbrel("demo")
    assert ended.code == 2
    assert "timbrel-demo" in ended.err
    assert Path("timbrel-demo").read_text() == "mine"
