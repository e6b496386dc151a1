"""Whether the phones are still there, by a second, independent recogniser: hama's.

Its network writes phones without words (connectionist temporal classification, Graves et al. 2006), and its
dictionary network says which phones an English text has. Without an English text the reference is what it
hears in the source, which also works in other languages.
"""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np

from timbrel.evaluation.metrics import Column, Judged
from timbrel.evaluation.metrics.normalisation import is_english
from timbrel.evaluation.metrics.packages import EXTRA, fingerprint
from timbrel.evaluation.metrics.recordings import SAMPLE_RATE, Judge
from timbrel.evaluation.metrics.words import error_rate
from timbrel.packages import require

Phones = tuple[str, ...]

#: Runs of letters, with apostrophes inside.
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_LETTERS = ("Ll", "Lo")


class PhoneMetric:
    """Phone errors in percent: `per`, with `per_errors` and `per_length` for pooling."""

    name = "phones"
    columns = (
        Column("per", "%", "lower", "Graves et al. 2006, CTC; hama", "PER", ("per_errors", "per_length")),
    )

    def __init__(self, recogniser: Judge[Phones], pronounce: Callable[[str], Phones]) -> None:
        self._recogniser, self._pronounce = recogniser, pronounce

    @property
    def fingerprint(self) -> str:
        return self._recogniser.fingerprint

    def measure(self, case: Judged) -> dict[str, float]:
        if case.text and is_english(case.language):
            said = self._pronounce(case.text)
        else:
            said = self._recogniser(case.source)
        return error_rate(self.columns[0], list(said), list(self._recogniser(case.converted)))


def hama(model: str, download: bool) -> PhoneMetric:
    """hama's recogniser and dictionary network; both arguments go unused, since they come in its package.

    Raises:
        EvaluationError: a package is missing.
    """
    require("The phone error rate", ["hama", "rapidfuzz"], EXTRA)
    judge = Judge(_recogniser, lambda: fingerprint("phones-1", ["hama", "rapidfuzz"], _weights()))
    return PhoneMetric(judge, cache(_pronounce))


def letters_of(phones: Iterable[str]) -> Phones:
    """The bare letters of phones, without stress, length, ties and word marks."""
    return tuple(sign for sign in "".join(phones) if unicodedata.category(sign) in _LETTERS)


def _recogniser() -> Callable[[np.ndarray], Phones]:
    from hama import ASRModel

    network = ASRModel()
    return lambda samples: letters_of(network(samples, SAMPLE_RATE).phonemes)


@cache
def _dictionary() -> Callable[[str], str]:
    from hama import G2PModel

    network = G2PModel()
    return lambda word: str(network.predict(word).ipa)


def _pronounce(text: str) -> Phones:
    words = _WORD.findall(text.lower())
    return tuple(letter for word in words for letter in letters_of(_dictionary()(word)))


def _weights() -> list[Path]:
    spec = importlib.util.find_spec("hama")
    folders = (spec.submodule_search_locations if spec is not None else None) or []
    return sorted(path for folder in folders for path in (Path(folder) / "assets").glob("*.hama"))
