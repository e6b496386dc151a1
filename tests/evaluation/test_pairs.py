"""The list of pairs: what is read, and what a careless or hostile user is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from timbrel.errors import EvaluationError
from timbrel.evaluation.pairs import find_converted, read_pairs

from .conftest import tone, write_table


def test_rows_are_named_by_their_place_and_speakers_by_their_folders(pairs: Path) -> None:
    found = read_pairs(pairs)
    assert [one.id for one in found[:3]] == ["0000", "0001", "0002"]
    assert (found[0].source_speaker, found[0].target_speaker) == ("ann", "bob")
    assert (found[0].text, found[0].parallel, found[0].direction) == (None, None, "")
    assert len(read_pairs(pairs, limit=3)) == 3


def test_all_columns_are_read(recordings: Path) -> None:
    row = {
        "id": "first",
        "source": "ann/a.wav",
        "target": "bob/b.wav",
        "text": " two  words ",
        "parallel": "bob/a.wav",
        "references": "bob | dot/a.wav",
        "source_speaker": "Ann",
        "target_speaker": "Bob",
        "source_sex": "female",
        "target_sex": "M",
        "language": "en",
        "condition": "seen-to-seen",
        "remark": "not read",
    }
    (one,) = read_pairs(write_table(recordings / "all.csv", [row]))
    assert (one.id, one.text, one.direction, one.condition) == (
        "first",
        "two words",
        "F to M",
        "seen-to-seen",
    )
    assert one.parallel == recordings / "bob" / "a.wav"
    assert [path.relative_to(recordings).as_posix() for path in one.references] == [
        "bob/a.wav",
        "bob/b.wav",
        "dot/a.wav",
    ]
    assert (one.source_speaker, one.target_speaker, one.language) == ("Ann", "Bob", "en")


def test_what_macos_lays_beside_a_recording_is_no_reference(recordings: Path) -> None:
    (recordings / "bob" / "._a.wav").write_bytes(b"what the Finder knows of a.wav")
    row = {"source": "ann/a.wav", "target": "bob/b.wav", "references": "bob"}
    (one,) = read_pairs(write_table(recordings / "one.csv", [row]))
    assert [path.name for path in one.references] == ["a.wav", "b.wav"]


def test_in_one_folder_every_recording_is_a_speaker(tmp_path: Path) -> None:
    for place, name in enumerate("xyz"):
        tone(tmp_path / f"{name}.wav", 1.0, 100 + place)
    rows = [{"source": "x.wav", "target": "y.wav"}, {"source": "z.wav", "target": "x.wav"}]
    found = read_pairs(write_table(tmp_path / "flat.csv", rows))
    assert [(one.source_speaker, one.target_speaker) for one in found] == [("x", "y"), ("z", "x")]


def test_all_missing_files_are_named_at_once(recordings: Path) -> None:
    rows = [
        {"source": "ann/a.wav", "target": "gone/1.wav", "parallel": "gone/2.wav"},
        {"source": "gone/3.wav", "target": "bob/a.wav", "parallel": ""},
    ]
    with pytest.raises(EvaluationError, match=r"3 of 5 files") as error:
        read_pairs(write_table(recordings / "gone.csv", rows))
    assert all(f"{number}.wav" in str(error.value) for number in (1, 2, 3))


@pytest.mark.parametrize("name", ["../up", "a/b", "a\\b", ".hidden", "x" * 121, "new\nline"])
def test_ids_that_would_leave_the_folder_are_refused(recordings: Path, name: str) -> None:
    rows = [{"id": name, "source": "ann/a.wav", "target": "bob/a.wav"}]
    with pytest.raises(EvaluationError, match=r"line \d: the id .* cannot be the name of a file"):
        read_pairs(write_table(recordings / "bad.csv", rows))


def test_a_pair_or_an_id_that_is_there_twice_is_refused(recordings: Path) -> None:
    row = {"source": "ann/a.wav", "target": "bob/a.wav"}
    with pytest.raises(EvaluationError, match="rows 1 and 2 are the same pair"):
        read_pairs(write_table(recordings / "twice.csv", [row, row]))
    # One file on many systems.
    rows = [{"id": "A", **row}, {"id": "a", "source": "ann/b.wav", "target": "bob/a.wav"}]
    with pytest.raises(EvaluationError, match="rows 1 and 2 have one id"):
        read_pairs(write_table(recordings / "ids.csv", rows))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source,goal\na,b\n", "expected the columns source and target"),
        ("source,target\n", "no rows"),
        ("source,target\nann/a.wav\n", "as many cells"),
        ("source,target\nann/a.wav,bob/a.wav,more\n", "as many cells"),
        ("source,target\nann/a.wav,\n", "target is empty"),
        ("source,target,source\na,b,c\n", "two columns of one name"),
        ('source,target\n"ann/a.wav,bob/a.wav\n', "cannot be read as a CSV"),
    ],
)
def test_a_malformed_table_is_one_clear_sentence(recordings: Path, text: str, said: str) -> None:
    (recordings / "bad.csv").write_text(text)
    with pytest.raises(EvaluationError, match=said) as error:
        read_pairs(recordings / "bad.csv")
    assert "bad.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_tables_that_are_not_there_or_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    for name in ("binary.csv", "none.csv", "."):
        with pytest.raises(EvaluationError, match="cannot be read"):
            read_pairs(tmp_path / name)


def test_files_of_another_system_are_found_by_id_by_row_or_as_batches_call_them(
    pairs: Path, converted: Path
) -> None:
    rows = read_pairs(pairs)
    assert find_converted(converted, rows)["0003"] == converted / "0003.wav"
    batch = converted.parent / "batch"
    batch.mkdir()
    for row in rows[:2]:
        (batch / f"{row.source.stem}-as-{row.target.stem}.flac").touch()
    # "a-as-b" names both rows, so it names neither.
    with pytest.raises(EvaluationError, match="lacks 2 of 2"):
        find_converted(batch, rows[:2])
    assert find_converted(batch, rows[:1])["0000"].name == "a-as-b.flac"


def test_all_missing_converted_files_are_named(pairs: Path, converted: Path) -> None:
    rows = read_pairs(pairs)
    (converted / "0002.wav").unlink()
    (converted / "0005.wav").unlink()
    with pytest.raises(EvaluationError, match=r"lacks 2 of 8 converted files: 0002.wav, 0005.wav"):
        find_converted(converted, rows)
    with pytest.raises(EvaluationError, match="is no folder"):
        find_converted(converted / "none", rows)
