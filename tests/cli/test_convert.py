"""`timbrel convert`: what it makes, and what it refuses before anything is written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from timbrel.audio.io import read_metadata

from .conftest import Command, is_one_sentence

Pair = tuple[Path, Path]


def written(folder: Path) -> list[str]:
    """Everything in `folder`, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def test_the_words_of_one_in_the_voice_of_another(timbrel: Command, demo_pair: Pair) -> None:
    source, target = demo_pair
    ended = timbrel("convert", source, "--target", target, "-o", "out.wav")
    assert (ended.code, written(Path.cwd())) == (0, ["out.wav"])
    before, after = soundfile.info(source), soundfile.info("out.wav")
    # As long as the source, to within a frame of 20 ms.
    assert after.duration == pytest.approx(before.duration, abs=0.02)
    assert "Timbrel" in str(read_metadata("out.wav"))
    assert ended.out.startswith("out.wav: ")


def test_the_name_of_the_result(timbrel: Command, demo_pair: Pair) -> None:
    source, target = demo_pair
    name = f"{source.stem}-as-{target.stem}.wav"
    assert timbrel("convert", source, "--target", target).code == 0
    assert written(Path.cwd()) == [name]
    Path("sub").mkdir()
    assert timbrel("convert", source, "--target", target, "-o", "sub").code == 0
    assert written(Path("sub")) == [name]


def test_the_command_and_the_library_give_the_same_samples(timbrel: Command, demo_pair: Pair) -> None:
    from timbrel import VoiceConverter

    source, target = demo_pair
    assert timbrel("convert", source, "--target", target, "-o", "cli.wav", "--seed", "5").code == 0
    converter = VoiceConverter.from_pretrained()
    converter.convert(source, converter.enrol(target), seed=5).save("api.wav")
    assert np.array_equal(soundfile.read("cli.wav")[0], soundfile.read("api.wav")[0])


def test_a_saved_voice_is_the_voice(timbrel: Command, demo_pair: Pair) -> None:
    source, target = demo_pair
    assert timbrel("enrol", target, "-o", "her.voice").code == 0
    assert timbrel("convert", source, "--target", "her.voice", "-o", "saved.wav").code == 0
    assert timbrel("convert", source, "--target", target, "-o", "heard.wav").code == 0
    assert np.array_equal(soundfile.read("saved.wav")[0], soundfile.read("heard.wav")[0])


def test_a_report_has_its_figures(timbrel: Command, demo_pair: Pair) -> None:
    source, target = demo_pair
    ended = timbrel("convert", source, "--target", target, "-o", "out.wav", "--report")
    lines = [line.rsplit(maxsplit=1) for line in ended.out.splitlines() if "similarity" in line]
    figures = {name.strip(): float(value) for name, value in lines}
    assert figures["similarity to the target"] > figures["similarity to the source"]
    for name in ("duration", "level", "real-time factor"):
        assert name in ended.out


def test_a_short_reference_draws_a_warning_with_numbers(timbrel: Command, demo_pair: Pair) -> None:
    source, target = demo_pair
    samples, rate = soundfile.read(target)
    soundfile.write("short.wav", samples[: rate * 3 // 2], rate)
    ended = timbrel("convert", source, "--target", "short.wav", "-o", "out.wav")
    assert ended.code == 0
    assert "timbrel: warning: " in ended.err
    assert any(character.isdigit() for character in ended.err)


def test_an_existing_output_is_kept_unless_forced(timbrel: Command, demo_pair: Pair) -> None:
    source, target = demo_pair
    Path("out.wav").write_text("mine")
    ended = timbrel("convert", source, "--target", target, "-o", "out.wav")
    assert (ended.code, Path("out.wav").read_text()) == (2, "mine")
    assert is_one_sentence(ended.err)
    assert timbrel("convert", source, "--target", target, "-o", "out.wav", "--force").code == 0
    assert soundfile.info("out.wav").frames > 0


def bad_recording(name: str, folder: Path) -> Path:
    """A file that cannot be a source, for the reason its name says."""
    path = folder / f"{name}.wav"
    speechless = np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32)
    match name:
        case "empty":
            path.touch()
        case "text":
            path.write_text("These are words, but nobody says them.")
        case "folder":
            path.mkdir()
        case "silent":
            soundfile.write(path, np.zeros(32000), 16000)
        case "brief":
            soundfile.write(path, speechless[:1600], 16000)
        case "not-a-number":
            speechless[100] = np.nan
            soundfile.write(path, speechless, 16000, subtype="FLOAT")
        case "infinite":
            speechless[100] = np.inf
            soundfile.write(path, speechless, 16000, subtype="FLOAT")
        case "absurd-rate":
            soundfile.write(path, speechless, 2_000_000)
        case "absurd-channels":
            soundfile.write(path, np.tile(speechless[:, None], (1, 64)), 16000)
        case "truncated":
            soundfile.write(folder / "whole.mp3", np.tile(speechless, 10), 16000)
            path = folder / "truncated.mp3"
            data = (folder / "whole.mp3").read_bytes()
            path.write_bytes(data[: len(data) // 2])
    return path


BAD = [
    "absent",
    "empty",
    "text",
    "folder",
    "silent",
    "brief",
    "not-a-number",
    "infinite",
    "absurd-rate",
    "absurd-channels",
    "truncated",
]


@pytest.mark.parametrize("name", BAD)
def test_a_source_that_cannot_be_used_is_refused(
    timbrel: Command, demo_pair: Pair, tmp_path: Path, name: str
) -> None:
    source = bad_recording(name, tmp_path)
    ended = timbrel("convert", source, "--target", demo_pair[1], "-o", "out.wav")
    assert ended.code == 2
    assert is_one_sentence(ended.err)
    assert source.name in ended.err
    assert written(Path.cwd()) == []


@pytest.mark.parametrize("name", ["silent", "text", "absent"])
def test_a_reference_that_cannot_be_used_is_refused(
    timbrel: Command, demo_pair: Pair, tmp_path: Path, name: str
) -> None:
    target = bad_recording(name, tmp_path)
    ended = timbrel("convert", demo_pair[0], "--target", target, "-o", "out.wav")
    assert ended.code == 2
    assert is_one_sentence(ended.err)
    assert target.name in ended.err
    assert written(Path.cwd()) == []


def test_a_reference_without_speech_is_refused(timbrel: Command, demo_pair: Pair, noise: Path) -> None:
    ended = timbrel("convert", demo_pair[0], "--target", noise, "-o", "out.wav")
    assert (ended.code, written(Path.cwd())) == (2, [])
    assert is_one_sentence(ended.err)
    assert noise.name in ended.err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["-o", "nowhere/out.wav"], "nowhere"),
        (["-o", "out.doc"], ".doc"),
        (["--model", "nobody"], "timbrel-one"),
        (["--model", "."], "config.toml"),
    ],
)
def test_wrong_options_are_refused(timbrel: Command, demo_pair: Pair, options: list[str], text: str) -> None:
    source, target = demo_pair
    ended = timbrel("convert", source, "--target", target, *options)
    assert (ended.code, written(Path.cwd())) == (2, [])
    assert is_one_sentence(ended.err)
    assert text in ended.err


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_closed_folder_is_refused(timbrel: Command, demo_pair: Pair) -> None:
    source, target = demo_pair
    Path("closed").mkdir(mode=0o500)
    ended = timbrel("convert", source, "--target", target, "-o", "closed/out.wav")
    assert ended.code == 2
    assert is_one_sentence(ended.err)


def test_an_input_is_never_the_output(timbrel: Command, tmp_path: Path, noise: Path) -> None:
    ended = timbrel("convert", noise, "--target", noise, "-o", noise, "--force")
    assert ended.code == 2
    assert "also an input" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.wav"],
        ["--target", "b.wav"],
        ["--batch", "pairs.csv"],
        ["a.wav", "--batch", "pairs.csv", "-o", "out"],
        ["--target", "b.wav", "--batch", "pairs.csv", "-o", "out"],
        ["--batch", "pairs.csv", "-o", "out"],
        ["a.wav", "--target", "b.wav", "--engine", "ray"],
        ["--batch", "pairs.csv", "-o", "out", "--address", "auto"],
    ],
)
def test_what_makes_no_sense_is_refused(timbrel: Command, arguments: list[str]) -> None:
    ended = timbrel("convert", *arguments)
    assert (ended.code, written(Path.cwd())) == (2, [])
    assert is_one_sentence(ended.err)


def test_a_report_is_of_one_conversion(timbrel: Command) -> None:
    Path("pairs.csv").write_text("source,target\na.wav,b.wav\n")
    ended = timbrel("convert", "--batch", "pairs.csv", "-o", "out", "--report")
    assert (ended.code, "timbrel evaluate" in ended.err, Path("out").exists()) == (2, True, False)


def test_an_error_in_a_process_of_its_own(timbrel_process: Command, tmp_path: Path) -> None:
    ended = timbrel_process("convert", "absent.wav", "--target", "b.wav", "-o", "out.wav")
    assert (ended.code, ended.out, written(tmp_path / "work")) == (2, "", [])
    assert is_one_sentence(ended.err)
    assert "absent.wav" in ended.err


def test_a_batch_reports_the_bad_row_and_continues(timbrel: Command, demo_pair: Pair) -> None:
    source, target = demo_pair
    Path("pairs.csv").write_text(
        f"source,target,output\n{source},{target},one.wav\nabsent.wav,{target},two.wav\n"
    )
    ended = timbrel("convert", "--batch", "pairs.csv", "-o", "out")
    assert ended.code == 1
    assert "timbrel: row 3: " in ended.err
    assert "absent.wav" in ended.err
    assert "1 converted, 0 done before, 1 failed" in ended.out
    assert soundfile.info("out/one.wav").frames > 0
    Path("pairs.csv").write_text(f"source,target,output\n{source},{target},one.wav\n")
    ended = timbrel("convert", "--batch", "pairs.csv", "-o", "out")
    assert ended.code == 0
    assert "0 converted, 1 done before, 0 failed" in ended.out


def test_a_batch_gives_the_samples_of_a_single_conversion(timbrel: Command, demo_pair: Pair) -> None:
    source, target = demo_pair
    Path("pairs.csv").write_text(f"source,target,output\n{source},{target},one.wav\n")
    assert timbrel("convert", "--batch", "pairs.csv", "-o", "out").code == 0
    assert timbrel("convert", source, "--target", target, "-o", "two.wav").code == 0
    assert np.array_equal(soundfile.read("out/one.wav")[0], soundfile.read("two.wav")[0])


def test_a_batch_folder_that_is_a_file_is_refused(timbrel: Command) -> None:
    Path("pairs.csv").write_text("source,target\na.wav,b.wav\n")
    Path("out").write_text("mine")
    ended = timbrel("convert", "--batch", "pairs.csv", "-o", "out")
    assert (ended.code, Path("out").read_text()) == (2, "mine")
    assert is_one_sentence(ended.err)


def test_a_steered_blend_says_what_it_is(timbrel: Command, demo_pair: Pair) -> None:
    source, target = demo_pair
    blend = ["--target", f"{target}:0.7", "--target", f"{source}:0.3"]
    ended = timbrel("convert", source, *blend, "--f0", "-3", "--strength", "0.9", "--device", "cpu")
    assert (ended.code, written(Path.cwd())) == (0, [f"{source.stem}-as-{target.stem}+{source.stem}.wav"])
    (made,) = Path.cwd().iterdir()
    assert read_metadata(made)["comment"].endswith(", f0 -3 semitones, strength 0.9")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--f0", "999"], 'f0 is "999"'),
        (["--f0", "up"], 'f0 is "up"'),
        (["--f0", "nan"], 'f0 is "nan"'),
        (["--strength", "1.6"], "strength is 1.6"),
        (["--strength", "nan"], "strength is nan"),
        (["--strength", "-0"], "strength is -0"),
        (["--target", "other.wav:0.5"], "no weight"),
    ],
)
def test_a_steering_that_makes_no_sense_is_refused(
    timbrel: Command, noise: Path, options: list[str], text: str
) -> None:
    ended = timbrel("convert", noise, "--target", noise, *options)
    assert (ended.code, written(Path.cwd())) == (2, [])
    assert is_one_sentence(ended.err)
    assert text in ended.err


@pytest.mark.parametrize("weights", [(0, 1), (0, 0), (-1, 2), ("nan", 1), ("inf", 1)])
def test_weights_that_make_no_sense_are_refused(
    timbrel: Command, noise: Path, weights: tuple[str, str]
) -> None:
    one, other = (f"{noise}:{weight}" for weight in weights)
    ended = timbrel("convert", noise, "--target", one, "--target", other)
    assert (ended.code, written(Path.cwd())) == (2, [])
    assert is_one_sentence(ended.err)
    assert "weight" in ended.err
