"""Both releases of VCTK become utterances, with everything their readers stumble over."""

from __future__ import annotations

from pathlib import Path

import pytest

from timbrel.corpora import Utterance, vctk
from timbrel.errors import CorpusError

from . import trees


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trees.vctk_old(tmp_path_factory.mktemp("vctk old"))


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trees.vctk_new(tmp_path_factory.mktemp("vctk new"))


def by_id(utterances: list[Utterance]) -> dict[str, Utterance]:
    return {one.id: one for one in utterances}


def test_release_080_is_read(old: Path) -> None:
    found = by_id(vctk.read(old))
    assert list(found) == ["p225/p225_001", "p225/p225_002", "p226/p226_001", "p376/p376_295"]
    first = found["p225/p225_001"]
    assert first.path == old / "wav48/p225/p225_001.wav"
    assert (first.speaker, first.sex, first.language, first.text) == (
        "p225",
        "F",
        "en",
        "Please call Stella.",
    )
    assert first.extra == {
        "age": "23",
        "accent": "English",
        "region": "Southern England",
        "licence": "ODC-By-1.0",
    }
    assert found["p225/p225_002"].text == ""
    assert "region" not in found["p376/p376_295"].extra


def test_release_092_is_read_with_the_first_microphone(new: Path) -> None:
    found = by_id(vctk.read(new))
    assert len(found) == 8
    assert not any(one.problem for one in found.values())
    assert found["p225/p225_001"].path.name == "p225_001_mic1.flac"
    assert found["p225/p225_001"].extra["microphone"] == "1"
    assert all(one.path.is_file() for one in found.values())


@pytest.mark.parametrize(
    ("speaker", "sex", "facts"),
    [
        ("p225", "F", {"age": "23", "accent": "English", "region": "Southern England"}),
        (
            "p280",
            "F",
            {"age": "25", "accent": "Unknown", "region": "France", "remark": "mic2 files unavailable"},
        ),
        ("p326", "M", {"age": "26", "accent": "Australian English", "region": "Sydney"}),
        ("p329", "F", {"age": "23", "accent": "American"}),
        ("p335", "F", {"age": "25", "accent": "NewZealand English"}),
        ("s5", "", {}),
    ],
)
def test_speaker_info_is_read_whatever_its_spaces(
    new: Path, speaker: str, sex: str, facts: dict[str, str]
) -> None:
    one = by_id(vctk.read(new))[f"{speaker}/{speaker}_001"]
    assert one.sex == sex
    assert one.extra == facts | {"licence": "CC-BY-4.0", "microphone": "1"}


def test_p315_has_no_transcript(new: Path) -> None:
    assert by_id(vctk.read(new))["p315/p315_001"].text == ""


def test_clips_that_the_second_microphone_lacks_are_rows_that_say_so(new: Path) -> None:
    found = by_id(vctk.read(new, microphone=2))
    assert found["p225/p225_001"].path.name == "p225_001_mic2.flac"
    assert {name: one.problem for name, one in found.items() if one.problem} == {
        "p280/p280_001": "there is no recording of it by microphone 2.",
        "p315/p315_001": "there is no recording of it by microphone 2.",
    }


def test_a_microphone_that_there_is_not_is_refused(old: Path, new: Path) -> None:
    with pytest.raises(CorpusError, match=r"0\.80, which has one microphone"):
        vctk.read(old, microphone=2)
    with pytest.raises(CorpusError, match="microphones 1 and 2, not 3"):
        vctk.read(new, microphone=3)


def test_without_speaker_info_nothing_is_known_of_the_speakers(new: Path, tmp_path: Path) -> None:
    root = trees.write(tmp_path, {"wav48/p225/p225_001.wav": None})
    (found,) = vctk.read(root)
    assert (found.sex, found.extra) == ("", {"licence": "ODC-By-1.0"})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("VCTK-Corpus/wav48/p225/p225_001.wav", r"expected VCTK, that is wav48.*found VCTK-Corpus/\."),
        ("wav48_silence_trimmed/p225/p225_001.wav", r"such as p225/p225_001_mic1\.flac; found p225/"),
        ("wav48/p225_001.wav", r"such as p225/p225_001\.wav; found p225_001\.wav"),
    ],
)
def test_another_layout_says_what_was_expected_and_found(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        vctk.read(trees.write(tmp_path, {name: None}))


def test_files_that_macos_lays_beside_recordings_are_none(tmp_path: Path) -> None:
    for name, make in (("old", trees.vctk_old), ("new", trees.vctk_new)):
        root = make(tmp_path / name)
        before = vctk.read(root)
        for one in before:
            (one.path.parent / f"._{one.path.name}").write_bytes(b"Mac OS X")
        assert vctk.read(root) == before
