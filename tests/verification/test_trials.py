"""Trial lists in each spelling, what is wrong with them, and the pairs of a corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from timbrel.corpora import Utterance
from timbrel.errors import ConfigError, CorpusError
from timbrel.verification import thresholds
from timbrel.verification.lists import read_conversions, read_trials
from timbrel.verification.trials import Trials, of_corpus


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def pairs(trials: Trials, root: Path) -> list[tuple[str, str, bool]]:
    names = [path.relative_to(root).as_posix() for path in trials.paths]
    return [
        (names[one], names[two], bool(same))
        for block in trials.blocks()
        for one, two, same in zip(block.first, block.second, block.same, strict=True)
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("voxceleb.txt", "1 a/1.wav a/2.wav\n0 a/1.wav b/1.wav\n\n"),
        ("kaldi.txt", "a/1.wav a/2.wav target\na/1.wav b/1.wav nontarget\n"),
        ("table.csv", "label,first,second\n1,a/1.wav,a/2.wav\n0,a/1.wav,b/1.wav\n"),
        (
            "excel.csv",
            "\ufefflabel, first, second, note\nsame, a/1.wav, a/2.wav, x\ndifferent, a/1.wav, b/1.wav, y\n",
        ),
    ],
)
def test_the_spellings_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    touch(tmp_path, "a/1.wav", "a/2.wav", "b/1.wav")
    trials = read_trials(written(tmp_path / name, text))
    assert pairs(trials, tmp_path) == [("a/1.wav", "a/2.wav", True), ("a/1.wav", "b/1.wav", False)]
    assert trials.names == ("a", "b")
    assert trials.speakers.tolist() == [0, 0, 1]
    assert trials.notes == ()


def test_paths_are_relative_to_the_root_that_is_given(tmp_path: Path) -> None:
    touch(tmp_path / "wav", "a/1.wav", "b/1.wav")
    trials = read_trials(written(tmp_path / "t.txt", "0 a/1.wav b/1.wav"), tmp_path / "wav")
    assert pairs(trials, tmp_path / "wav") == [("a/1.wav", "b/1.wav", False)]


def test_without_folders_speakers_are_what_the_labels_tie_together(tmp_path: Path) -> None:
    touch(tmp_path, *"abcde")
    trials = read_trials(written(tmp_path / "t.txt", "1 a b\n1 b c\n0 a d\n1 d e"))
    assert trials.speakers.tolist() == [0, 0, 0, 1, 1]
    assert trials.names == ("a", "d")
    assert "folders" in trials.notes[0]


def test_all_missing_files_are_named_at_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.wav", "a/2.wav")
    file = written(
        tmp_path / "t.txt", "1 a/1.wav a/2.wav\n1 a/1.wav a/9.wav\n0 a/1.wav b/1.wav\n0 a/2.wav b/1.wav\n"
    )
    with pytest.raises(CorpusError, match=r"2 of 4 files .*: a/9\.wav, b/1\.wav;"):
        read_trials(file)
    trials = read_trials(file, skip_missing=True)
    assert trials.missing == ("a/9.wav", "b/1.wav")
    assert trials.left_out == 3
    assert pairs(trials, tmp_path) == [("a/1.wav", "a/2.wav", True)]


def test_if_nothing_is_there_skipping_does_not_help(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="2 of 2"):
        read_trials(written(tmp_path / "t.txt", "1 a b"), skip_missing=True)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("t.txt", "", "no trials"),
        ("t.txt", "1 a b\n2 a b\n", "line 2"),
        ("t.txt", "1 a b c\n", "need a CSV"),
        ("t.txt", "1 a\n", "line 1"),
        ("t.csv", "a,b,c\n", "label,first,second"),
        ("t.csv", "", "found nothing"),
        ("t.csv", "label,first,second\nyes,a,b\n", "line 2: the label"),
        ("t.csv", "label,first,second\n1,a\n", "line 2"),
        ("t.csv", "label,first,second\n1,a,b\n0,a,c,b\n", r"t\.csv, line 3: the row has more cells"),
        ("t.txt", "1 a b\n1 b c\n0 a c\n", "contradicts"),
        ("t.txt", "0 a b\n0 a a\n1 a b\n", "contradicts"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    touch(tmp_path, "a", "b", "c")
    with pytest.raises(CorpusError, match=words):
        read_trials(written(tmp_path / name, text))


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(CorpusError, match="cannot be read"):
        read_trials(tmp_path / "t.txt")
    with pytest.raises(CorpusError, match="cannot be read"):
        read_trials(tmp_path / "nowhere.txt")


def test_conversions_name_three_recordings(tmp_path: Path) -> None:
    touch(tmp_path, "s.wav", "t.wav", "c.wav")
    file = written(tmp_path / "c.csv", "source,target,converted\ns.wav,t.wav,c.wav\ns.wav,t.wav,d.wav\n")
    with pytest.raises(CorpusError, match=r"1 of 4 files .*d\.wav"):
        read_conversions(file)
    rows, missing = read_conversions(file, skip_missing=True)
    assert [row.converted.name for row in rows] == ["c.wav"]
    assert missing == ("d.wav",)


def utterances(counts: dict[str, int]) -> list[Utterance]:
    return [
        Utterance(f"{name}/{place}", name, Path(name) / f"{place:03d}.wav")
        for name, count in counts.items()
        for place in range(count)
    ]


def test_a_corpus_is_every_pair() -> None:
    trials = of_corpus(utterances({"b": 2, "a": 3}))
    assert trials.names == ("a", "b")
    assert len(trials) == 10
    assert sum(int(block.same.sum()) for block in trials.blocks()) == 3 + 1


def test_too_many_pairs_take_fewer_recordings_of_each_speaker_and_say_so() -> None:
    trials = of_corpus(utterances({"a": 100, "b": 2, "c": 50}), most_pairs=45)
    # 4 + 2 + 4 recordings make 45 pairs.
    assert len(trials) == 45
    assert [path.name for path in trials.paths if path.parts[0] == "a"] == [
        "000.wav",
        "033.wav",
        "066.wav",
        "099.wav",
    ]
    assert "at most 4" in trials.notes[0]


def test_a_prepared_corpus_and_an_empty_one_are_refused() -> None:
    with pytest.raises(CorpusError, match="prepared"):
        of_corpus([Utterance("a/1", "a", Path("clips/a/1.safetensors"))])
    with pytest.raises(CorpusError, match="no recordings"):
        of_corpus([])


@pytest.mark.parametrize(
    ("text", "said"), [("0.7", "0.7"), ("-1.5", "-1.5"), (" EER ", "eer"), ("far=0.01", "far=0.01")]
)
def test_thresholds_as_they_are_written(text: str, said: str) -> None:
    assert str(thresholds.parse(text)) == said


@pytest.mark.parametrize(
    "text", ["", "high", "far=", "far=0", "far=1", "far=-0.1", "nan", "inf", "far=nan", "frr=0.1"]
)
def test_other_thresholds_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"far=0\.01"):
        thresholds.parse(text)
