"""What `timbrel prepare` wrote is read back as utterances."""

from __future__ import annotations

from pathlib import Path

import pytest

from timbrel.corpora import prepared, vctk
from timbrel.errors import CorpusError
from timbrel.train.prepare import prepare

from . import trees


def test_a_prepared_corpus_is_read(tmp_path: Path) -> None:
    rows = vctk.read(trees.vctk_old(tmp_path / "vctk"))
    prepare(rows, tmp_path / "out")
    found = prepared.read(tmp_path / "out")
    assert [(one.id, one.sex, one.language, one.text, one.split) for one in found] == [
        (one.id, one.sex, one.language, one.text, one.split) for one in rows
    ]
    assert all(one.path.is_file() for one in found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected index.jsonl"),
        ("", "is empty"),
        ("{}\n", "damaged"),
        ("{", "damaged"),
        ("3\n", "damaged"),
        ('{"id": "a/b", "speaker": "a", "file": "clips/x", "seconds": 1, "spilt": "dev"}', "did you mean"),
    ],
)
def test_what_is_none_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "index.jsonl").write_text(text)
    with pytest.raises(CorpusError, match=message):
        prepared.read(tmp_path)
