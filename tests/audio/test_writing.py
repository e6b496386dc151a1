"""Writing: whole files or none, checked samples, and tags that say what made them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
import torch

from timbrel.audio.io import (
    AudioWriter,
    Waveform,
    check_output,
    read,
    read_metadata,
    synthetic_metadata,
    write,
)
from timbrel.errors import AudioError, OutputError

SUFFIXES = [".wav", ".flac", ".mp3", ".ogg", ".opus"]


def nothing_in(folder: Path) -> bool:
    """No file at all, neither whole nor partial."""
    return list(folder.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("rate", [16000, 22050, 48000])
def test_what_is_written_can_be_read(suffix: str, rate: int, tmp_path: Path, voice: np.ndarray) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, Waveform(torch.from_numpy(voice), rate))
    back = read(path, rate).samples.numpy()
    assert len(back) == len(voice)
    assert np.corrcoef(back, voice)[0, 1] > (0.99999 if suffix in (".wav", ".flac") else 0.97)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(("suffix", "rate", "stored"), [(".opus", 22050, 24000), (".mp3", 96000, 48000)])
def test_codecs_confined_to_certain_rates_get_the_next(
    suffix: str, rate: int, stored: int, tmp_path: Path, voice: np.ndarray
) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, Waveform(torch.from_numpy(voice), rate))
    assert soundfile.info(path).samplerate == stored


def test_blocks_join_without_a_trace(tmp_path: Path, voice: np.ndarray) -> None:
    with AudioWriter(tmp_path / "a.flac", 16000) as writer:
        for block in np.split(voice, [1, 500, 500, 20000]):
            writer.write(block)
    assert writer.frames == len(voice)
    write(tmp_path / "b.flac", Waveform(torch.from_numpy(voice), 16000))
    assert torch.equal(read(tmp_path / "a.flac").samples, read(tmp_path / "b.flac").samples)


def test_writing_ten_minutes_holds_no_more_than_a_block(tmp_path: Path) -> None:
    block = torch.rand(16000 * 10) - 0.5
    tracemalloc.start()
    with AudioWriter(tmp_path / "a.wav", 16000) as writer:
        for _ in range(60):
            writer.write(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * block.nbytes


def test_ten_minutes_in_one_block(tmp_path: Path) -> None:
    """libsndfile's Vorbis encoder crashes on blocks of this size if they are passed on whole."""
    write(tmp_path / "a.ogg", Waveform(0.1 * torch.ones(8000 * 600), 8000))
    assert soundfile.info(tmp_path / "a.ogg").frames == 8000 * 600


# --- samples no codec may see ---------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(
    suffix: str, value: float, tmp_path: Path, voice: np.ndarray
) -> None:
    """To MP3 they would abort the interpreter."""
    samples = voice.copy()
    samples[24000] = value
    with pytest.raises(AudioError, match=r"sample at 1\.50 s is not a finite number"):
        write(tmp_path / f"a{suffix}", Waveform(torch.from_numpy(samples), 16000))
    assert nothing_in(tmp_path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_huge_samples_are_clipped_and_counted(suffix: str, tmp_path: Path, voice: np.ndarray) -> None:
    samples = voice.copy()
    samples[100:103] = [1e10, -1e10, 1.5]
    with AudioWriter(tmp_path / f"a{suffix}", 16000) as writer:
        writer.write(samples)
    assert writer.clipped == 3
    assert np.abs(soundfile.read(tmp_path / f"a{suffix}")[0]).max() < 1.6


def test_nothing_written_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no samples"), AudioWriter(tmp_path / "a.mp3", 16000):
        pass
    assert nothing_in(tmp_path)


def test_stereo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mono"), AudioWriter(tmp_path / "a.wav", 16000) as writer:
        writer.write(np.zeros((100, 2)))
    assert nothing_in(tmp_path)


# --- whole files or none --------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_inside_leaves_no_file(
    suffix: str, error: type[BaseException], tmp_path: Path, voice: np.ndarray
) -> None:
    with pytest.raises(error), AudioWriter(tmp_path / f"a{suffix}", 16000) as writer:
        writer.write(voice)
        raise error
    assert nothing_in(tmp_path)


def test_an_exception_inside_leaves_the_old_file(tmp_path: Path, voice: np.ndarray) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), AudioWriter(path, 16000, force=True) as writer:
        writer.write(voice)
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]


def test_what_others_write_under_the_same_name_is_left_alone(tmp_path: Path, voice: np.ndarray) -> None:
    path = tmp_path / "a.wav"
    with AudioWriter(path, 16000, force=True) as slow:
        slow.write(voice)
        with AudioWriter(path, 16000, force=True) as quick:
            quick.write(voice[:8000])
        assert len(read(path).samples) == 8000
    assert len(read(path).samples) == len(voice)
    # Of a run that was killed, and of a file with another name.
    abandoned, other = tmp_path / ".a.wav.0123abcd.partial", tmp_path / ".a.wav.b.wav.0123abcd.partial"
    for draft in (abandoned, other):
        draft.touch()
    with AudioWriter(path, 16000, force=True) as writer:
        writer.write(voice)
    assert not abandoned.exists()
    assert other.exists()


KILLED = """
import sys, time
import numpy as np
from timbrel.audio.encode import AudioWriter  # io would import torch
with AudioWriter(sys.argv[1], 16000, force=True) as writer:
    writer.write(np.full(160000, 0.1))
    print("written", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_kill_in_the_middle_leaves_what_was_there(tmp_path: Path, voice: np.ndarray) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")
    with subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == b"old"
    write(path, Waveform(torch.from_numpy(voice), 16000), force=True)
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"], "the next run clears up"


FULL_DISK = """
import resource, sys
import numpy as np
from timbrel.audio.encode import AudioWriter  # io would import torch
from timbrel.errors import OutputError
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    with AudioWriter(sys.argv[1], 16000) as writer:
        writer.write(np.random.default_rng(0).standard_normal(160000))
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
def test_a_full_disk_is_said_and_leaves_no_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, tmp_path / "a.wav"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "a.wav cannot be written" in result.stdout
    assert nothing_in(tmp_path)


# --- where a file may go --------------------------------------------------------------------------


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path, voice: np.ndarray) -> None:
    path = tmp_path / "a.wav"
    waveform = Waveform(torch.from_numpy(voice), 16000)
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match=r"exists already; use --force"):
        write(path, waveform)
    assert path.read_bytes() == b"old"
    write(path, waveform, force=True)
    assert len(read(path).samples) == len(voice)


@pytest.mark.parametrize("name", ["a.aac", "a", "a.wav.txt"])
def test_an_unknown_suffix_names_the_known(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.wav, \.flac, \.mp3, \.ogg, \.opus"):
        check_output(tmp_path / name)


def test_suffixes_may_be_in_capitals(tmp_path: Path, voice: np.ndarray) -> None:
    write(tmp_path / "A.FLAC", Waveform(torch.from_numpy(voice), 16000))
    assert soundfile.info(tmp_path / "A.FLAC").format == "FLAC"


def test_a_name_too_long_for_its_draft_is_refused(tmp_path: Path, voice: np.ndarray) -> None:
    path = tmp_path / f"{'n' * 245}.wav"
    with pytest.raises(OutputError, match="cannot be written"):
        write(path, Waveform(torch.from_numpy(voice), 16000))
    assert nothing_in(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        check_output(tmp_path / "missing" / "a.wav")


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "a.wav").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        check_output(tmp_path / "a.wav", force=True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_closed_folder_is_refused_beforehand(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    with pytest.raises(OutputError, match="closed to you"):
        check_output(closed / "a.wav")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write to")
def test_a_folder_that_takes_no_files_is_refused() -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write("/proc/self/a.wav", Waveform(torch.full((16000,), 0.1), 16000))


# --- tags -----------------------------------------------------------------------------------------

TAGS = {"title": "Stimme über Stimme", "comment": "Synthetic voice, model größer", "software": "Timbrel 1.2"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_metadata_can_be_read_back(suffix: str, tmp_path: Path, voice: np.ndarray) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, Waveform(torch.from_numpy(voice), 16000), metadata=TAGS)
    back = read_metadata(path)
    assert back["title"] == TAGS["title"]
    assert back["comment"] == TAGS["comment"]
    assert back["software"].startswith("Timbrel 1.2")
    assert len(read(path).samples) == len(voice)


@pytest.mark.parametrize(
    ("suffix", "keys"),
    [
        (".flac", ("title", "comment", "software")),
        (".ogg", ("title", "comment", "software")),
        (".opus", ("title", "comment", "encoder")),
        (".mp3", ("TIT2", "COMM::XXX", "TSSE")),
    ],
)
def test_other_programs_see_the_tags(
    suffix: str, keys: tuple[str, ...], tmp_path: Path, voice: np.ndarray
) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, Waveform(torch.from_numpy(voice), 16000), metadata=TAGS)
    tags = mutagen.File(path).tags  # type: ignore[attr-defined]
    found = [str(tags[key][0]) for key in keys]
    assert found[:2] == [TAGS["title"], TAGS["comment"]]
    assert found[2].startswith(TAGS["software"])


def test_wav_tags_are_an_info_list(tmp_path: Path, voice: np.ndarray) -> None:
    path = tmp_path / "a.wav"
    write(path, Waveform(torch.from_numpy(voice), 16000), metadata=TAGS)
    content = path.read_bytes()
    for chunk, field in [(b"INAM", "title"), (b"ICMT", "comment"), (b"ISFT", "software")]:
        assert content[content.index(chunk) + 8 :].startswith(TAGS[field].encode())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_converted_file_says_what_it_is(suffix: str, tmp_path: Path, voice: np.ndarray) -> None:
    path = tmp_path / f"a{suffix}"
    tags = synthetic_metadata("timbrel-one", "1.2.3")
    write(path, Waveform(torch.from_numpy(voice), 16000), metadata=tags)
    said = " ".join(read_metadata(path).values())
    for mark in ("Timbrel 1.2.3", "timbrel-one", "Synthetic voice"):
        assert mark in said


def test_an_unknown_tag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mood"):
        AudioWriter(tmp_path / "a.wav", 16000, metadata={"mood": "happy"})


def test_what_is_not_audio_has_no_metadata(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    assert read_metadata(path) == {}
