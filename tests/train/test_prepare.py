"""`timbrel prepare` does what is missing, skips what is broken and says so."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors import safe_open
from safetensors.numpy import load_file

from timbrel.audio import pitch
from timbrel.cli.app import app
from timbrel.corpora import folder
from timbrel.errors import CorpusError, OutputError
from timbrel.train.prepare import Wanted, prepare

WriteCorpus = Callable[..., Path]
Start = Callable[..., "subprocess.Popen[str]"]


def assert_same(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> None:
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_a_clip_holds_its_samples_and_pitch(raw_corpus: Path, prepared: Path) -> None:
    samples, _ = soundfile.read(raw_corpus / "bob/clip0.wav", dtype="int16")
    clip = load_file(prepared / "clips/bob/clip0.safetensors")
    assert clip["audio"].dtype == np.int16
    np.testing.assert_array_equal(clip["audio"], samples)
    assert len(clip["f0"]) == len(clip["voicing"]) == len(samples) // pitch.HOP
    # The voice was made at 110 Hz, give or take a tenth.
    assert np.abs(np.median(clip["f0"]) - 110) < 12
    assert clip["voicing"].mean() > 0.5


def test_quiet_speech_is_as_voiced_as_loud(demo_pair: tuple[Path, Path], tmp_path: Path) -> None:
    loud, rate = soundfile.read(demo_pair[0])
    for name, gain in (("loud", 1.0), ("quiet", 0.01)):
        (tmp_path / "raw" / name).mkdir(parents=True)
        soundfile.write(tmp_path / "raw" / name / "0.wav", gain * loud, rate, subtype="FLOAT")
    prepare(folder.read(tmp_path / "raw"), tmp_path / "out")
    quiet, usual = (
        load_file(tmp_path / f"out/clips/{name}/0.safetensors")["voicing"] for name in ("quiet", "loud")
    )
    assert usual.mean() > 0.3
    np.testing.assert_allclose(quiet, usual, atol=0.02)


def test_the_index_has_a_line_per_clip_in_order(prepared: Path) -> None:
    rows = [json.loads(line) for line in (prepared / "index.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows[:2]] == ["ada/clip0", "ada/clip1"]
    assert len(rows) == 12
    assert rows[0] == {
        "id": "ada/clip0",
        "speaker": "ada",
        "file": "clips/ada/clip0.safetensors",
        "seconds": 1.4,
        "language": "",
        "sex": "",
        "text": "",
        "split": "train",
        "extra": {},
    }
    assert [row["id"] for row in rows if row["split"] == "dev"] == ["ada/clip3"]


def test_other_rates_are_resampled(raw_corpus: Path, tmp_path: Path) -> None:
    prepare(folder.read(raw_corpus)[:1], tmp_path, wanted=Wanted(sample_rate=22050))
    path = tmp_path / "clips/ada/clip0.safetensors"
    clip = load_file(path)
    assert len(clip["audio"]) == round(1.4 * 22050)
    # Frames come at 62.5 a second whatever the rate.
    assert abs(len(clip["f0"]) - 1.4 * 62.5) <= 1
    with safe_open(path, framework="numpy") as file:
        assert file.metadata()["sample_rate"] == "22050"


def test_a_second_run_does_only_what_changed(tmp_path: Path, write_corpus: WriteCorpus) -> None:
    raw, out = write_corpus(tmp_path / "raw", clips=1), tmp_path / "out"
    assert prepare(folder.read(raw), out).made == 3
    before = (out / "clips/eve/clip0.safetensors").stat().st_mtime_ns
    shutil.copy(raw / "ada/clip0.wav", raw / "bob/clip0.wav")
    report = prepare(folder.read(raw), out)
    assert (report.made, report.kept) == (1, 2)
    assert (out / "clips/eve/clip0.safetensors").stat().st_mtime_ns == before
    bob, ada = (load_file(out / f"clips/{name}/clip0.safetensors")["audio"] for name in ("bob", "ada"))
    np.testing.assert_array_equal(bob, ada)
    assert prepare(folder.read(raw), out, wanted=Wanted(sample_rate=8000)).made == 3


def test_a_damaged_clip_is_made_again(tmp_path: Path, write_corpus: WriteCorpus) -> None:
    raw, out = write_corpus(tmp_path / "raw", clips=1), tmp_path / "out"
    prepare(folder.read(raw), out)
    path = out / "clips/ada/clip0.safetensors"
    whole, before = path.read_bytes(), load_file(path)
    path.write_bytes(whole[: len(whole) // 2])
    (path.parent / ".clip9.safetensors.123.partial").write_bytes(b"left by a kill")
    assert prepare(folder.read(raw), out).made == 1
    assert_same(load_file(path), before)
    assert [file.name for file in path.parent.iterdir()] == ["clip0.safetensors"]


def test_broken_recordings_are_named_and_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], write_corpus: WriteCorpus
) -> None:
    raw, out = write_corpus(tmp_path / "raw", clips=1), tmp_path / "out"
    (raw / "ada/empty.wav").write_bytes(b"")
    (raw / "ada/words.wav").write_text("not audio at all")
    soundfile.write(raw / "bob/silence.wav", np.zeros(16000), 16000)
    app(["prepare", "folder", str(raw), str(out)], standalone_mode=False)
    shown = capsys.readouterr()
    skipped = {Path(row["path"]).name: row["reason"] for row in _report(out)["skipped"]}
    assert sorted(skipped) == ["empty.wav", "silence.wav", "words.wav"]
    assert "empty" in skipped["empty.wav"]
    assert "silent" in skipped["silence.wav"]
    assert "3 clips made, 0 kept, 3 skipped" in shown.out
    assert all(str(raw / name) in shown.err for name in ("ada/empty.wav", "ada/words.wav", "bob/silence.wav"))
    assert len((out / "index.jsonl").read_text().splitlines()) == 3


def test_a_missing_recording_of_a_manifest_is_skipped(raw_corpus: Path, tmp_path: Path) -> None:
    rows = f"path,speaker,split\n{raw_corpus}/ada/clip0.wav,ada,train\ngone.wav,ada,train\nx.wav,bob,test\n"
    (tmp_path / "m.csv").write_text(rows)
    out = tmp_path / "out"
    arguments = ["prepare", "manifest", str(tmp_path / "m.csv"), str(out), "--split", "train"]
    app(arguments, standalone_mode=False)
    assert [Path(row["path"]).name for row in _report(out)["skipped"]] == ["gone.wav"]


def test_a_split_that_is_not_there_is_refused(raw_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no split test: it has dev, train"):
        app(["prepare", "folder", str(raw_corpus), str(tmp_path), "--split", "test"], standalone_mode=False)


def test_a_corpus_without_one_usable_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw/ada").mkdir(parents=True)
    (tmp_path / "raw/ada/a.wav").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"No recording could be used.*a\.wav"):
        prepare(folder.read(tmp_path / "raw"), tmp_path / "out")
    assert not (tmp_path / "out/index.jsonl").exists()


def test_an_output_that_cannot_be_written_is_refused(raw_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        prepare(folder.read(raw_corpus), tmp_path / "file")


def test_an_interrupted_run_with_two_processes_goes_on_where_it_stopped(
    tmp_path: Path, write_corpus: WriteCorpus, start_timbrel: Start
) -> None:
    raw, out = write_corpus(tmp_path / "raw", clips=20), tmp_path / "out"
    process = start_timbrel("prepare", "folder", raw, out, "--workers", "2")
    while process.poll() is None and not list(out.glob("clips/*/*.safetensors")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    made = list(out.glob("clips/*/*.safetensors"))
    assert process.returncode != 0
    assert 0 < len(made) < 60
    assert not list(out.rglob(".*"))
    assert not (out / "index.jsonl").exists()
    report = prepare(folder.read(raw), out)
    assert (report.kept, report.made) == (len(made), 60 - len(made))
    # What the processes made is what a single one makes.
    before = load_file(made[0])
    made[0].unlink()
    prepare(folder.read(raw), out)
    assert_same(load_file(made[0]), before)


def _report(out: Path) -> dict[str, list[dict[str, str]]]:
    report: dict[str, list[dict[str, str]]] = json.loads((out / "report.json").read_text())
    return report
