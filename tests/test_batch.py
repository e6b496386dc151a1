"""A table of pairs: bad rows are reported, the rest go on, and a second run continues."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from timbrel.batch import Order, Outcome, convert_rows, read_pairs
from timbrel.errors import AudioError, ConfigError, OutputError
from timbrel.ledger import LEDGER, Entry, Ledger
from timbrel.steering import Steering
from timbrel.voice import Voice


@dataclass
class Recorder:
    """Stands for a `VoiceConverter`: keeps what it was asked, writes the two names as its result."""

    name: str = "recorder"
    interrupted_at: str = ""
    enrolled: list[Path] = field(default_factory=list)
    converted: list[str] = field(default_factory=list)

    def enrol(self, *references: Path, denoise: bool) -> Voice:
        self.enrolled.extend(references)
        if references[0].stem == "bad":
            raise AudioError(f"{references[0]} holds no speech.")
        names = tuple(str(path) for path in references)
        return Voice(self.name, "", {}, {}, 5.0, 0.2, 3.0, names, warnings=("only 3.0 s of speech",))

    def convert_file(
        self,
        source: Path,
        voice: Voice,
        output: Path,
        *,
        steering: Steering,
        seed: int,
        force: bool,
        progress: Callable[[float, float], None],
    ) -> None:
        assert force or not output.exists()
        if source.stem == self.interrupted_at:
            raise KeyboardInterrupt
        progress(1.0, 2.0)
        self.converted.append(output.name)
        draft = output.with_suffix(".draft")
        draft.write_text(f"{source.stem} {Path(voice.sources[0]).stem} {seed} {steering.describe()}".strip())
        draft.replace(output)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings a.wav to c.wav below in/, and an empty out/ beside it."""
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    for name in ("a", "b", "c"):
        soundfile.write(tmp_path / "in" / f"{name}.wav", noise, 16000)
    (tmp_path / "out").mkdir()
    return tmp_path


def run(folder: Path, table: str, converter: Recorder | None = None, **options: Any) -> list[Outcome]:
    (folder / "in" / "pairs.csv").write_text(table, encoding="utf-8")
    rows = read_pairs(folder / "in" / "pairs.csv", folder / "out")
    given: Any = converter or Recorder()
    return list(convert_rows(rows, given, folder / "out", **options))


def states(outcomes: list[Outcome]) -> list[str]:
    return [outcome.state for outcome in outcomes]


def test_each_row_becomes_a_file(folder: Path) -> None:
    outcomes = run(
        folder, "source,target,output\na.wav,b.wav,\nb.wav,a.wav,sub/mine.flac\n", order=Order(seed=3)
    )
    assert states(outcomes) == ["made", "made"]
    assert (folder / "out" / "a-as-b.wav").read_text() == "a b 3"
    assert (folder / "out" / "sub" / "mine.flac").read_text() == "b a 3"


def test_a_table_as_a_spreadsheet_saves_it(folder: Path) -> None:
    outcomes = run(folder, '\ufefftarget,note,source\r\n"b.wav","a, b",a.wav\r\n\r\n')
    assert [(o.row.number, o.state) for o in outcomes] == [(2, "made")]


def test_a_bad_row_is_reported_and_the_rest_go_on(folder: Path) -> None:
    table = "source,target\nabsent.wav,b.wav\n,b.wav\na.wav,bad.wav\nb.wav,bad.wav\na.wav,b.wav\n"
    outcomes = run(folder, table)
    assert [(o.row.number, o.state) for o in outcomes] == [
        (2, "failed"),
        (3, "failed"),
        (4, "failed"),
        (5, "failed"),
        (6, "made"),
    ]
    for outcome, text in zip(outcomes, ("absent.wav", "empty", "no speech", "no speech", ""), strict=True):
        assert text in outcome.message
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a-as-b.wav", LEDGER]


@pytest.mark.parametrize("name", ["a\0b.wav", "a" * 300 + ".wav"])
@pytest.mark.parametrize("column", ["source", "output"])
def test_a_name_the_system_refuses_is_a_bad_row(folder: Path, name: str, column: str) -> None:
    cells = {"source": "a.wav", "target": "b.wav", "output": "c.wav"} | {column: name}
    outcomes = run(folder, f"source,target,output\n{','.join(cells.values())}\na.wav,b.wav,\n")
    assert states(outcomes) == ["failed", "made"]


def test_each_target_is_enrolled_and_warned_of_once(folder: Path) -> None:
    converter = Recorder()
    outcomes = run(
        folder, "source,target\na.wav,c.wav\nb.wav,c.wav\nb.wav,bad.wav\na.wav,bad.wav\n", converter
    )
    assert [path.stem for path in converter.enrolled] == ["c", "bad"]
    assert [outcome.warnings for outcome in outcomes] == [("only 3.0 s of speech",), (), (), ()]


def test_a_second_run_does_only_what_is_left(folder: Path) -> None:
    run(folder, "source,target\na.wav,b.wav\n")
    converter = Recorder()
    outcomes = run(folder, "source,target\na.wav,b.wav\nb.wav,a.wav\n", converter)
    assert states(outcomes) == ["skipped", "made"]
    assert converter.converted == ["b-as-a.wav"]


def test_an_interrupted_run_continues(folder: Path) -> None:
    table = "source,target\na.wav,b.wav\nc.wav,b.wav\nb.wav,a.wav\n"
    with pytest.raises(KeyboardInterrupt):
        run(folder, table, Recorder(interrupted_at="c"))
    assert states(run(folder, table)) == ["skipped", "made", "made"]


def test_a_ledger_cut_short_by_a_kill_is_mended(folder: Path) -> None:
    run(folder, "source,target\na.wav,b.wav\n")
    ledger = folder / "out" / LEDGER
    ledger.write_text(ledger.read_text() + '{"output": "b-as')
    table = "source,target\na.wav,b.wav\nb.wav,a.wav\n"
    assert states(run(folder, table)) == ["skipped", "made"]
    assert states(run(folder, table)) == ["skipped", "skipped"]
    assert json.loads(ledger.read_text().splitlines()[-1])["output"] == "b-as-a.wav"


@pytest.mark.parametrize("line", [b"5", b"[]", b'{"a":1}', b'{"output":[1]}', b"\xff\xfe", b"[" * 100000])
def test_a_ledger_that_somebody_changed_is_gone_over(folder: Path, line: bytes) -> None:
    run(folder, "source,target\na.wav,b.wav\n")
    ledger = folder / "out" / LEDGER
    ledger.write_bytes(line + b"\n" + ledger.read_bytes())
    assert states(run(folder, "source,target\na.wav,b.wav\nb.wav,a.wav\n")) == ["skipped", "made"]


def test_names_with_ends_of_lines_are_known_again(folder: Path) -> None:
    table = "source,target,output\na.wav,b.wav,one\u2028two\u0085.wav\n"
    assert states(run(folder, table)) == ["made"]
    assert states(run(folder, table)) == ["skipped"]


def test_a_ledger_takes_names_that_are_no_text(tmp_path: Path) -> None:
    entry: Entry = {"source": "d\udcff/a.wav", "seed": 0}
    (tmp_path / "a.wav").write_text("before")
    Ledger(tmp_path).append(tmp_path / "a.wav", entry)
    (tmp_path / "new").write_text("after")
    (tmp_path / "new").replace(tmp_path / "a.wav")
    assert Ledger(tmp_path).has_made(tmp_path / "a.wav", entry)


def test_a_ledger_that_cannot_be_written_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=r"timbrel-batch\.jsonl cannot be written: No space left"):
        run(folder, "source,target\na.wav,b.wav\n")


@pytest.mark.parametrize("change", ["seed", "model", "source"])
def test_a_result_of_something_else_is_not_taken_for_this_row(folder: Path, change: str) -> None:
    run(folder, "source,target,output\na.wav,b.wav,x.wav\n")
    table = f"source,target,output\n{'c' if change == 'source' else 'a'}.wav,b.wav,x.wav\n"
    converter = Recorder("another" if change == "model" else "recorder")
    seed = 1 if change == "seed" else 0
    [outcome] = run(folder, table, converter, order=Order(seed=seed))
    assert outcome.state == "failed"
    assert "exists already" in outcome.message
    assert (folder / "out" / "x.wav").read_text() == "a b 0"
    assert states(run(folder, table, converter, order=Order(seed=seed), force=True)) == ["made"]
    assert states(run(folder, table, converter, order=Order(seed=seed))) == ["skipped"]


def test_a_file_of_the_users_own_is_not_replaced(folder: Path) -> None:
    (folder / "out" / "a-as-b.wav").write_text("mine")
    [outcome] = run(folder, "source,target\na.wav,b.wav\n")
    assert outcome.state == "failed"
    assert (folder / "out" / "a-as-b.wav").read_text() == "mine"


def test_force_keeps_the_old_result_where_the_source_is_bad(folder: Path) -> None:
    run(folder, "source,target\na.wav,b.wav\n")
    (folder / "in" / "a.wav").write_text("no audio any more")
    assert states(run(folder, "source,target\na.wav,b.wav\n", force=True)) == ["failed"]
    assert (folder / "out" / "a-as-b.wav").read_text() == "a b 0"


def test_an_interrupted_replacement_leaves_the_old_result_and_does_not_take_it_for_the_new(
    folder: Path,
) -> None:
    table = "source,target\na.wav,b.wav\n"
    run(folder, table)
    with pytest.raises(KeyboardInterrupt):
        run(folder, table, Recorder(interrupted_at="a"), order=Order(seed=1), force=True)
    assert (folder / "out" / "a-as-b.wav").read_text() == "a b 0"
    assert states(run(folder, table, order=Order(seed=1))) == ["failed"]
    assert states(run(folder, table, order=Order(seed=1), force=True)) == ["made"]
    assert states(run(folder, table, order=Order(seed=1))) == ["skipped"]


@pytest.mark.parametrize(
    "output", ["../escaped.wav", "{folder}/escaped.wav", "sub/../../escaped.wav", "link/escaped.wav"]
)
def test_no_output_escapes_the_folder(folder: Path, output: str) -> None:
    (folder / "out" / "link").symlink_to(folder / "in")
    [outcome] = run(folder, f"source,target,output\na.wav,b.wav,{output.format(folder=folder)}\n")
    assert outcome.state == "failed"
    assert "lies outside" in outcome.message
    assert not list(folder.rglob("escaped.wav"))


def test_an_output_of_unknown_format_is_refused(folder: Path) -> None:
    [outcome] = run(folder, "source,target,output\na.wav,b.wav,notes.txt\n")
    assert outcome.state == "failed"
    assert "notes.txt" in outcome.message


def test_no_output_replaces_an_input(folder: Path) -> None:
    (folder / "in" / "pairs.csv").write_text("source,target,output\na.wav,b.wav,a.wav\n")
    [row] = read_pairs(folder / "in" / "pairs.csv", folder / "in")
    assert row.problem.endswith("would replace an input.")


def test_no_output_replaces_an_input_of_another_row(folder: Path) -> None:
    table = "source,target,output\na.wav,b.wav,c.wav\nc.wav,b.wav,d.wav\n"
    (folder / "in" / "pairs.csv").write_text(table)
    first, second = read_pairs(folder / "in" / "pairs.csv", folder / "in")
    assert "would replace an input of another row" in first.problem
    assert not second.problem


def test_two_rows_cannot_have_one_output(folder: Path) -> None:
    outcomes = run(folder, "source,target,output\na.wav,b.wav,x.wav\nb.wav,a.wav,./x.wav\n")
    assert states(outcomes) == ["made", "failed"]
    assert "already the output of row 2" in outcomes[1].message


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "lacks the column source and target"),
        (b"from,target\na.wav,b.wav\n", "lacks the column source"),
        (b"source,target\n", "has no rows"),
        (b"source,target\n\xff\xfe.wav,b.wav\n", "cannot be read as a CSV"),
        (b'source,target\n"a.wav,b.wav\n', "cannot be read as a CSV"),
        (b"source,target\na.wav,b.wav\na.wav,b.wav,c.wav\n", "pairs.csv, line 3: the row has more cells"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "pairs.csv").write_bytes(content)
    with pytest.raises(ConfigError, match=text):
        read_pairs(tmp_path / "pairs.csv", tmp_path)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.csv cannot be read"):
        read_pairs(tmp_path / "absent.csv", tmp_path)


def test_progress_rises_to_the_number_of_rows(folder: Path) -> None:
    seen: list[float] = []
    table = "source,target\na.wav,b.wav\nabsent.wav,b.wav\nb.wav,a.wav\n"
    run(folder, table, progress=lambda done, total: seen.append(done / total))
    assert seen == sorted(seen)
    assert seen[0] == pytest.approx(0.5 / 3)
    assert seen[-1] == 1.0


def test_a_row_may_say_its_own_pitch_and_strength(folder: Path) -> None:
    table = "source,target,output,f0,strength\na.wav,b.wav,1.wav,,\na.wav,b.wav,2.wav,keep,\n"
    table += "a.wav,b.wav,3.wav,-3,0.5\na.wav,b.wav,4.wav,999,\na.wav,b.wav,5.wav,,1.5\n"
    outcomes = run(folder, table, order=Order(Steering(2.0)))
    assert states(outcomes) == ["made", "made", "made", "failed", "failed"]
    made = [(folder / "out" / f"{number}.wav").read_text() for number in (1, 2, 3)]
    assert made == ["a b 0 f0 +2 semitones", "a b 0 f0 keep", "a b 0 f0 -3 semitones, strength 0.5"]
    assert [outcome.message.split(":")[0] for outcome in outcomes[3:]] == ['f0 is "999"', "strength is 1.5"]


def test_another_steering_is_another_result(folder: Path) -> None:
    table = "source,target\na.wav,b.wav\n"
    for order in (Order(Steering("keep")), Order(Steering("keep"), denoise=True), Order()):
        assert states(run(folder, table, order=order, force=True)) == ["made"]
        assert states(run(folder, table, order=order)) == ["skipped"]
        assert states(run(folder, table, order=Order(Steering("keep", 0.5)))) == ["failed"]
