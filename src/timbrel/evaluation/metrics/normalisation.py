"""Texts made comparable, and counting what differs.

English goes through the normaliser published with Whisper (Radford et al. 2022): lower case, no punctuation,
numbers and abbreviations written one way, British and American spelling alike. Other languages go through its
neutral one: lower case, no punctuation, no brackets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

Normalise = Callable[[str], str]


def is_english(language: str | None) -> bool:
    """Of "en", "en-GB", "eng", "English", and where nothing is stated."""
    return language is None or language.strip().lower().replace("_", "-").split("-")[0] in _ENGLISH


def normaliser(language: str | None) -> Normalise:
    """What makes texts in a language comparable; needs the package whisper-normalizer."""
    return _english() if is_english(language) else _neutral()


def distance(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Substitutions, deletions and insertions that lead from the one to the other (Levenshtein 1966)."""
    from rapidfuzz.distance import Levenshtein

    return int(Levenshtein.distance(reference, heard))


def letters(text: str) -> list[str]:
    """Characters without spaces: a word break that was not heard is an error of words, not of letters."""
    return list(text.replace(" ", ""))


_ENGLISH = ("", "en", "eng", "english")


@cache
def _english() -> Normalise:
    from whisper_normalizer.english import EnglishTextNormalizer

    normalise: Normalise = EnglishTextNormalizer()
    return normalise


@cache
def _neutral() -> Normalise:
    from whisper_normalizer.basic import BasicTextNormalizer

    normalise: Normalise = BasicTextNormalizer()
    return lambda text: " ".join(normalise(text).split())
