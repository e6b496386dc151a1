"""`timbrel prepare` with each published layout, and how it divides a corpus."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.corpora import trees

from .conftest import Command, is_one_sentence


def index(out: str = "out") -> dict[str, dict[str, str]]:
    lines = Path(out, "index.jsonl").read_text(encoding="utf-8").split("\n")
    return {row["id"]: row for row in map(json.loads, filter(None, lines))}


def splits(out: str = "out") -> dict[str, dict[str, dict[str, object]]]:
    found: dict[str, dict[str, dict[str, object]]] = json.loads(Path(out, "splits.json").read_text())
    return found


def report(out: str = "out") -> dict[str, object]:
    found: dict[str, object] = json.loads(Path(out, "report.json").read_text())
    return found


def test_vctk_says_what_was_skipped_and_why(timbrel: Command, tmp_path: Path) -> None:
    root = trees.vctk_new(tmp_path / "VCTK")
    ended = timbrel("prepare", "vctk", root, "out", "--microphone", "2", "--need-text")
    assert ended.code == 0
    assert report()["reasons"] == {"no transcript": 3, "missing": 2}
    assert sorted(index()) == ["p225/p225_001", "p326/p326_001", "s5/s5_001"]
    assert index()["p326/p326_001"]["text"] == "Please call Stella."
    assert "3 clips made, 0 kept, 5 skipped (3 no transcript, 2 missing)" in ended.out
    assert "p280_001_mic2.flac: there is no recording of it by microphone 2." in ended.err


def test_clips_without_text_are_kept_and_counted(timbrel: Command, tmp_path: Path) -> None:
    ended = timbrel("prepare", "auto", trees.vctk_new(tmp_path / "VCTK"), "out")
    assert ended.code == 0
    assert len(index()) == 8
    assert report()["without_text"] == 4


def test_the_split_is_written_down_and_the_same_again(timbrel: Command, tmp_path: Path) -> None:
    root = trees.vctk_new(tmp_path / "VCTK")
    arguments = ("prepare", "vctk", root, "out", "--unseen", "2", "--seed", "3")
    assert timbrel(*arguments).code == 0
    first = splits()
    assert first["rule"] == {
        "layout": "vctk",
        "splits": "by hash",
        "unseen": 2,
        "held_out": 0.05,
        "seed": 3,
    }
    unseen = first["splits"]["unseen"]["speakers"]
    assert isinstance(unseen, dict)
    assert sorted(unseen.values()) == ["F", "M"]
    assert {row["speaker"] for row in index().values() if row["split"] == "unseen"} == unseen.keys()
    again = timbrel(*arguments)
    assert (again.code, again.err) == (0, "")
    assert "0 clips made, 8 kept" in again.out
    assert splits() == first


def test_another_split_of_the_same_folder_is_said(timbrel: Command, tmp_path: Path) -> None:
    root = trees.vctk_new(tmp_path / "VCTK")
    timbrel("prepare", "vctk", root, "out", "--unseen", "p225")
    ended = timbrel("prepare", "vctk", root, "out", "--unseen", "p326")
    assert ended.code == 0
    assert "divided otherwise before (unseen was ['p225'] and is ['p326']): 3 clips change" in ended.err
    assert index()["p326/p326_001"]["split"] == "unseen"


@pytest.mark.parametrize("text", ["{}", "nothing", '{"rule": 3}'])
def test_splits_that_are_damaged_are_named(timbrel: Command, tmp_path: Path, text: str) -> None:
    root = trees.vctk_new(tmp_path / "VCTK")
    timbrel("prepare", "vctk", root, "out")
    Path("out", "splits.json").write_text(text)
    ended = timbrel("prepare", "vctk", root, "out")
    assert ended.code == 2
    assert "splits.json is damaged" in ended.err
    assert "Traceback" not in ended.err


def test_the_corpus_keeps_its_own_splits_unless_told_otherwise(timbrel: Command, tmp_path: Path) -> None:
    root = trees.librispeech(tmp_path / "LibriSpeech")
    assert timbrel("prepare", "librispeech", root, "out").code == 0
    assert splits()["rule"]["splits"] == "the corpus's own"
    assert {name: split["clips"] for name, split in splits()["splits"].items()} == {"dev": 1, "train": 3}
    assert timbrel("prepare", "librispeech", root, "out", "--unseen", "26,").code == 0
    assert {row["speaker"] for row in index().values() if row["split"] == "unseen"} == {"26"}


@pytest.mark.parametrize(
    ("layout", "make", "clips"),
    [
        ("vctk", trees.vctk_old, 4),
        ("librispeech", trees.librispeech, 4),
        ("libritts", trees.libritts, 2),
        ("common-voice", trees.common_voice, 4),
    ],
)
def test_every_layout_is_prepared(
    timbrel: Command, tmp_path: Path, layout: str, make: object, clips: int
) -> None:
    root = make(tmp_path / "corpus with spaces ü")  # type: ignore[operator]
    ended = timbrel("prepare", layout, root, "out")
    assert (ended.code, ended.err) == (0, "")
    assert len(index()) == clips


def test_silence_at_the_ends_goes_where_it_is_wanted(timbrel: Command, tmp_path: Path) -> None:
    quiet = np.zeros(trees.RATE)
    sound = np.concatenate([quiet, trees.voice(120.0, 1.0), quiet])
    root = trees.write(
        tmp_path / "corpus", {"wav48/p225/p225_001.wav": sound, "wav48/p225/p225_002.wav": None}
    )
    timbrel("prepare", "vctk", root, "cut")
    timbrel("prepare", "vctk", root, "whole", "--no-trim")
    clip = "clips/p225/p225_001.safetensors"
    cut, whole = (load_file(Path(out, clip)) for out in ("cut", "whole"))
    assert len(whole["audio"]) == 3 * trees.RATE
    assert len(cut["audio"]) / trees.RATE == pytest.approx(1.4, abs=0.03)
    assert report("cut")["cut_seconds"] == pytest.approx(1.6, abs=0.03)
    # Kept clips know what was cut off them; with another wish they are made again.
    assert "0 clips made, 2 kept" in timbrel("prepare", "vctk", root, "cut").out
    assert report("cut")["cut_seconds"] == pytest.approx(1.6, abs=0.03)
    assert "2 clips made, 0 kept" in timbrel("prepare", "vctk", root, "cut", "--no-trim").out


def test_what_is_too_short_is_skipped_and_the_rest_kept(timbrel: Command, tmp_path: Path) -> None:
    long, short = trees.voice(120.0, 1.2), trees.voice(120.0, 0.6)
    root = trees.write(tmp_path / "corpus", {"ada/long.wav": long, "ada/short.wav": short})
    ended = timbrel("prepare", "folder", root, "out", "--shortest", "1")
    assert list(index()) == ["ada/long"]
    assert report()["reasons"] == {"too short": 1}
    assert "it lasts 0.60 s, and 1 s are wanted." in ended.err


def test_a_corpus_is_not_prepared_into_itself(timbrel: Command) -> None:
    root = trees.write(Path("corpus"), {"ada/a.wav": None})
    ended = timbrel("prepare", "folder", root, "./corpus/ada/..")
    assert (ended.code, is_one_sentence(ended.err)) == (2, True)
    assert "is the corpus itself" in ended.err
    assert [path.name for path in root.iterdir()] == ["ada"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("vctk", "empty"), "expected VCTK"),
        (("librispeech", "file.txt"), "found a file"),
        (("libritts", "nowhere"), "found no such folder"),
        (("common-voice", "empty"), "found an empty folder"),
        (("auto", "empty"), "found an empty folder"),
        (("auto", "prepared"), "has been prepared already"),
        (("folder", "one", "--unseen", "1"), "leave nobody to train on"),
        (("folder", "one", "--unseen", "eve"), "no speaker eve to keep unseen: it has ada."),
        (("folder", "one", "--unseen", ","), "--unseen takes a number"),
        (("folder", "one", "--microphone", "2"), "Only VCTK"),
    ],
)
def test_bad_input_ends_with_one_sentence(timbrel: Command, arguments: tuple[str, ...], words: str) -> None:
    Path("empty").mkdir()
    Path("file.txt").write_text("")
    trees.write(Path("one"), {"ada/a.wav": None})
    trees.write(Path("prepared"), {"index.jsonl": ""})
    layout, source, *others = arguments
    ended = timbrel("prepare", layout, source, "out", *others)
    assert ended.code == 2
    assert is_one_sentence(ended.err)
    assert words in ended.err
    assert not Path("out").exists()
