"""Whether the words are still there: word and character error rates of a recogniser.

The reference is the case's text, or what the same recogniser hears in the source where there is none; a
recogniser's errors on real speech are part of the first figure and hardly of the second. Texts are compared
after normalisation; several cases are pooled, so that long sentences count more.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Protocol

from timbrel.evaluation.metrics import Column, Judged
from timbrel.evaluation.metrics.moonshine import MoonshineRecogniser
from timbrel.evaluation.metrics.normalisation import distance, is_english, letters, normaliser
from timbrel.evaluation.metrics.packages import EXTRA, fingerprint
from timbrel.evaluation.metrics.recordings import Judge
from timbrel.packages import MOONSHINE, packaged, require

_MOONSHINE_FILES = ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")
_NORMALISER_PACKAGES = ("whisper-normalizer", "rapidfuzz")


class Recogniser(Protocol):
    """Says what is said in a file, or None in a language it does not know."""

    @property
    def fingerprint(self) -> str: ...

    def text(self, path: Path, language: str | None) -> str | None: ...


class WordMetric:
    """Errors of words and letters in percent, by one recogniser.

    Columns, with `name` before them: `_wer` and `_cer`, and their `_errors` and `_length` for pooling.
    """

    def __init__(self, name: str, title: str, paper: str, recogniser: Recogniser) -> None:
        self.name, self._recogniser = name, recogniser
        self.columns = tuple(
            Column(f"{name}_{kind}", "%", "lower", paper, f"{title} {kind.upper()}", pooled_keys(name, kind))
            for kind in ("wer", "cer")
        )

    @cached_property
    def fingerprint(self) -> str:
        return f"{fingerprint('words-1', _NORMALISER_PACKAGES)} {self._recogniser.fingerprint}"

    def measure(self, case: Judged) -> dict[str, float]:
        heard = self._recogniser.text(case.converted, case.language)
        said = case.text or self._recogniser.text(case.source, case.language)
        if heard is None or said is None:
            return {key: float("nan") for column in self.columns for key in (column.name, *column.pooled)}
        normalise = normaliser(case.language)
        wanted, got = normalise(said), normalise(heard)
        return error_rate(self.columns[0], wanted.split(), got.split()) | error_rate(
            self.columns[1], letters(wanted), letters(got)
        )


def pooled_keys(name: str, kind: str) -> tuple[str, str]:
    """The keys of the errors and of the length they are divided by."""
    return f"{name}_{kind}_errors", f"{name}_{kind}_length"


def error_rate(column: Column, reference: list[str], heard: list[str]) -> dict[str, float]:
    """Errors per item of the reference in percent, which may exceed 100; NaN if the reference is empty."""
    errors, length = distance(reference, heard), len(reference)
    rate = 100.0 * errors / length if length else float("nan")
    return dict(zip((column.name, *column.pooled), (rate, float(errors), float(length)), strict=True))


def moonshine(model: str, download: bool) -> WordMetric:
    """Moonshine tiny-en, English only; both arguments go unused, since the weights come in a package.

    Raises:
        EvaluationError: a package is missing.
    """
    files = [
        packaged("Moonshine", "moonshine_voice", f"assets/tiny-en/{name}", MOONSHINE)
        for name in _MOONSHINE_FILES
    ]
    require("Moonshine", ["onnxruntime", "whisper_normalizer", "rapidfuzz"], EXTRA)
    return WordMetric("moonshine", "Moonshine", "Jeffries et al. 2024, Moonshine", _Moonshine(files))


class _Moonshine:
    def __init__(self, files: list[Path]) -> None:
        self._files = files
        self._judge = Judge(self._load, lambda: fingerprint("moonshine-1", ["onnxruntime"], files))

    @property
    def fingerprint(self) -> str:
        return self._judge.fingerprint

    def text(self, path: Path, language: str | None) -> str | None:
        return self._judge(path) if is_english(language) else None

    def _load(self) -> MoonshineRecogniser:
        return MoonshineRecogniser(*self._files)


def whisper(model: str, download: bool) -> WordMetric:
    """Whisper by faster-whisper; `model` is a size ("base", which kNN-VC judges with), or a folder.

    Raises:
        EvaluationError: a package or the model is missing.
    """
    require(
        "Whisper", ["faster_whisper"], "pip install 'timbrel[whisper]'", "its model is then downloaded once"
    )
    require("Whisper", ["whisper_normalizer", "rapidfuzz"], EXTRA)
    from timbrel.evaluation.metrics.whisper import Whisper

    return WordMetric(
        "whisper", "Whisper", "Radford et al. 2022, Whisper", Whisper(model or "base", download)
    )
