"""The whole way with small metrics: what is written, what a second run does, and what is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import pytest

from timbrel.errors import EvaluationError, OutputError
from timbrel.evaluation.converting import Produced
from timbrel.evaluation.pairs import Pair, read_pairs
from timbrel.evaluation.run import Evaluation, Request, evaluate
from timbrel.evaluation.systems import Wanted, check_names
from timbrel.evaluation.voices import Spoofing

from .conftest import tone
from .fakes import Named


@contextmanager
def quiet(_name: str) -> Iterator[Callable[[float, float], None]]:
    yield lambda _done, _total: None


@pytest.fixture
def request_(pairs: Path, converted: Path) -> Request:
    """One system's files, without controls, which would take a process of their own."""
    return Request(
        table=pairs,
        systems=(Wanted("made", folder=converted),),
        out=pairs.parent / "out",
        metrics=("length", "parallel", "named"),
        controls=False,
        audio_mb=0.0,
    )


@pytest.fixture(autouse=True)
def nobody_verifies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder of `timbrel verify` takes longer than all the rest; the command's tests have it."""
    monkeypatch.setattr("timbrel.evaluation.run.find_verifier", lambda _: None)
    monkeypatch.setattr("timbrel.evaluation.run.spoofing", lambda *_: Spoofing("nobody", 0.5, {}))


def run(request: Request) -> Evaluation:
    return evaluate(request, None, quiet)


def changed(request: Request, **fields: object) -> Request:
    from dataclasses import replace

    return replace(request, **fields)  # type: ignore[arg-type]


class Page(HTMLParser):
    """Tags that were opened, and everything that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def test_results_scores_and_page_hold_every_case(request_: Request) -> None:
    found = run(changed(request_, audio_mb=20.0))
    assert found.new_conversions == 0
    document = json.loads((request_.out / "results.json").read_text())
    own = document["figures"]["all pairs"]["made"]
    assert own["seconds"]["value"] == pytest.approx(1.1)
    # 1.1 s of 1.0 s sources: a tenth too long, of all pairs together.
    assert own["excess"]["value"] == pytest.approx(10.0)
    assert own["near"] == {"value": None, "low": None, "high": None, "pairs": 0}
    assert document["pairs"]["count"] == 8
    with (request_.out / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"{number:04d}" for number in range(8)]
    assert (rows[0]["system"], rows[0]["excess_errors"], rows[0]["near"]) == ("made", "1600", "")
    assert "0002.wav: the metric parallel failed" in " ".join(document["problems"])
    page = Page((request_.out / "report.html").read_text())
    # Source, target and the system, of each of eight pairs.
    assert page.tags.count("audio") == 24
    assert all(link.startswith("data:") for link in page.sources)


def test_a_given_file_that_cannot_be_decoded_is_a_pair_not_converted(
    request_: Request, converted: Path
) -> None:
    (converted / "0001.wav").write_bytes(b"RIFF, or so it says")
    found = run(request_)
    (made,) = found.systems
    assert list(made.problems) == ["0001"]
    assert [why for why in found.problems if why.startswith("made, 0001: ")]
    document = json.loads((request_.out / "results.json").read_text())
    assert "0001.wav" in document["systems"]["made"]["problems"]["0001"]
    # The seven others are scored as ever.
    assert document["figures"]["all pairs"]["made"]["seconds"]["pairs"] == 7


def test_given_files_of_which_none_can_be_decoded_are_refused(request_: Request, converted: Path) -> None:
    for path in converted.iterdir():
        path.write_bytes(b"RIFF, or so it says")
    with pytest.raises(EvaluationError, match=r"made converted none of 8 pairs: .*0000\.wav"):
        run(request_)
    assert not request_.out.exists()


def test_a_pair_of_one_recording_counts_and_is_said_once(request_: Request, pairs: Path) -> None:
    twin = pairs.parent / "dot" / "twin.wav"
    twin.write_bytes((pairs.parent / "dot" / "a.wav").read_bytes())
    rows = ["source,target", "ann/a.wav,ann/a.wav", "dot/a.wav,dot/twin.wav", "ann/a.wav,bob/b.wav"]
    pairs.write_text("\n".join(rows) + "\n")
    found = run(changed(request_, metrics=("length",)))
    (said,) = found.problems
    assert said.startswith("The source is its own target in 2 pairs (0000, 0001)")
    assert found.summary.figures["all pairs"]["made"]["seconds"].pairs == 3
    assert not found.systems[0].problems


def test_a_reference_that_an_encoder_cannot_hear_is_said_once(
    request_: Request, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tone(pairs.parent / "bob" / "deaf.wav", 1.0, 777.0)
    heard = Named.embed

    def embed(self: Named, path: Path) -> tuple[float, ...]:
        if path.stem == "deaf":
            raise ValueError("no voice")
        return heard(self, path)

    monkeypatch.setattr(Named, "embed", embed)
    pairs.write_text(
        "source,target,references\nann/a.wav,bob/b.wav,bob/deaf.wav\ncid/a.wav,bob/b.wav,bob/deaf.wav\n"
    )
    run(changed(request_, metrics=("named",)))
    document = json.loads((request_.out / "results.json").read_text())
    reference = pairs.parent / "bob" / "deaf.wav"
    assert document["problems"] == [f"{reference}: the metric named failed (ValueError: no voice)."]


def test_audio_that_does_not_fit_is_said_and_left_out(request_: Request) -> None:
    run(changed(request_, audio_mb=0.1))
    text = (request_.out / "report.html").read_text()
    shown = Page(text).tags.count("audio") // 3
    assert 0 < shown < 8
    assert f"The first {shown} of 8 pairs, as many as fit into 0.1 MB" in text
    assert len(text) < 150_000


def test_audio_may_lie_beside_the_page(request_: Request) -> None:
    run(changed(request_, audio_mb=20.0, audio_files=True))
    page = Page((request_.out / "report.html").read_text())
    files = [request_.out / link for link in page.sources if not link.startswith("data:")]
    assert len(files) == 48
    assert all(path.is_file() for path in files)


def test_what_is_heard_in_the_page_is_the_recording(request_: Request) -> None:
    import soundfile

    run(changed(request_, audio_mb=20.0, audio_files=True))
    samples, rate = soundfile.read(request_.out / "report-audio" / "0000-2.opus")
    assert len(samples) / rate == pytest.approx(1.1, abs=0.01)


def test_a_second_run_continues_and_other_pairs_are_refused(request_: Request, pairs: Path) -> None:
    run(request_)
    again = run(request_)
    assert again.new_conversions == 0
    other = pairs.with_name("other.csv")
    other.write_text("source,target\nann/a.wav,bob/b.wav\n")
    with pytest.raises(OutputError, match="other pairs"):
        run(changed(request_, table=other))
    assert len(json.loads((request_.out / "results.json").read_text())["cases"]) == 8
    run(changed(request_, table=other, force=True))
    assert len(json.loads((request_.out / "results.json").read_text())["cases"]) == 1


def test_the_list_and_the_files_can_be_taken_for_a_listening_test(request_: Request) -> None:
    run(request_)
    rows = read_pairs(request_.out / "pairs.csv")
    assert [one.source_speaker for one in rows[::2]] == ["ann", "bob", "cid", "dot"]
    assert (request_.out / "converted" / "made" / "0003.wav").is_file()


def test_a_model_writes_nothing_where_files_of_somebody_were_linked(
    request_: Request, converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def produce(pairs: Sequence[Pair], folder: Path, *_: object) -> Produced:
        folder.mkdir(parents=True, exist_ok=True)
        files = {pair.id: folder / f"{pair.id}.wav" for pair in pairs}
        for pair in pairs:
            files[pair.id].write_bytes(pair.source.read_bytes())
        return Produced(files, None, {}, len(files))

    run(request_)
    before = {path: path.read_bytes() for path in converted.iterdir()}
    monkeypatch.setattr("timbrel.evaluation.run.produce", produce)
    monkeypatch.setattr("timbrel.evaluation.run.model_fingerprint", lambda _: "weights")
    found = run(changed(request_, systems=(Wanted("made", model="some-model"),)))
    assert found.new_conversions == 8
    assert {path: path.read_bytes() for path in converted.iterdir()} == before


def test_files_that_lie_elsewhere_now_are_linked_anew(request_: Request, converted: Path) -> None:
    run(request_)
    moved = converted.rename(converted.with_name("moved"))
    run(changed(request_, systems=(Wanted("made", folder=moved),)))
    assert (request_.out / "converted" / "made").resolve() == moved.resolve()


@pytest.mark.parametrize("name", ["out.html", "notes", "pairs.csv/out"])
def test_folders_that_are_something_else_are_refused_before_any_work(
    request_: Request, tmp_path: Path, name: str
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "dear.txt").write_text("diary")
    with pytest.raises(OutputError):
        run(changed(request_, out=tmp_path / name))
    assert (tmp_path / "notes" / "dear.txt").read_text() == "diary"


@pytest.mark.parametrize("name", ["../up", "a/b", "", " x", "source", "copy-synthesis", "x" * 61])
def test_systems_need_names_that_can_be_folders(name: str) -> None:
    with pytest.raises(EvaluationError):
        check_names([Wanted(name)])


def test_two_systems_of_one_name_are_refused() -> None:
    with pytest.raises(EvaluationError, match="Two systems"):
        check_names([Wanted("one"), Wanted("One")])


def test_two_systems_are_compared(request_: Request, tmp_path: Path) -> None:
    for number in range(8):
        tone(tmp_path / "short" / f"{number:04d}.wav", 1.0, 400 + number)
    both = (*request_.systems, Wanted("short", folder=tmp_path / "short"))
    run(changed(request_, systems=both))
    document = json.loads((request_.out / "results.json").read_text())
    (excess,) = [one for one in document["comparisons"] if one["column"] == "excess"]
    assert (excess["first"], excess["second"], excess["better"]) == ("made", "short", "short")
    assert excess["difference"]["value"] == pytest.approx(10.0)
    # Four speakers on each side, all alike: 2 of the 16 ways to give signs.
    assert excess["p"] == pytest.approx(2 / 16)
