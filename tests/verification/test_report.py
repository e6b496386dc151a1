"""The report holds every figure and is readable without a network."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from timbrel.reporting import folder
from timbrel.verification import documents, evaluation, pages, pictures
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
        threshold_origin="eer, from these trials",
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
    folder.write(tmp_path / "report", documents.of_findings(found, hearing), "<p>", False)
    kept = json.loads((tmp_path / "report" / folder.JSON).read_text(encoding="utf-8"))
    assert kept["encoder"]["fingerprint"] == hearing.fingerprint
    assert kept["equal_error_rate"] == pytest.approx(found.evaluation.equal_error_rate, abs=1e-6)
    assert np.array(kept["similarity"]["mean"]).shape == (3, 3)
    assert sum(kept["histogram"]["same"]) == 3 * 6
    assert kept["threshold"]["false_accepts"]["value"] == pytest.approx(
        found.evaluation.false_accepts.value, abs=1e-6
    )
    assert {cost["name"]: cost["miss_cost"] for cost in kept["minimum_costs"]}["NIST SRE 2008"] == 10.0
    assert len(kept["confused_speakers"]) == 3


def test_a_name_may_hold_dollars() -> None:
    picture = pictures._heatmap("a", np.eye(2), ["a$_$b", "c$"], (0.0, 1.0), None)
    assert picture.png.startswith(b"\x89PNG")


def test_many_speakers_stay_readable(hearing: Hearing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "MOST_CELLS", 50)
    found = findings(120, each=2)
    document = documents.of_findings(found, hearing)
    assert "50 groups" in document["notes"][0]
    assert document["confused_speakers"] == []
    assert len(document["confused"]) == 20
    page = Elements(pages.of_findings(found, document))
    assert "50 groups" in page.text
