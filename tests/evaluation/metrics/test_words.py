"""Error rates against counts by hand and against jiwer, with a recogniser that hears what it is told."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from timbrel.evaluation.metrics.normalisation import distance, is_english, letters, normaliser
from timbrel.evaluation.metrics.words import WordMetric

from .cases import Given

pytest.importorskip("rapidfuzz")
pytest.importorskip("whisper_normalizer")

SOURCE, TARGET, CONVERTED = Path("source.wav"), Path("target.wav"), Path("converted.wav")


class Told:
    """Hears in each file what it is told."""

    fingerprint = "told"

    def __init__(self, **said: str | None) -> None:
        self._said = {SOURCE: said.get("source"), CONVERTED: said.get("converted")}

    def text(self, path: Path, language: str | None) -> str | None:
        return self._said[path]


def measure(recogniser: Told, text: str | None, language: str | None = None) -> dict[str, float]:
    metric = WordMetric("told", "Told", "", recogniser)
    return metric.measure(Given(SOURCE, TARGET, CONVERTED, text=text, language=language))


def test_one_wrong_one_missing_and_one_added_word_are_three_errors_of_five() -> None:
    # the CAT sat on [the] mat TODAY: cat/cap, the missing, today added
    found = measure(Told(converted="The cap sat on mat, today."), "the cat sat on the mat")
    assert found["told_wer_errors"] == 3
    assert found["told_wer_length"] == 6
    assert found["told_wer"] == pytest.approx(50.0)


def test_letters_are_counted_without_spaces() -> None:
    # t/p is one; 17 letters are wanted; a split word costs nothing
    found = measure(Told(converted="the cap sat onthe mat"), "the cat sat on the mat")
    assert (found["told_cer_errors"], found["told_cer_length"]) == (1, 17)
    assert found["told_wer_errors"] == 3  # cap, on, the -> onthe: one wrong and one missing


def test_without_a_text_the_source_as_heard_is_the_reference() -> None:
    found = measure(Told(source="Good morning, all.", converted="good evening all"), None)
    assert found["told_wer"] == pytest.approx(100 / 3)


def test_numbers_titles_and_spelling_are_written_one_way_in_english() -> None:
    found = measure(Told(converted="mister smith's colour is twenty one"), "Mr. Smith's color is 21!")
    assert found["told_wer"] == 0


def test_other_languages_keep_their_letters_and_lose_their_punctuation() -> None:
    found = measure(Told(converted="schöne grüße"), "Schöne Grüße!", language="de")
    assert found["told_wer"] == 0
    assert measure(Told(converted="schone grusse"), "Schöne Grüße", "de")["told_wer"] == 100


def test_a_recogniser_that_does_not_know_the_language_has_no_figure() -> None:
    found = measure(Told(converted=None), "Guten Tag", language="de")
    assert all(math.isnan(value) for value in found.values())


def test_words_heard_where_none_were_said_are_errors_of_no_rate() -> None:
    found = measure(Told(converted="hello there"), "!?")
    assert math.isnan(found["told_wer"])
    assert (found["told_wer_errors"], found["told_wer_length"]) == (2, 0)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("to be or not to be", "to be not to be or"),
        ("a b c d", "b c d e f"),
        ("one", ""),
        ("over and over again", "over over and again again"),
    ],
)
def test_counts_are_those_of_jiwer(said: str, heard: str) -> None:
    jiwer = pytest.importorskip("jiwer")
    words = jiwer.process_words(said, heard)
    assert distance(said.split(), heard.split()) == words.substitutions + words.deletions + words.insertions
    signs = jiwer.process_characters(said.replace(" ", ""), heard.replace(" ", ""))
    assert distance(letters(said), letters(heard)) == signs.substitutions + signs.deletions + signs.insertions


@pytest.mark.parametrize("language", [None, "en", "en-GB", "EN_us", "English"])
def test_english_by_any_name(language: str | None) -> None:
    assert is_english(language)
    assert normaliser(language)("It's 5 o'clock") == normaliser("en")("it is five o'clock")


def test_other_languages_are_not_english() -> None:
    assert not any(is_english(language) for language in ("de", "pt-BR", "enm"))
