"""`timbrel verify`, `identify` and `calibrate`: exit statuses, reports, and what careless users do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import soundfile

from .conftest import Command, is_one_sentence


@pytest.fixture
def people(tmp_path: Path, demo_pair: tuple[Path, Path]) -> Path:
    """A folder for each of two people, with two pieces of 2.5 s of each one's demo recording."""
    for name, source in zip(("first", "second"), demo_pair, strict=True):
        samples, rate = soundfile.read(source)
        folder = tmp_path / "people" / name
        folder.mkdir(parents=True)
        length = round(2.5 * rate)
        for place in range(2):
            soundfile.write(folder / f"{place}.wav", samples[place * length : (place + 1) * length], rate)
    return tmp_path / "people"


def test_one_person_is_0_and_two_are_1(timbrel: Command, people: Path) -> None:
    own = timbrel("verify", people / "first" / "0.wav", people / "first" / "1.wav")
    assert (own.code, own.out.split(":")[0]) == (0, "same person")
    assert "probability" in own.out
    other = timbrel("verify", people / "first" / "0.wav", people / "second" / "0.wav")
    assert (other.code, other.out.split(":")[0]) == (1, "different person")


def test_the_threshold_can_be_given_or_chosen_by_its_errors(timbrel: Command, people: Path) -> None:
    pair = people / "first" / "0.wav", people / "second" / "0.wav"
    assert timbrel("verify", *pair, "--threshold", "-1").code == 0
    assert timbrel("verify", *pair, "--threshold", "eer").code == 1
    strict = timbrel("verify", *pair, "--threshold", "far=0.001")
    assert (strict.code, "far=0.001" in strict.out) == (1, True)
    assert is_one_sentence(timbrel("verify", *pair, "--threshold", "far=0.0000001").err)


def test_a_cohort_changes_what_a_score_means(timbrel: Command, people: Path) -> None:
    for number in range(10):
        samples, rate = soundfile.read(people / ("first", "second")[number % 2] / f"{number // 2 % 2}.wav")
        start, folder = round((0.1 + 0.1 * number) * rate), Path("cohort") / f"{number}"
        folder.mkdir(parents=True)
        soundfile.write(folder / "one.wav", samples[start : start + rate], rate)
    pair = people / "first" / "0.wav", people / "first" / "1.wav"
    plain = timbrel("verify", *pair, "--threshold", "0.5")
    normalised = timbrel("verify", *pair, "--threshold", "0.5", "--cohort", "cohort")
    assert "person: " in normalised.out, normalised.err
    score, other = (one.out.split("score ")[1].split(",")[0] for one in (plain, normalised))
    assert score != other


def test_a_corpus_gives_a_report_and_a_calibration_that_verify_uses(timbrel: Command, people: Path) -> None:
    ended = timbrel("verify", "--corpus", people, "-o", "report")
    assert ended.code == 0
    assert "2 of one speaker, 4 of two" in ended.out
    assert sorted(path.name for path in Path("report").iterdir()) == ["report.html", "report.json"]
    figures = json.loads(Path("report/report.json").read_text())
    assert figures["speakers"] == ["first", "second"]
    again = timbrel("verify", "--corpus", people, "-o", "report")
    assert (again.code, "--force" in again.err) == (2, True)
    made = timbrel("calibrate", "--corpus", people, "-o", "mine.json")
    assert made.code == 0
    pair = people / "first" / "0.wav", people / "first" / "1.wav"
    used = timbrel("verify", *pair, "--calibration", "mine.json")
    assert (used.code, "measured on people" in used.out) == (0, True)
    said = timbrel("verify", "--corpus", people, "--calibration", "mine.json").out
    assert "(eer, from people)" in said
    assert "0.700 (as given)" in timbrel("verify", "--corpus", people, "--threshold", "0.7").out
    tables = json.loads(Path("mine.json").read_text())
    Path("other.json").write_text(json.dumps({**tables, "encoder": "0" * 16}))
    refused = timbrel("verify", *pair, "--calibration", "other.json")
    assert (refused.code, is_one_sentence(refused.err), "0" * 16 in refused.err) == (2, True, True)
    assert is_one_sentence(timbrel("calibrate", "--corpus", people, "-o", "mine.json").err)


def test_all_missing_files_of_a_list_are_named(timbrel: Command, people: Path) -> None:
    lines = [
        "1 first/0.wav first/1.wav",
        "0 first/0.wav second/0.wav",
        "1 first/0.wav x/7.wav",
        "0 y.wav first/1.wav",
    ]
    Path("trials.txt").write_text("\n".join(lines))
    ended = timbrel("verify", "--trials", "trials.txt", "--root", people)
    assert (ended.code, is_one_sentence(ended.err)) == (2, True)
    assert "x/7.wav, y.wav" in ended.err
    skipped = timbrel("verify", "--trials", "trials.txt", "--root", people, "--skip-missing")
    assert skipped.code == 0
    assert "2 trials of 2 missing files" in skipped.out


def test_what_holds_no_speech_is_left_out_visibly(timbrel: Command, people: Path, noise: Path) -> None:
    shutil.copy(noise, people / "first" / "noise.wav")
    ended = timbrel("verify", "--corpus", people)
    assert ended.code == 0
    assert "left out: " in ended.err and "noise.wav" in ended.err
    alone = timbrel("verify", noise, people / "first" / "0.wav")
    assert (alone.code, is_one_sentence(alone.err), "noise.wav" in alone.err) == (2, True, True)


def test_converted_speech_has_its_own_verdict(timbrel: Command, people: Path) -> None:
    Path("c.csv").write_text("source,target,converted\nfirst/0.wav,second/0.wav,second/1.wav\n")
    ended = timbrel("verify", "--converted", "c.csv", "--root", people, "-o", "report")
    assert ended.code == 0
    assert "accepted as the target  100.00 %" in ended.out
    figures = json.loads(Path("report/report.json").read_text())
    assert figures["spoofing_success"]["value"] == 1.0
    assert figures["similarity_to_target"] > figures["similarity_to_source"]


def test_identify_ranks_and_may_say_nobody(timbrel: Command, people: Path) -> None:
    asked = Path(shutil.move(people / "second" / "1.wav", "asked.wav"))
    known = timbrel("identify", asked, "--among", people)
    assert known.code == 0
    assert known.out.splitlines()[0] == "second"
    assert "second (1 recording)" in known.out
    assert "first (2 recordings)" in known.out
    fewer = timbrel("identify", asked, "--among", people, "--top", "1")
    assert "second (1 recording)" in fewer.out
    assert "first (" not in fewer.out
    shutil.rmtree(people / "second")
    unknown = timbrel("identify", asked, "--among", people)
    assert (unknown.code, unknown.out.splitlines()[0]) == (1, "none of these")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("verify",), "two recordings"),
        (("verify", "a.wav"), "two recordings"),
        (("verify", "a.wav", "b.wav"), "cannot be read"),
        (("verify", "a.wav", "b.wav", "--corpus", "."), "one of"),
        (("verify", "a.wav", "b.wav", "-o", "report"), "many recordings"),
        (("verify", "a.wav", "b.wav", "--threshold", "high"), "far=0.01"),
        (("verify", "a.wav", "b.wav", "--model", "nobody"), "nobody"),
        (("verify", "--corpus", "nowhere"), "nowhere"),
        (("verify", "--corpus", "nowhere", "--skip-missing"), "--trials"),
        (("verify", "--trials", "nowhere.txt"), "nowhere.txt"),
        (("verify", "--trials", "nowhere.txt", "--split", "dev"), "--corpus"),
        (("verify", "--converted", "nowhere.csv"), "nowhere.csv"),
        (("verify", "--converted", "nowhere.csv", "--split", "dev"), "--corpus"),
        (("verify", "a.wav", "b.wav", "--skip-missing"), "--trials"),
        (("verify", "a.wav", "b.wav", "--split", "dev"), "--corpus"),
        (("verify", "--corpus", ".", "-o", "nowhere/report"), "no folder"),
        (("identify", "a.wav", "--among", "nowhere"), "nowhere"),
        (("calibrate", "-o", "c.json"), "--corpus and --trials"),
        (("calibrate", "--corpus", ".", "-o", "nowhere/c.json"), "cannot be written"),
    ],
)
def test_bad_input_ends_with_one_sentence(timbrel: Command, arguments: tuple[str, ...], words: str) -> None:
    ended = timbrel(*arguments)
    assert ended.code == 2
    assert is_one_sentence(ended.err)
    assert words in ended.err
    assert ended.out == ""
    assert list(Path().iterdir()) == []


def test_a_split_that_the_corpus_lacks_is_refused(timbrel: Command, people: Path) -> None:
    ended = timbrel("verify", "--corpus", people, "--split", "nosuch")
    assert (ended.code, is_one_sentence(ended.err), ended.out) == (2, True, "")
    assert 'has no split "nosuch": those it has are ' in ended.err


def test_one_recording_twice_is_no_trial(timbrel: Command, people: Path) -> None:
    own = people / "first" / "0.wav"
    shutil.copy(own, "copy.wav")
    ended = timbrel("verify", own, "copy.wav")
    assert (ended.code, "same recording" in ended.err) == (2, True)


def test_one_speaker_cannot_be_calibrated(timbrel: Command, people: Path) -> None:
    shutil.rmtree(people / "second")
    ended = timbrel("calibrate", "--corpus", people, "-o", "c.json")
    assert (ended.code, "two or more" in ended.err) == (2, True)
    assert not Path("c.json").exists()


def test_a_list_without_a_pair_of_one_speaker_is_refused(timbrel: Command, people: Path) -> None:
    Path("t.txt").write_text("1 first/0.wav first/0.wav\n0 first/0.wav second/0.wav\n")
    ended = timbrel("verify", "--trials", "t.txt", "--root", people)
    assert (ended.code, is_one_sentence(ended.err)) == (2, True)
    assert "of one speaker" in ended.err
