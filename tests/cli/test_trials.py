"""`timbrel trials`: lists from the layouts of real corpora, and what careless users do."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from .conftest import Command, is_one_sentence


def speak(path: Path, pitch: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(np.arange(2.5 * 8000) * pitch / 400), 8000)


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    """Four speakers of a subset that nobody trains on, six sentences each."""
    root = tmp_path / "LibriSpeech"
    people = []
    for place, number in enumerate(("61", "121", "237", "260")):
        chapter = root / "test-clean" / number / "7"
        names = [f"{number}-7-{clip:04d}" for clip in range(6)]
        for clip, name in enumerate(names):
            speak(chapter / f"{name}.flac", 50 + 10 * place + clip)
        (chapter / f"{number}-7.trans.txt").write_text("".join(f"{name} SENTENCE {name}\n" for name in names))
        people.append(f"{number} | {'FM'[place % 2]} | test-clean | 8.0 | Somebody")
    (root / "SPEAKERS.TXT").write_text("\n".join([";ID |SEX| SUBSET |MINUTES| NAME", *people]) + "\n")
    return root


@pytest.fixture
def vctk(tmp_path: Path) -> Path:
    """Ten speakers who all say the same twenty sentences."""
    root = tmp_path / "VCTK"
    for speaker in range(225, 235):
        for clip in range(1, 21):
            speak(root / "wav48" / f"p{speaker}" / f"p{speaker}_{clip:03d}.wav", speaker + clip)
            text = root / "txt" / f"p{speaker}" / f"p{speaker}_{clip:03d}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text(f"Sentence {clip}.")
    return root


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def test_librispeech_in_knn_vcs_protocol(timbrel: Command, librispeech: Path) -> None:
    ended = timbrel("trials", "librispeech", librispeech, "--protocol", "knn-vc", "-o", "pairs.csv")
    assert ended.code == 0, ended.err
    found = rows("pairs.csv")
    # Five sources of each of four speakers, to the three others.
    assert len(found) == 60
    assert {row["condition"] for row in found} == {"unseen-to-unseen"}
    assert {Path(row["references"]).name for row in found} == {"7"}
    assert "20 F to M" in ended.out
    again = timbrel("trials", "librispeech", librispeech, "--protocol", "knn-vc", "-o", "again.csv")
    assert again.code == 0
    assert Path("again.csv").read_text() == Path("pairs.csv").read_text()


@pytest.mark.parametrize(("gender", "alike"), [("cross", False), ("same", True)])
def test_pairs_within_a_sex_or_across(
    timbrel: Command, librispeech: Path, gender: str, *, alike: bool
) -> None:
    options = ("--count", "6", "--gender", gender, "-o", "pairs.csv")
    ended = timbrel("trials", "librispeech", librispeech, *options)
    assert ended.code == 0, ended.err
    women = {"61", "237"}
    found = [(row["source_speaker"] in women, row["target_speaker"] in women) for row in rows("pairs.csv")]
    assert len(found) == 6
    assert {source == target for source, target in found} == {alike}


def test_parallel_pairs_have_the_targets_own_recording_of_the_sentence(timbrel: Command, vctk: Path) -> None:
    ended = timbrel("trials", "vctk", vctk, "--count", "6", "--parallel", "-o", "pairs.csv")
    assert ended.code == 0, ended.err
    for row in rows("pairs.csv"):
        recording = Path(row["parallel"])
        assert recording.parent.name == row["target_speaker"]
        assert recording.stem.split("_")[1] == Path(row["source"]).stem.split("_")[1]


def test_one_of_each_is_said_in_the_singular(timbrel: Command, librispeech: Path) -> None:
    ended = timbrel("trials", "librispeech", librispeech, "--count", "1", "-o", "one.csv")
    assert ended.out.startswith("one.csv: 1 pair, 1 source speaker and 1 target speaker\n"), ended.err


def test_vctk_is_divided_as_prepare_divides_it(timbrel: Command, vctk: Path) -> None:
    assert timbrel("prepare", "vctk", vctk, "prepared").code == 0
    clips = [json.loads(line) for line in Path("prepared/index.jsonl").read_text().splitlines()]
    unseen = {clip["speaker"] for clip in clips if clip["split"] == "unseen"}
    ended = timbrel("trials", "vctk", vctk, "--count", "40", "-o", "pairs.csv")
    assert ended.code == 0, ended.err
    for row in rows("pairs.csv"):
        kinds = ["unseen" if row[side] in unseen else "seen" for side in ("source_speaker", "target_speaker")]
        assert row["condition"] == "-to-".join(kinds)
    assert any(row["condition"] == "seen-to-unseen" for row in rows("pairs.csv"))


def test_a_folder_of_speakers_in_seed_vcs_protocol(timbrel: Command, vctk: Path) -> None:
    options = ("--protocol", "seed-vc", "--count", "5", "--targets", "4")
    ended = timbrel("trials", "folder", vctk / "wav48", *options, "-o", "pairs.csv")
    assert ended.code == 0, ended.err
    assert len({row["target"] for row in rows("pairs.csv")}) == 4
    assert len({row["source"] for row in rows("pairs.csv")}) == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("librispeech", "nowhere"), "no such folder"),
        (("vctk", "."), "expected VCTK"),
        (("folder", "{root}", "--split", "holiday"), "no split holiday"),
        (("librispeech", "{root}", "--condition", "seen-to-seen"), "No pair"),
    ],
)
def test_what_makes_no_list_is_one_sentence(
    timbrel: Command, librispeech: Path, arguments: tuple[str, ...], said: str
) -> None:
    filled = [one.format(root=librispeech) for one in arguments]
    ended = timbrel("trials", *filled, "-o", "pairs.csv")
    assert (ended.code, is_one_sentence(ended.err)) == (2, True), ended.err
    assert said in ended.err
    assert not Path("pairs.csv").exists()


def test_a_list_that_exists_is_not_replaced(timbrel: Command, librispeech: Path) -> None:
    Path("pairs.csv").write_text("mine")
    ended = timbrel("trials", "librispeech", librispeech, "-o", "pairs.csv")
    assert (ended.code, Path("pairs.csv").read_text()) == (2, "mine")
    assert timbrel("trials", "librispeech", librispeech, "-o", "pairs.csv", "--force").code == 0
    assert timbrel("trials", "librispeech", librispeech, "-o", "no/pairs.csv").code == 2
