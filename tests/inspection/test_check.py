"""The figures of a corpus are those it was made with, and what is wrong with it is said."""

from __future__ import annotations

import csv
import pickle
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.corpora import trees

from timbrel.corpora import folder, manifest, prepared
from timbrel.errors import CheckpointError, CorpusError
from timbrel.inspection.check import CorpusReport, check
from timbrel.inspection.findings import warnings
from timbrel.inspection.measure import Look, observer
from timbrel.registry import DEFAULT_MODEL
from timbrel.train.prepare import prepare


def noisy(speech: np.ndarray, snr_db: float) -> np.ndarray:
    """The speech between pauses of half a second, in noise so many dB below it."""
    quiet = np.zeros(8000)
    noise = np.random.default_rng(1).standard_normal(len(speech) + 16000)
    level = np.sqrt(np.mean(speech**2)) * 10 ** (-snr_db / 20)
    return np.concatenate([quiet, speech, quiet]) + level * noise


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three speakers: one clean, one noisy, one too loud; one file twice and one that is none."""
    loud = np.clip(20 * trees.voice(180.0, 1.0, 7), -0.99, 0.99)
    root = trees.write(
        tmp_path_factory.mktemp("corpus with spaces and ä"),
        {
            "clean/a.wav": noisy(trees.voice(120.0, 1.0, 0), 40.0),
            "clean/b.wav": noisy(trees.voice(125.0, 1.5, 1), 40.0),
            "clean/c.wav": noisy(trees.voice(118.0, 2.0, 2), 40.0),
            "noisy/a.wav": noisy(trees.voice(220.0, 1.0, 3), 8.0),
            "noisy/b.wav": noisy(trees.voice(225.0, 1.0, 4), 8.0),
            "loud/a.wav": loud,
        },
    )
    shutil.copy(root / "clean/b.wav", root / "loud/copy.wav")
    (root / "loud/broken.wav").write_text("no audio at all")
    (root / "clean/a.txt").write_text("With a transcript.")
    return root


@pytest.fixture(scope="module")
def report(root: Path) -> CorpusReport:
    return check(folder.read(root), DEFAULT_MODEL)


def test_amounts_are_those_of_the_files(report: CorpusReport) -> None:
    clean = report.speakers["clean"]
    assert clean.clips == 3
    assert clean.minutes == pytest.approx(7.5 / 60)
    assert clean.clip_seconds == pytest.approx(
        {"shortest": 2.0, "5 %": 2.05, "median": 2.5, "95 %": 2.95, "longest": 3.0}
    )
    assert report.total.clips == 7
    assert report.sample_rates == {trees.RATE: 7}
    assert report.without_text == 6


def test_noise_silence_and_clipping_are_measured(report: CorpusReport) -> None:
    sounds = {name: own.sound for name, own in report.speakers.items()}
    clean, noise, loud = sounds["clean"], sounds["noisy"], sounds["loud"]
    assert clean
    assert noise
    assert loud
    assert noise.snr_db == pytest.approx(8.0, abs=2.0)
    assert clean.snr_db == pytest.approx(40.0, abs=2.0)
    # One second of each recording is a pause.
    assert clean.silence_share == pytest.approx(3.0 / 7.5, abs=0.05)
    assert noise.silence_share == pytest.approx(2.0 / 4.0, abs=0.05)
    assert clean.end_seconds == pytest.approx(0.6, abs=0.05)
    assert (clean.clipped_clips, loud.clipped_clips) == (0, 1)
    # White noise up to the half of 16 kHz.
    assert noise.bandwidth_hz == pytest.approx(8000, abs=300)


def test_what_is_wrong_is_said_in_sentences(report: CorpusReport) -> None:
    said = warnings(report)
    assert all(sentence.endswith(".") for sentence in said)
    for words in (
        "1 recording cannot be used",
        "clean/b, loud/copy are the same file",
        "3 speakers with less than 1 min: clean, loud, noisy",
        "1 speaker noisy, below 15 dB SNR: noisy",
        "1 speaker clipped in some of their clips: loud",
        "6 clips of 7 have no transcript",
        "1 speaker with clips that hold no speech: loud",
    ):
        assert sum(words in sentence for sentence in said) == 1, words


def test_speech_below_the_noise_is_noisy_and_no_speech_is_not(report: CorpusReport) -> None:
    noisy = report.speakers["noisy"]
    assert noisy.sound

    def said(**changes: float) -> bool:
        speakers = {"one": replace(noisy, sound=replace(noisy.sound, **changes))}
        return any("noisy, below" in sentence for sentence in warnings(replace(report, speakers=speakers)))

    assert said(snr_db=-3.0)
    assert not said(snr_db=0.0, speechless_clips=noisy.sound.clips)


def test_few_clips_are_listened_to_and_all_are_counted(root: Path) -> None:
    found = check(folder.read(root), DEFAULT_MODEL, clips=1)
    assert found.speakers["clean"].clips == 3
    assert found.total.sound
    assert found.total.sound.clips == 3


def test_a_worker_finds_the_same(root: Path, report: CorpusReport) -> None:
    # What an engine does: the maker goes to a worker, looks follow, what was seen comes back.
    make = pickle.loads(pickle.dumps(partial(observer, DEFAULT_MODEL)))
    look = next(Look(one, True) for one in folder.read(root) if one.id == "noisy/a")
    seen = pickle.loads(pickle.dumps(make()(pickle.loads(pickle.dumps(look)))))
    assert seen.condition.snr_db == pytest.approx(8.0, abs=2.0)
    assert seen.voice @ seen.voice == pytest.approx(1.0, abs=1e-4)


def test_a_prepared_corpus_can_be_checked(root: Path, tmp_path: Path, report: CorpusReport) -> None:
    prepare(folder.read(root), tmp_path)
    found = check(prepared.read(tmp_path), DEFAULT_MODEL)
    assert found.total.clips == 7
    assert found.total.minutes == pytest.approx(report.total.minutes)
    assert found.total.sound
    assert report.total.sound
    assert found.total.sound.snr_db == pytest.approx(report.total.sound.snr_db, abs=0.5)


def test_a_corpus_without_usable_recordings_is_refused(tmp_path: Path) -> None:
    root = trees.write(tmp_path, {"ada/a.wav": "no audio"})
    with pytest.raises(CorpusError, match=r"No recording of the corpus can be used \(.*a\.wav"):
        check(folder.read(root), DEFAULT_MODEL)


def test_a_model_without_a_speaker_encoder_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no model"):
        check(folder.read(root), "nothing")


def test_real_people_are_told_apart_and_one_under_two_names_is_found(corpus: Path, tmp_path: Path) -> None:
    # Two men and a woman of VCTK; the clips of p226 under two names.
    rows = [one for one in manifest.read(corpus) if one.speaker in ("vctk-p225", "vctk-p226", "vctk-p227")]
    clips = [one for one in rows if one.split == "vctk"]
    p226 = [one.path for one in clips if one.speaker == "vctk-p226"]
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "speaker"])
        for one in clips:
            if one.speaker != "vctk-p226":
                table.writerow([one.path, one.speaker])
        table.writerows([path, f"person-{number % 2}"] for number, path in enumerate(p226))
    found = check(manifest.read(tmp_path), DEFAULT_MODEL, clips=4)
    assert [pair.speakers for pair in found.voices.twins] == [("person-0", "person-1")]
    assert found.voices.divided == ()
