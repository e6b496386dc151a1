"""Trial lists hold what the protocols say, are the same for the same seed, and never what was trained on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from timbrel.corpora import Utterance
from timbrel.errors import CorpusError
from timbrel.evaluation import lists
from timbrel.evaluation.lists import Wanted, build, table
from timbrel.evaluation.pairs import read_pairs

from .conftest import tone

SEXES = {"ann": "F", "bob": "M", "cid": "M", "dot": "F", "eve": "F", "fox": "M"}


@pytest.fixture
def corpus(tmp_path: Path) -> list[Utterance]:
    """Six speakers of eight recordings; the first four are seen, with two recordings held out."""
    rows = []
    for place, (name, sex) in enumerate(SEXES.items()):
        for number in range(8):
            path = tmp_path / "corpus" / name / f"{number}.wav"
            tone(path, 1.0 if number == 7 else 2.5, 100 + 10 * place + number)
            split = "unseen" if place >= 4 else "dev" if number in (2, 3) else "train"
            rows.append(
                Utterance(f"{name}/{number}", name, path, "en", sex, f"Sentence, number {number}!", split)
            )
    return rows


def test_balanced_lists_take_every_kind_by_turns_and_nothing_that_was_trained_on(
    corpus: list[Utterance],
) -> None:
    found = build(corpus, Wanted(count=32, seed=1))
    assert len(found) == 32
    assert all(one.source.speaker != one.target.speaker for one in found)
    assert all(one.source.split != "train" and one.target.split != "train" for one in found)
    kinds = Counter((one.condition, one.source.sex + one.target.sex) for one in found[:14])
    # Four seen speakers (FMMF) and two unseen ones (FM): 4 + 4 + 4 + 2 kinds, one of each by turns.
    assert len(kinds) == 14
    assert {"seen-to-seen", "seen-to-unseen", "unseen-to-seen", "unseen-to-unseen"} == {k for k, _ in kinds}
    # What lasts a second is no trial.
    assert all(one.source.path.stem != "7" and one.target.path.stem != "7" for one in found)
    # The target says something else, and says the source's words where it is given as parallel.
    assert all(one.source.text != one.target.text for one in found)
    assert all(one.parallel.text == one.source.text for one in found if one.parallel)


def test_the_seed_alone_chooses(corpus: list[Utterance]) -> None:
    def names(wanted: Wanted, rows: list[Utterance]) -> list[tuple[str, str]]:
        return [(one.source.id, one.target.id) for one in build(rows, wanted)]

    first = names(Wanted(count=20), corpus)
    assert first == names(Wanted(count=20), corpus[::-1])
    assert first != names(Wanted(count=20, seed=1), corpus)
    assert first[:10] == names(Wanted(count=10), corpus)


def test_sexes_and_conditions_can_be_chosen(corpus: list[Utterance]) -> None:
    cross = build(corpus, Wanted(count=50, gender="cross"))
    assert all(one.source.sex != one.target.sex for one in cross)
    same = build(corpus, Wanted(count=50, gender="same", conditions=("seen-to-seen",)))
    assert {one.source.sex + one.target.sex for one in same} == {"FF", "MM"}
    assert {one.condition for one in same} == {"seen-to-seen"}
    both = build(corpus, Wanted(count=50, conditions=("seen-to-seen", "unseen-to-unseen")))
    assert {one.condition for one in both} == {"seen-to-seen", "unseen-to-unseen"}
    parallel = build(corpus, Wanted(count=50, parallel=True))
    assert all(one.parallel is not None and one.parallel.speaker == one.target.speaker for one in parallel)


def test_knn_vc_converts_five_of_each_speaker_to_everybody_else(corpus: list[Utterance]) -> None:
    unseen = [one for one in corpus if one.split != "train"]
    for one in unseen:  # as in LibriSpeech test-clean, where nobody is trained on
        object.__setattr__(one, "split", "test")
    # What macOS lays beside a recording is none.
    (unseen[-1].path.parent / "._0.wav").write_bytes(b"what the Finder knows of 0.wav")
    found = build(unseen, Wanted("knn-vc"))
    # Four speakers have two recordings, two have seven that last long enough, of which five are taken.
    assert len(found) == (4 * 2 + 2 * 5) * 5
    assert len({(one.source.id, one.target.speaker) for one in found}) == len(found)
    of_eve = next(one for one in found if one.target.speaker == "eve")
    assert of_eve.references == (of_eve.target.path.parent,)
    of_fox = next(one for one in found if one.target.speaker == "fox")
    assert of_fox.references == (of_fox.target.path.parent,)
    of_ann = next(one for one in found if one.target.speaker == "ann")
    # Her folder also holds what she is not to be known by.
    assert [path.stem for path in of_ann.references] == ["2", "3"]


def test_nothing_is_drawn_that_no_trial_needs(
    corpus: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: Counter[str] = Counter()
    draw = lists._hash

    def counted(seed: int, name: str) -> str:
        drawn[name] += 1
        return draw(seed, name)

    monkeypatch.setattr(lists, "_hash", counted)
    found = build(corpus, Wanted(count=3))
    sources = {name.rpartition(" ")[0] for name in drawn if name.startswith("source to ")}
    assert sources == {f"source to {one.target.speaker}" for one in found}
    drawn.clear()
    build(corpus, Wanted("knn-vc"))
    assert set(drawn.values()) == {1}


def test_seed_vc_converts_every_source_to_every_voice(corpus: list[Utterance]) -> None:
    found = build(corpus, Wanted("seed-vc", count=6, targets=3))
    voices = {one.target.id for one in found}
    assert len(voices) == 3
    sources = Counter(one.source.id for one in found)
    assert len(sources) == 6
    speakers = {one.target.speaker for one in found}
    assert all(count == 3 - (name.split("/")[0] in speakers) for name, count in sources.items()), (
        "to all voices but the own"
    )


def test_seed_vc_finds_as_many_voices_as_there_are(corpus: list[Utterance]) -> None:
    able = sorted({one.speaker for one in corpus})[::2]
    # The others have nothing that lasts long enough.
    some = [one for one in corpus if one.speaker in able or one.path.stem == "7"]
    found = build(some, Wanted("seed-vc", count=4, targets=len(able)))
    assert {one.target.speaker for one in found} == set(able)


def test_a_written_list_is_read_back(corpus: list[Utterance], tmp_path: Path) -> None:
    found = build(corpus, Wanted(count=12))
    path = tmp_path / "pairs.csv"
    path.write_text(table(found, tmp_path))
    assert str(tmp_path) not in path.read_text()
    rows = read_pairs(path)
    for one, row in zip(found, rows, strict=True):
        assert (row.source, row.target, row.condition) == (one.source.path, one.target.path, one.condition)
        assert (row.source_speaker, row.target_sex) == (one.source.speaker, one.target.sex)
        assert row.parallel == (one.parallel.path if one.parallel else None)


def test_too_few_speakers_or_none_as_asked_for_are_refused(corpus: list[Utterance]) -> None:
    with pytest.raises(CorpusError, match="held out"):
        build([one for one in corpus if one.split == "train"], Wanted())
    women = [one for one in corpus if one.sex == "F"]
    with pytest.raises(CorpusError, match="No pair"):
        build(women, Wanted(gender="cross"))
