"""`timbrel evaluate`: a model and a folder side by side, a kill in between, and what careless users do."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
import soundfile

from ..conftest import Start
from .conftest import Command, is_one_sentence


@pytest.fixture
def speech(tmp_path: Path, demo_pair: tuple[Path, Path]) -> Path:
    """A folder for each of two people, with three pieces of 2.5 s of each one's recording, and a list."""
    for name, source in zip(("first", "second"), demo_pair, strict=True):
        samples, rate = soundfile.read(source)
        folder = tmp_path / "speech" / name
        folder.mkdir(parents=True)
        length = round(2.5 * rate)
        for place in range(3):
            soundfile.write(folder / f"{place}.wav", samples[place * length : (place + 1) * length], rate)
    rows = [f"{a}/{n}.wav,{b}/0.wav" for a, b in (("first", "second"), ("second", "first")) for n in (1, 2)]
    (tmp_path / "speech" / "pairs.csv").write_text("\n".join(["source,target", *rows]) + "\n")
    made = tmp_path / "made"
    made.mkdir()
    for place, row in enumerate(rows):
        shutil.copy(tmp_path / "speech" / row.split(",")[0], made / f"{place:04d}.wav")
    return tmp_path / "speech"


def test_a_model_and_a_folder_are_scored_beside_the_controls_and_a_second_run_makes_nothing(
    timbrel: Command, speech: Path
) -> None:
    arguments = ("--pairs", speech / "pairs.csv", "--limit", "2", "--metric", "soundness", "-o", "out")
    systems = ("--model", "mine=timbrel-one", "--converted", speech.parent / "made", "--system", "nothing")
    ended = timbrel("evaluate", *arguments, *systems)
    assert ended.code == 0, ended.err
    assert "2 pairs, 4 files made now" in ended.out
    results = json.loads(Path("out/results.json").read_text())
    assert list(results["systems"]) == ["source", "copy-synthesis", "mine", "nothing"]
    speed = results["systems"]["mine"]["speed"]
    assert speed["real_time_factor"] > 0
    # Python and PyTorch alone hold more than 100 MiB.
    assert speed["peak_memory_mib"] > 100
    verified = results["verification"]["systems"]
    # What was not converted is never taken for its target.
    assert verified["nothing"]["spoofing_success"]["value"] == 0.0
    assert verified["mine"]["nearer_to_target"] == 1.0
    before = Path("out/converted/mine/0000.wav").stat()
    again = timbrel("evaluate", *arguments, *systems)
    assert (again.code, "0 files made now" in again.out) == (0, True)
    assert Path("out/converted/mine/0000.wav").stat().st_mtime_ns == before.st_mtime_ns


def test_a_conversion_that_cannot_be_scored_is_named_and_ends_with_1(timbrel: Command, speech: Path) -> None:
    made = speech.parent / "made"
    (made / "0001.wav").write_bytes(b"RIFF")
    ended = timbrel(
        *("evaluate", "--pairs", speech / "pairs.csv", "--converted", made, "--no-controls"),
        *("--metric", "soundness", "-o", "out"),
    )
    assert ended.code == 1
    assert "0001" in ended.err
    results = json.loads(Path("out/results.json").read_text())
    assert list(results["systems"]["made"]["problems"]) == ["0001"]


def test_a_killed_run_goes_on_where_it_stopped(start_timbrel: Start, speech: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    command = ("evaluate", "--pairs", speech / "pairs.csv", "-m", "timbrel-one", "--no-controls")
    command += ("--metric", "soundness", "-o", out)
    process = start_timbrel(*command)
    first = out / "converted" / "timbrel-one"
    end = time.monotonic() + 240
    while not list(first.glob("*.json")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (out / "results.json").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in first.glob("*.json")}
    assert start_timbrel(*command).wait() == 0
    assert len(list(first.glob("*.wav"))) == 4
    assert all((first / name).stat().st_mtime_ns == made for name, made in kept.items())


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ((), "--model to convert with, or --converted"),
        (("--model", "nobody"), "There is no model"),
        (("--model", "timbrel-one", "--metric", "bleu"), "There is no metric bleu"),
        (("--model", "timbrel-one", "--model", "timbrel-one"), "Two systems"),
        (("--model", "a/b=timbrel-one"), "cannot be called"),
        (("--model", "timbrel-one", "--metric", "soundness", "--vocoder", "nope"), 'no model "nope"'),
        (("--model", "timbrel-one", "--metric", "soundness", "--vocoder", "timbrel-one"), "no model family"),
        (("--model", "timbrel-one", "--metric", "soundness", "--verifier", "nope"), 'no model "nope"'),
        (("--converted", "none"), "is no folder"),
        (("--converted", "none", "--system", "a", "--system", "b"), "1 folder and 2 names"),
    ],
)
def test_what_cannot_be_evaluated_is_one_sentence_and_leaves_nothing(
    timbrel: Command, speech: Path, extra: tuple[str, ...], said: str
) -> None:
    ended = timbrel("evaluate", "--pairs", speech / "pairs.csv", "-o", "out", *extra)
    assert (ended.code, is_one_sentence(ended.err)) == (2, True), ended.err
    assert said in ended.err
    assert not Path("out").exists()


def test_a_folder_that_cannot_be_written_is_refused(timbrel: Command, speech: Path) -> None:
    Path("file").write_text("")
    made = speech.parent / "made"
    given = ("--pairs", speech / "pairs.csv", "--converted", made, "--metric", "soundness")
    for out in ("file", "file/out"):
        ended = timbrel("evaluate", *given, "-o", out)
        assert (ended.code, is_one_sentence(ended.err)) == (2, True), ended.err
