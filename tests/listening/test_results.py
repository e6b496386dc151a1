"""Fifteen simulated listeners whose taste is known: the results say what it is."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import binomtest

from timbrel.errors import ConfigError, OutputError
from timbrel.listening import report, tables
from timbrel.listening import study as studies
from timbrel.listening.design import plan
from timbrel.listening.results import Findings, evaluate, of_study
from timbrel.listening.store import Answer, Listener, Rating, Store
from timbrel.listening.study import Study

from .simulating import CONDITIONS, SYSTEMS, TRUTH, attentive, listen, rated, study

INATTENTIVE = 4


@pytest.fixture(scope="module")
def found() -> Findings:
    """MOS and SMOS by fifteen, one of whom answers anything."""
    of = study()
    listeners = [attentive(number, passed=2 if number == INATTENTIVE else 8) for number in range(15)]
    random = np.random.default_rng(0)
    ratings = [rating for one in listeners for rating in listen(of, one)]
    careless = [
        replace(one, score=float(random.integers(1, 6))) if one.listener == listeners[INATTENTIVE].id else one
        for one in ratings
    ]
    return evaluate(of, careless, listeners)


def test_the_one_who_does_not_listen_is_left_out_with_the_reason(found: Findings) -> None:
    (out,) = found.rejected
    assert out.listener == "L04"
    assert out.reasons[0] == "answered 2 of 8 attention checks rightly"
    assert found.counted == 14 * 128
    assert all(cell.mean.listeners == 14 and cell.mean.ratings == 14 * 8 for cell in found.cells)


def test_every_mean_is_the_truth_within_its_interval(found: Findings) -> None:
    assert len(found.cells) == 2 * 2 * 4
    for cell in found.cells:
        # The ends of the scale cut off what lies beyond; references and anchors are pushed inwards by it.
        if cell.system in ("natural", "coarse"):
            continue
        truth = TRUTH[cell.system][CONDITIONS.index(cell.condition)]
        assert cell.mean.student is not None
        assert cell.mean.bootstrap is not None
        assert cell.mean.student.low < truth < cell.mean.student.high
        assert cell.mean.bootstrap.low < truth < cell.mean.bootstrap.high
        assert cell.mean.student.high - cell.mean.student.low < 1.0


def test_the_better_system_is_shown_to_be_better(found: Findings) -> None:
    assert len(found.comparisons) == 4
    for one in found.comparisons:
        assert (one.first, one.second) == ("baseline", "proposed")
        truth = np.subtract(
            *(TRUTH[name][CONDITIONS.index(one.condition)] for name in (one.first, one.second))
        )
        assert one.difference.student is not None
        assert one.difference.student.low < truth < one.difference.student.high
        assert one.significant
        assert one.p is not None
        assert one.adjusted is not None
        assert one.p <= one.adjusted


def test_listeners_of_one_taste_agree(found: Findings) -> None:
    assert [one.test for one in found.agreement] == ["mos", "smos"]
    assert all(0.5 < value < 0.9 for one in found.agreement for value in (one.ordinal, one.interval))


def test_the_first_table_is_conditions_and_systems_by_tests(found: Findings) -> None:
    summary = tables.tables(found)[0]
    assert summary.heading == ("condition", "system", "MOS", "SMOS")
    titles = ["VQVC", "VQVC over learned features", "natural (reference)", "coarse (anchor)"]
    assert [row[:2] for row in summary.rows] == [(place, title) for place in CONDITIONS for title in titles]
    cell = next(one for one in found.cells if one.system == "proposed" and one.test == "smos")
    assert cell.mean.student is not None
    assert summary.rows[1][3] == f"{cell.mean.value:.2f} ± {cell.mean.student.high - cell.mean.value:.2f}"


#: What three listeners answer to four conversions by each system.
SMOS4 = {
    "baseline": ((4, 3, 2, 1), (2, 3, 1, 1), (1, 4, 2, 2)),
    "proposed": ((4, 3, 3, 4), (3, 3, 4, 4), (4, 3, 2, 4)),
}


@pytest.fixture
def compared() -> Findings:
    """A SMOS on the scale of four points."""
    of = study(["smos4"], SYSTEMS[:2], items=4, conditions=["all"])
    listeners = [attentive(number) for number in range(3)]
    ratings = [
        rated(listener, sample, "smos4", float(SMOS4[sample.system][listener.number][int(sample.id[-2:])]))
        for listener in listeners
        for sample in of.samples
    ]
    return evaluate(of, ratings, listeners)


def test_both_answers_that_it_is_the_same_speaker_count(compared: Findings) -> None:
    """Of twelve answers four and eleven are a 3 or a 4."""
    shares = {cell.system: cell.same for cell in compared.cells}
    assert shares["baseline"] is not None and shares["proposed"] is not None
    assert shares["baseline"].value == pytest.approx(4 / 12)
    assert shares["proposed"].value == pytest.approx(11 / 12)
    assert [cell.mean.value for cell in compared.cells] == pytest.approx([26 / 12, 41 / 12])


def test_the_share_stands_beside_the_mean(compared: Findings, tmp_path: Path) -> None:
    shown = {table.title: table for table in tables.tables(compared)}
    assert shown["In short"].heading == ("condition", "system", "SMOS4", "same speaker")
    assert [row[2] for row in shown["Same speaker"].rows] == ["33.3%", "91.7%"]
    for cell, short, row in zip(
        compared.cells, shown["In short"].rows, shown["Same speaker"].rows, strict=True
    ):
        assert cell.same is not None and cell.same.bootstrap is not None
        low, high = cell.same.bootstrap.low, cell.same.bootstrap.high
        assert short[3] == f"{100 * cell.same.value:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
        assert row[-2:] == (f"{low:.1%} to {high:.1%}", "12")
    report.write(compared, tmp_path / "report", force=False)
    assert "33.3%" in Page((tmp_path / "report" / "report.html").read_text(encoding="utf-8")).text
    document = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert [mean["same"]["value"] for mean in document["means"]] == [0.333333, 0.916667]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "report" / "means.csv").read_text(encoding="utf-8"))))
    assert [float(row["same"]) for row in rows] == pytest.approx([4 / 12, 11 / 12])
    for row in rows:
        assert 0 <= float(row["same_t_low"]) < float(row["same"]) < float(row["same_t_high"]) <= 1
        assert float(row["same_bootstrap_low"]) < float(row["same"]) <= float(row["same_bootstrap_high"]) <= 1


def test_other_tests_have_no_share(found: Findings, tmp_path: Path) -> None:
    assert all(cell.same is None for cell in found.cells)
    assert "Same speaker" not in [table.title for table in tables.tables(found)]
    report.write(found, tmp_path / "report", force=False)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "report" / "means.csv").read_text(encoding="utf-8"))))
    assert {row["same"] + row["same_t_low"] for row in rows} == {""}


def answered(of: Study, listener: Listener, shares: dict[str, float]) -> list[Rating]:
    """AB and ABX, with how often the first-named is preferred and the answer right."""
    random = np.random.default_rng([3, listener.number])
    ratings = []
    for trial in plan(of, listener.number):
        if trial.kind != "attention":
            first = of.of_item(of.sample(trial.samples[0]).item)["baseline"]
            one = rated(listener, first, trial.test, float(random.random() < shares[trial.test]))
            ratings.append(replace(one, system="baseline/proposed"))
    return ratings


def test_choices_are_tested_against_chance() -> None:
    of = study(["ab", "abx"], SYSTEMS[:2], conditions=["all"])
    listeners = [attentive(number) for number in range(15)]
    ratings = [row for one in listeners for row in answered(of, one, {"ab": 0.3, "abx": 0.5})]
    found = evaluate(of, ratings, listeners)
    preferred, told = found.comparisons
    scores = [row.score for row in ratings if row.test == "ab"]
    assert len(scores) == 15 * 8
    assert preferred.difference.value == pytest.approx(np.mean(scores))
    assert preferred.p == pytest.approx(binomtest(int(sum(scores)), 120).pvalue)
    assert preferred.significant
    assert preferred.difference.bootstrap is not None
    assert preferred.difference.bootstrap.low < 0.3 < preferred.difference.bootstrap.high
    right = [row.score for row in ratings if row.test == "abx"]
    assert told.p == pytest.approx(binomtest(int(sum(right)), 120, alternative="greater").pvalue)
    assert not told.significant
    assert found.cells == ()
    shown = list(tables.verdicts(found))
    assert shown[0].startswith(f"AB, all: {np.mean(scores):.1%} prefer VQVC to VQVC over learned features (")
    assert shown[1].endswith(f"p {told.p:.3f} after Holm: no difference is shown")
    assert [table.title for table in tables.tables(found)] == ["Choices", "Agreement of listeners"]
    assert "Choices" in report.html(found)


def test_of_systems_that_are_alike_one_study_in_twenty_errs() -> None:
    of = study(["mos"], SYSTEMS[:2], items=12, checks=0, conditions=["all"])
    listeners = [attentive(number) for number in range(12)]
    random = np.random.default_rng(8)
    wrong, several = 0, 200
    samples = {name: [one for one in of.samples if one.system == name] for name in ("baseline", "proposed")}
    for _ in range(several):
        # Each system sounds better for some items and to some listeners, and neither to all.
        taste, luck = random.normal(0, 0.3, len(listeners)), random.normal(0, 0.3, 12)
        ratings = [
            rated(
                one, sample, "mos", 3 + sign * (taste[one.number] + luck[number]) / 2 + random.normal(0, 0.5)
            )
            for one in listeners
            for sign, name in ((1, "baseline"), (-1, "proposed"))
            for number, sample in enumerate(samples[name])
        ]
        wrong += significant(of, ratings)
    assert 0.01 <= wrong / several <= 0.09


def significant(of: Study, ratings: list[Rating]) -> bool:
    from timbrel.listening.significance import compare

    (one,) = compare(of, ratings)
    return one.significant


class Page(HTMLParser):
    """The tags of a page and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_all_tables_and_charts_and_asks_nobody(found: Findings) -> None:
    text = report.html(found)
    page = Page(text)
    assert "://" not in text
    assert not {"script", "link", "iframe", "help"} & set(page.tags)
    assert "Does it <help>?" in page.text
    assert page.tags.count("svg") == 2
    assert "answered 2 of 8 attention checks rightly" in page.text
    for table in tables.tables(found):
        assert table.title in page.text
        assert all(cell in page.text for row in table.rows for cell in row)


def test_the_folder_has_every_figure_and_every_rating(found: Findings, tmp_path: Path) -> None:
    output = tmp_path / "report"
    report.write(found, output, force=False)
    document = json.loads((output / "report.json").read_text(encoding="utf-8"))
    assert document["listeners"]["joined"] == 15
    assert document["listeners"]["rejected"][0]["listener"] == "L04"
    assert document["means"][0]["mean"]["value"] == pytest.approx(found.cells[0].mean.value, abs=1e-6)
    means = list(csv.DictReader(io.StringIO((output / "means.csv").read_text(encoding="utf-8"))))
    assert [float(row["mean"]) for row in means] == [cell.mean.value for cell in found.cells]
    rows = list(csv.DictReader(io.StringIO((output / "ratings.csv").read_text(encoding="utf-8"))))
    assert len(rows) == 15 * 128
    assert {row["listener"] for row in rows if row["rejected"] == "1"} == {"L04"}
    with pytest.raises(OutputError, match="--force"):
        report.write(found, output, force=False)


def test_the_terminal_says_it_in_short(found: Findings) -> None:
    console = Console(width=80, file=io.StringIO(), record=True)
    for part in report.terminal(found):
        console.print(part)
    text = " ".join(console.export_text().split())
    assert "15 listeners joined, 15 finished, 1 rejected; 1,792 of 1,920 ratings count." in text
    mean = found.cells[0].mean
    assert mean.student is not None
    assert f"seen-to-seen VQVC {mean.value:.2f} ± {mean.student.high - mean.value:.2f}" in text
    one = found.comparisons[0]
    assert f"VQVC minus VQVC over learned features is {one.difference.value:+.2f} (" in text
    assert text.count("p < 0.001 after Holm: they differ") == 4
    assert f"Agreement in MOS: Krippendorff's alpha {found.agreement[0].ordinal:.2f} ordinal" in text
    assert "Rejected L04: answered 2 of 8 attention checks rightly" in text


def test_a_study_of_two_listeners_has_means_and_says_why_no_more() -> None:
    of = study(["mos"], items=3)
    listeners = [attentive(number) for number in range(2)]
    found = evaluate(of, [row for one in listeners for row in listen(of, one)], listeners)
    assert all(cell.mean.student is None and math.isfinite(cell.mean.value) for cell in found.cells)
    assert [one.adjusted for one in found.comparisons] == [None, None]
    said = list(tables.counts(found))
    assert "2 of 2 passed the headphone check." in said
    assert "have no interval" in said[-1]
    assert "–" in report.html(found)


def test_a_study_where_everybody_is_rejected_has_no_figures() -> None:
    of = study(["mos"])
    listeners = [attentive(number, passed=0) for number in range(3)]
    found = evaluate(of, [row for one in listeners for row in listen(of, one)], listeners)
    assert (found.counted, found.cells, found.comparisons) == (0, (), ())
    assert "Rejected listeners" in report.html(found)


def test_a_folder_without_ratings_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a study"):
        of_study(tmp_path)
    studies.save(study(), tmp_path)
    with pytest.raises(ConfigError, match="has no ratings yet"):
        of_study(tmp_path)


def rated_once(folder: Path, of: Study) -> Path:
    """A study's folder with one rating in it; gives the path of the ratings."""
    studies.save(of, folder)
    trial = plan(of, 0)[0]
    with Store(folder / "ratings.sqlite") as store:
        listener = str(store.join("link", partial(plan, of), most=1))
        answer = Answer(trial.samples[0], of.sample(trial.samples[0]).item, "baseline", CONDITIONS[0], 3.0)
        store.rate(listener, trial, [answer], 9.0)
    return folder / "ratings.sqlite"


def test_damaged_ratings_are_named(tmp_path: Path) -> None:
    path = rated_once(tmp_path, study(checks=0))
    stored = path.read_bytes()
    # The first page, of 4096 bytes, says where the tables are; they follow it.
    path.write_bytes(stored[:4096] + b"\xff" * (len(stored) - 4096))
    with pytest.raises(ConfigError, match=r"ratings\.sqlite is damaged"):
        of_study(tmp_path)


def test_ratings_of_another_study_are_refused(tmp_path: Path) -> None:
    rated_once(tmp_path, study(checks=0))
    assert len(of_study(tmp_path).ratings) == 1
    studies.save(study(checks=0, conditions=["all"], items=1), tmp_path)
    with pytest.raises(ConfigError, match="ratings of another study"):
        of_study(tmp_path)
