"""Common Voice becomes utterances: nobody is in two splits, whatever the tables leave out."""

from __future__ import annotations

from pathlib import Path

import pytest

from timbrel.corpora import common_voice
from timbrel.errors import CorpusError

from . import trees


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return trees.common_voice(tmp_path)


def test_validated_clips_are_read(root: Path) -> None:
    found = common_voice.read(root / "en")
    assert [one.id for one in found] == [
        f"{person * 16}/common_voice_en_{clip}" for person, clip in (("a", 1), ("a", 2), ("b", 3), ("e", 4))
    ]
    assert [one.sex for one in found] == ["F", "F", "M", ""]
    assert {one.language for one in found} == {"en"}
    assert found[0].path == root / "en/clips/common_voice_en_1.mp3"
    assert found[0].extra == {"age": "twenties", "accent": "Scottish English", "licence": "CC0-1.0"}
    assert found[3].extra == {"licence": "CC0-1.0"}


def test_quotes_are_kept_and_odd_line_breaks_are_not(root: Path) -> None:
    assert [one.text for one in common_voice.read(root)][:3] == ['He said "so.', "A second one.", "Good day."]


def test_a_clip_in_no_split_follows_its_speaker(root: Path) -> None:
    # Clip 2 is in no table but validated; its speaker is in dev, so training must not hear it.
    assert [one.split for one in common_voice.read(root)] == ["dev", "dev", "train", "train"]


def test_several_languages_are_read_together(root: Path) -> None:
    trees.common_voice(root / "again")
    (root / "again/en").rename(root / "cy")
    for table in (root / "cy").glob("*.tsv"):
        table.write_text(table.read_text().replace("common_voice_en", "common_voice_cy"))
    assert len(common_voice.read(root)) == 8


def test_without_validated_the_splits_are_taken(root: Path) -> None:
    (root / "en/validated.tsv").unlink()
    assert [(one.id[-1], one.split) for one in common_voice.read(root)] == [("3", "train"), ("1", "dev")]


def test_the_first_releases_left_out_the_suffix_and_named_the_accent_otherwise(tmp_path: Path) -> None:
    table = "client_id\tpath\tsentence\tage\tgender\taccent\nabc\tclip1\tYes.\t\tfemale\tscotland\n"
    root = trees.write(tmp_path, {"validated.tsv": table, "clips/clip1.mp3": None})
    (found,) = common_voice.read(root)
    assert (found.path.name, found.sex, found.extra["accent"]) == ("clip1.mp3", "F", "scotland")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path\tsentence\n", "expected the columns client_id, path, sentence, found path, sentence"),
        ("", "found none"),
        ("client_id\tpath\tsentence\n", "no rows"),
        ("client_id\tpath\tsentence\nabc\n", "line 2: the row does not fit"),
        ("client_id\tpath\tsentence\nabc\ta.mp3\tYes.\tmore\n", "line 2: the row does not fit"),
    ],
)
def test_a_wrong_table_says_what_is_wrong(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        common_voice.read(trees.write(tmp_path, {"validated.tsv": table, "clips/a.mp3": None}))


def test_another_layout_says_what_was_expected_and_found(tmp_path: Path) -> None:
    root = trees.write(tmp_path, {"validated.tsv": "client_id\tpath\tsentence\n"})
    with pytest.raises(
        CorpusError, match=r"expected Common Voice, that is the folder clips.*found validated\.tsv"
    ):
        common_voice.read(root)
