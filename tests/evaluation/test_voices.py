"""Equal error rates in kNN-VC's protocol, by an encoder whose errors can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from timbrel import registry
from timbrel.evaluation.hashes import Hashes
from timbrel.evaluation.metrics import Column, Judged
from timbrel.evaluation.pairs import Pair, read_pairs
from timbrel.evaluation.systems import System
from timbrel.evaluation.voices import EqualErrors, equal_errors, find_verifier, true_voices

from .conftest import tone


class Table:
    """An encoder that is told what to hear."""

    name, fingerprint = "table", "table-1"
    columns: tuple[Column, ...] = ()

    def __init__(self, heard: dict[str, tuple[float, ...]]) -> None:
        self.heard = heard

    def measure(self, _case: Judged) -> dict[str, float]:
        return {}

    def embed(self, path: Path) -> tuple[float, ...]:
        return self.heard[path.parent.name] if path.parent.name in self.heard else self.heard[path.stem]


AXES = {
    "ann": (1.0, 0.0, 0.0, 0.0),
    "bob": (0.0, 1.0, 0.0, 0.0),
    "cid": (0.0, 0.0, 1.0, 0.0),
    "dot": (0.0, 0.0, 0.0, 1.0),
}


def system(pairs: Path, folder: Path) -> System:
    return System("one", "files", {one.id: folder / f"{one.id}.wav" for one in read_pairs(pairs)})


def compared(heard: dict[str, tuple[float, ...]], rows: list[Pair], made: System) -> EqualErrors | None:
    hashes = Hashes()
    found, problems = equal_errors(true_voices(Table(heard), rows, hashes), rows, made, hashes)
    assert problems == ()
    return found


def test_conversions_far_from_their_targets_are_always_told_apart(pairs: Path, converted: Path) -> None:
    nobody = {"made": (0.5, 0.5, 0.5, 0.5)}
    found = compared(AXES | nobody, read_pairs(pairs), system(pairs, converted))
    assert found is not None
    assert found.rate.value == 0.0
    # Each of four speakers has a.wav as a source and b.wav as a target: one true pair.
    assert found.true_pairs == 4
    # Eight conversions, each with the two true recordings of its target.
    assert found.converted_pairs == 16


def test_conversions_that_are_their_targets_cannot_be_told_apart(pairs: Path, converted: Path) -> None:
    rows = read_pairs(pairs)
    # Half of the conversions are heard as exactly their target, the other half as nobody.
    heard = {one.id: AXES[one.target_speaker] if one.place % 2 else (0.5,) * 4 for one in rows}
    found = compared(AXES | heard, rows, system(pairs, converted))
    assert found is not None
    # A threshold between 0.5 and 1 accepts half of the conversions and refuses nobody; above 1 it refuses
    # everybody. On the line between both, x refusals meet half of (1 - x) accepts: a third.
    assert found.rate.value == pytest.approx(1 / 3)
    # Every speaker is heard so half of the time, whoever is drawn.
    assert (found.rate.low, found.rate.high) == (pytest.approx(1 / 3), pytest.approx(1 / 3))


def test_speakers_with_one_recording_say_nothing(recordings: Path, converted: Path) -> None:
    (recordings / "one.csv").write_text("source,target\nann/a.wav,bob/b.wav\n")
    rows = read_pairs(recordings / "one.csv")
    made = System("one", "files", {"0000": converted / "0000.wav"})
    nobody = {"made": (0.5, 0.5, 0.5, 0.5)}
    assert compared(AXES | nobody, rows, made) is None


def test_a_pair_of_true_recordings_is_as_alike_as_their_cosine(recordings: Path) -> None:
    tone(recordings / "bob" / "c.wav", 1.0, 990.0)
    (recordings / "one.csv").write_text("source,target,references\nann/a.wav,bob/b.wav,bob/a.wav|bob/c.wav\n")
    heard = {"a": (0.6, 0.8), "b": (1.0, 0.0), "c": (0.0, 1.0)}
    true = true_voices(Table(heard), read_pairs(recordings / "one.csv"), Hashes())
    # b with a, b with c, a with c.
    assert true.same["bob"] == pytest.approx([0.6, 0.0, 0.8])


def test_recordings_that_an_encoder_cannot_hear_are_said_and_left_out(pairs: Path, converted: Path) -> None:
    rows, hashes, made = read_pairs(pairs), Hashes(), system(pairs, converted)
    # The table knows neither bob nor the conversion 0003, and raises KeyError.
    known = {name: axis for name, axis in AXES.items() if name != "bob"}
    heard = {one.id: (0.5,) * 4 for one in rows if one.id != "0003"}
    true = true_voices(Table(known | heard), rows, hashes)
    assert [why.partition(": ")[0] for why in true.problems] == [
        str(pairs.parent / "bob" / "b.wav"),
        str(pairs.parent / "bob" / "a.wav"),
    ]
    found, problems = equal_errors(true, rows, made, hashes)
    assert problems == (f"{made.files['0003']}: the metric table failed (KeyError: '0003').",)
    assert found is not None
    # Three speakers of one true pair each; five conversions to them are heard, of six.
    assert (found.true_pairs, found.converted_pairs) == (3, 10)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ([], "timbrel-one"),
        (["my-voices", "resemblyzer-pretrained"], "resemblyzer-pretrained"),
        (["resemblyzer", "resemblyzer-pretrained"], "resemblyzer"),
    ],
)
def test_resemblyzer_verifies_where_it_was_imported(
    monkeypatch: pytest.MonkeyPatch, names: list[str], chosen: str
) -> None:
    installed = [registry.Installed(name, Path(name), "d-vector", 0) for name in names]
    monkeypatch.setattr(registry, "installed", lambda: installed)
    monkeypatch.setattr("timbrel.evaluation.voices.Hearing", lambda name: name)
    assert find_verifier(None) == chosen
    assert find_verifier("mine") == "mine"
