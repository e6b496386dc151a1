"""The report holds every figure, is readable without a network, and is written whole or not at all."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from timbrel.errors import OutputError
from timbrel.verification import documents, evaluation, pages, report
from timbrel.verification.calibration import Data, cllr, fit, minimum_cllr
from timbrel.verification.evaluation import evaluate
from timbrel.verification.findings import Findings
from timbrel.verification.hearing import Hearing
from timbrel.verification.scoring import score
from timbrel.verification.thresholds import EQUAL_ERRORS

from .making import voices


class Elements(HTMLParser):
    """All tags of a page with their attributes, its text, and whether tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def findings(speakers: int, each: int = 4, spread: float = 1.0) -> Findings:
    trials, vectors = voices(speakers, each, spread)
    scored = score(trials, vectors)
    same, different = scored.of_same, scored.of_different
    slope, offset = fit(same, different)
    return Findings(
        vectors=vectors,
        scored=scored,
        evaluation=evaluate(scored, EQUAL_ERRORS),
        data=Data("made <up>", "ffff", speakers, len(vectors.values), len(same), len(different)),
        calibrated_by="",
        slope=slope,
        offset=offset,
        cllr=cllr(slope * same + offset, slope * different + offset),
        minimum_cllr=minimum_cllr(same, different),
    )


@pytest.fixture
def hearing(small_encoder: Path) -> Hearing:
    return Hearing(small_encoder)


def test_a_page_asks_nobody_and_says_its_pictures_in_words(hearing: Hearing) -> None:
    found = findings(4)
    text = pages.of_findings(found, documents.of_findings(found, hearing))
    page = Elements(text)
    pictures = [attributes for tag, attributes in page.found if tag == "img"]
    # Three heatmaps, histogram, DET curve and map.
    assert len(pictures) == 6
    for one in pictures:
        assert (one["src"] or "").startswith("data:image/png;base64,")
        assert len(one["alt"] or "") > 40
    assert "://" not in text
    assert not [tag for tag, _ in page.found if tag in ("script", "link", "iframe")]
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.found
    assert "made <up>" in page.text
    assert f"{found.evaluation.equal_error_rate:.2%}" in page.text
    assert "NIST SRE 2008" in page.text


def test_every_figure_is_in_the_json(hearing: Hearing, tmp_path: Path) -> None:
    found = findings(3)
    report.write(tmp_path / "report", documents.of_findings(found, hearing), "<p>", False)
    kept = json.loads((tmp_path / "report" / report.JSON).read_text(encoding="utf-8"))
    assert kept["encoder"]["fingerprint"] == hearing.fingerprint
    assert kept["equal_error_rate"] == pytest.approx(found.evaluation.equal_error_rate, abs=1e-6)
    assert np.array(kept["similarity"]["mean"]).shape == (3, 3)
    assert sum(kept["histogram"]["same"]) == 3 * 6
    assert kept["threshold"]["false_accepts"]["value"] == pytest.approx(
        found.evaluation.false_accepts.value, abs=1e-6
    )
    assert {cost["name"]: cost["miss_cost"] for cost in kept["minimum_costs"]}["NIST SRE 2008"] == 10.0
    assert len(kept["confused_speakers"]) == 3


def test_many_speakers_stay_readable(hearing: Hearing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "MOST_CELLS", 50)
    found = findings(120, each=2)
    document = documents.of_findings(found, hearing)
    assert "50 groups" in document["notes"][0]
    assert document["confused_speakers"] == []
    assert len(document["confused"]) == 20
    page = Elements(pages.of_findings(found, document))
    assert "50 groups" in page.text


def test_a_report_takes_the_place_of_a_report_only_if_told_so(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    report.write(folder, {"a": float("nan")}, "<p>", False)
    assert json.loads((folder / report.JSON).read_text()) == {"a": None}
    with pytest.raises(OutputError, match="--force"):
        report.write(folder, {}, "", False)
    report.write(folder, {"a": 2}, "<q>", True)
    assert (folder / report.HTML).read_text() == "<q>"
    assert [path.name for path in tmp_path.iterdir() if "report" in path.name] == ["report"]


def test_what_is_no_report_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for name, words in (
        ("mine", "is no report"),
        ("file", "is no report"),
        ("report.html", "must be a folder"),
        ("no/where", "no folder"),
    ):
        with pytest.raises(OutputError, match=words):
            report.check_output(tmp_path / name, True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"
