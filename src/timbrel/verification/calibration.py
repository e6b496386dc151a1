"""Scores to probabilities, and the file that keeps how.

A score becomes the natural logarithm of the likelihood ratio of "one speaker" to "two", an affine
function of it fitted by logistic regression (Brümmer and du Preez 2006). Its quality is Cllr: bits lost
per trial, 0 for an oracle, 1 for one who says nothing.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from timbrel.config import decode_config
from timbrel.detection import ErrorCurve
from timbrel.errors import ConfigError, ContractError, CorpusError
from timbrel.files import write_text

FORMAT = 1
_BUNDLED = Path(__file__).parent / "calibrations"
_STEPS = 100


@dataclass(frozen=True, slots=True)
class Data:
    """What a calibration was fitted on: how many of what, and its hash."""

    name: str
    hash: str
    speakers: int
    recordings: int
    same: int
    different: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the scores of one encoder are read.

    Fields:
        encoder: fingerprint of the weights.
        model: name of their checkpoint.
        cohort: hash of the cohort that scores are normalised with; "" for plain cosines.
        threshold, rule: where pairs are accepted, and how that was chosen.
        slope, offset: ln(likelihood ratio) = slope * score + offset.
        cllr, minimum_cllr: of this calibration on its own data, and of the best possible one.
        thresholds, false_accepts, false_rejects: the error curve at some hundred thresholds.
    """

    encoder: str
    model: str
    cohort: str
    data: Data
    threshold: float
    rule: str
    equal_error_rate: float
    slope: float
    offset: float
    cllr: float
    minimum_cllr: float
    thresholds: tuple[float, ...]
    false_accepts: tuple[float, ...]
    false_rejects: tuple[float, ...]
    timbrel: str = ""
    made: str = ""
    format: int = FORMAT

    @property
    def curve(self) -> ErrorCurve:
        """What the thresholds cost."""
        return ErrorCurve(
            np.array(self.thresholds),
            np.array(self.false_accepts),
            np.array(self.false_rejects),
            self.data.different,
        )

    def rates_at(self, threshold: float) -> tuple[float, float]:
        """False accepts and false rejects to be expected at a threshold, 0..1, between the curve's points."""
        points = self.thresholds
        accepts = np.interp(threshold, points, self.false_accepts)
        return float(accepts), float(np.interp(threshold, points, self.false_rejects))

    def probability(self, score: float, prior: float = 0.5) -> float:
        """That both recordings are of one speaker, if it were `prior` without having heard them."""
        odds = self.slope * score + self.offset + math.log(prior / (1 - prior))
        return float(1 / (1 + np.exp(-np.clip(odds, -700, 700))))

    def require(self, encoder: str, model: str, cohort: str = "") -> None:
        """Makes sure that it belongs to these weights, and to scores normalised in this way.

        Raises:
            ContractError: it does not.
        """
        if self.encoder != encoder:
            raise ContractError(
                f"The calibration was made for the speaker encoder {self.model} ({self.encoder}) and says "
                f"nothing about {model} ({encoder}): run timbrel calibrate with that model."
            )
        if self.cohort != cohort:
            raise ContractError(
                f"The calibration was made with {_cohort(self.cohort)} and the scores with "
                f"{_cohort(cohort)}: give both the same --cohort, or none."
            )


def save(calibration: Calibration, path: Path) -> None:
    """Writes a calibration file whole or not at all, in place of one that is there.

    Raises:
        OutputError: it cannot be written.
    """
    text = json.dumps(asdict(calibration), indent=1, allow_nan=False) + "\n"
    write_text(path, text)


def load(path: Path) -> Calibration:
    """Reads a calibration file.

    Raises:
        ConfigError: it cannot be read, or is no calibration of this format.
    """
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as a calibration: {error}.") from error
    if not isinstance(tables, dict) or tables.get("format") != FORMAT:
        raise ConfigError(f"{path} is no calibration of format {FORMAT}: make it with timbrel calibrate.")
    found = decode_config(tables, Calibration, name=str(path))
    _check(found, path)
    return found


def bundled(encoder: str) -> Calibration | None:
    """The calibration that ships for these weights, if there is one."""
    path = _BUNDLED / f"{encoder}.json"
    return load(path) if path.is_file() else None


def fit(same: np.ndarray, different: np.ndarray) -> tuple[float, float]:
    """Slope and offset by which scores (N,) and (M,) become ln(likelihood ratio).

    Both kinds weigh the same, whatever their number. The labels are drawn a little towards each other
    (Platt 1999: (N + 1) / (N + 2) and 1 / (M + 2)), so that a perfect separation gives no infinite slope.

    Raises:
        CorpusError: pairs of one speaker do not score higher than those of two.
    """
    scores = np.concatenate([same, different]).astype(np.float64)
    centre, spread = scores.mean(), scores.std()
    counts = np.array([len(same), len(different)])
    labels = np.repeat([(len(same) + 1) / (len(same) + 2), 1 / (len(different) + 2)], counts)
    weights = np.repeat(0.5 / counts, counts)
    if same.mean() <= different.mean() or spread == 0:
        raise CorpusError(
            "Pairs of one speaker do not score higher than pairs of two: check the speakers' names, or take "
            "another encoder."
        )
    design = np.stack([(scores - centre) / spread, np.ones_like(scores)])
    slope, offset = _newton(design, labels, weights) / np.array([spread, 1.0])
    return float(slope), float(offset - slope * centre)


def cllr(same: np.ndarray, different: np.ndarray) -> float:
    """Bits that ln(likelihood ratios) (N,) and (M,) lose per trial at even odds (Brümmer 2006)."""
    missed = np.logaddexp(0, -same.astype(np.float64)).mean()
    accepted = np.logaddexp(0, different.astype(np.float64)).mean()
    return float((missed + accepted) / 2 / math.log(2))


def minimum_cllr(same: np.ndarray, different: np.ndarray) -> float:
    """Cllr of the best rising function of the scores, found by pooling adjacent violators."""
    from scipy.optimize import isotonic_regression

    scores, places = np.unique(np.concatenate([same, different]), return_inverse=True)
    own = np.bincount(places[: len(same)], minlength=len(scores)) / len(same)
    other = np.bincount(places[len(same) :], minlength=len(scores)) / len(different)
    posterior = np.clip(isotonic_regression(own / (own + other), weights=own + other).x, 0.0, 1.0)
    # Where a kind does not occur, its logarithm does not count.
    missed = -(own[own > 0] * np.log2(posterior[own > 0])).sum()
    accepted = -(other[other > 0] * np.log2(1 - posterior[other > 0])).sum()
    return max(0.0, float((missed + accepted) / 2))


def thin(curve: ErrorCurve) -> ErrorCurve:
    """The same curve at some hundred places: evenly in the logarithms of both rates, and at the crossing."""
    rates = np.geomspace(min(1e-6, 1 / curve.different), 1.0, 200)
    last = len(curve.thresholds) - 1
    falling = np.searchsorted(-curve.false_accepts, -rates)
    rising = np.searchsorted(curve.false_rejects, rates)
    crossing = int(np.argmax(curve.false_rejects >= curve.false_accepts))
    ends = [0, crossing - 1, crossing, int(np.argmax(curve.false_accepts == 0)), last]
    places = np.unique(np.clip(np.concatenate([falling, rising, ends]), 0, last))
    return ErrorCurve(
        curve.thresholds[places], curve.false_accepts[places], curve.false_rejects[places], curve.different
    )


def _newton(design: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Coefficients (2,) of the weighted logistic regression on (2, N), by steps that never make it worse."""

    def loss(coefficients: np.ndarray) -> float:
        odds = coefficients @ design
        return float(weights @ (np.logaddexp(0, odds) - labels * odds))

    found = np.zeros(2)
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(found @ design, -700, 700)))
        gradient = design @ (weights * (chance - labels))
        curvature = (design * (weights * chance * (1 - chance))) @ design.T + 1e-15 * np.eye(2)
        step, before = np.linalg.solve(curvature, gradient), loss(found)
        while loss(found - step) > before and np.abs(step).max() > 1e-12:
            step = step / 2
        found = found - step
        if np.abs(step).max() < 1e-10:
            break
    return found


def _check(found: Calibration, path: Path) -> None:
    columns = (found.thresholds, found.false_accepts, found.false_rejects)
    numbers = np.concatenate([*columns, [found.threshold, found.slope, found.offset]])
    equal = len({len(column) for column in columns}) == 1 and len(found.thresholds) > 1
    if not (equal and np.isfinite(numbers).all() and found.slope > 0 and found.data.different > 0):
        raise ConfigError(f"{path} is damaged: its curve or numbers are impossible; make it again.")


def _cohort(data: str) -> str:
    return f"the cohort {data}" if data else "no cohort"
