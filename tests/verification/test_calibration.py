"""Calibration against scikit-learn's logistic and isotonic regressions, and the file that keeps it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from timbrel.detection import error_curve
from timbrel.errors import ConfigError, ContractError, CorpusError
from timbrel.verification import calibration
from timbrel.verification.calibration import Calibration, Data
from timbrel.verification.hearing import Hearing


def scores(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(0.7, 0.1, 60), random.normal(0.3, 0.15, 900)


def made() -> Calibration:
    same, different = scores()
    curve = calibration.thin(error_curve(same, different))
    return Calibration(
        encoder="00112233aabbccdd",
        model="ours",
        cohort="",
        data=Data("there", "ffff", 9, 90, 60, 900),
        threshold=0.52,
        rule="eer",
        equal_error_rate=0.05,
        slope=20.0,
        offset=-10.0,
        cllr=0.2,
        minimum_cllr=0.15,
        thresholds=tuple(curve.thresholds.tolist()),
        false_accepts=tuple(curve.false_accepts.tolist()),
        false_rejects=tuple(curve.false_rejects.tolist()),
    )


def test_the_fit_is_that_of_scikit_learn() -> None:
    same, different = scores()
    # Every pair with both labels, each weighing as much as Platt's targets and its kind say.
    own, other = 61 / 62, 1 / 902
    column = np.concatenate([same, same, different, different])[:, None]
    labels = np.repeat([1, 0, 1, 0], [60, 60, 900, 900])
    weights = np.repeat([own / 60, (1 - own) / 60, other / 900, (1 - other) / 900], [60, 60, 900, 900])
    reference = LogisticRegression(C=1e9, tol=1e-10, max_iter=10000).fit(
        column, labels, sample_weight=1000 * weights
    )
    slope, offset = calibration.fit(same, different)
    assert slope == pytest.approx(reference.coef_[0, 0], rel=1e-4)
    assert offset == pytest.approx(reference.intercept_[0], rel=1e-4)


def test_separable_scores_give_a_finite_slope() -> None:
    slope, offset = calibration.fit(np.array([0.8, 0.9]), np.array([0.1, 0.2]))
    assert 0 < slope < 1000
    # In the middle of the gap it may be either.
    assert slope * 0.5 + offset == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("different", [[0.9, 0.95], [0.5, 0.5]])
def test_scores_that_tell_nothing_cannot_be_calibrated(different: list[float]) -> None:
    with pytest.raises(CorpusError, match="do not score higher"):
        calibration.fit(np.array([0.5, 0.5]), np.array(different))


def test_bits_lost_are_those_of_the_definition() -> None:
    # Who says nothing loses a bit; odds of 3 to 1 where they are right lose log2(4/3).
    assert calibration.cllr(np.zeros(3), np.zeros(5)) == pytest.approx(1.0)
    right = math.log(3)
    assert calibration.cllr(np.array([right]), np.array([-right])) == pytest.approx(math.log2(4 / 3))
    assert calibration.cllr(np.array([-2000.0]), np.array([0.0])) == pytest.approx(
        (2000 / math.log(2) + 1) / 2
    )


@pytest.mark.parametrize("digits", [1, 8])
def test_the_least_loss_is_that_of_isotonic_regression(digits: int) -> None:
    same, different = (one.round(digits) for one in scores())
    column = np.concatenate([same, different])
    labels, weights = np.repeat([1, 0], [60, 900]), np.repeat([1 / 60, 1 / 900], [60, 900])
    fitted = IsotonicRegression(y_min=0, y_max=1).fit(column, labels.astype(float), sample_weight=weights)
    posterior = fitted.predict(column)
    with np.errstate(divide="ignore"):
        expected = -(np.log2(posterior[:60]).mean() + np.log2(1 - posterior[60:]).mean()) / 2
    assert calibration.minimum_cllr(same, different) == pytest.approx(expected)


def test_a_probability_follows_bayes() -> None:
    # Odds of exp(20 * 0.5 - 10) = 1 leave what was known before.
    assert made().probability(0.5, prior=0.2) == pytest.approx(0.2)
    assert made().probability(0.6) == pytest.approx(math.exp(2) / (1 + math.exp(2)))
    assert (made().probability(1e6), made().probability(-1e6)) == (pytest.approx(1.0), pytest.approx(0.0))


def test_a_thinned_curve_says_the_same() -> None:
    random = np.random.default_rng(3)
    same, different = random.normal(2.0, 1.0, 3000), random.normal(0.0, 1.0, 50000)
    whole = error_curve(same, different)
    thinned = calibration.thin(whole)
    assert len(thinned.thresholds) < 500
    assert thinned.equal_error_rate() == whole.equal_error_rate()
    assert thinned.equal_error_threshold() == whole.equal_error_threshold()
    for rate in (0.5, 0.1, 0.01, 0.001):
        assert np.mean(different >= thinned.threshold_at(rate)) <= rate
        assert thinned.threshold_at(rate) == pytest.approx(whole.threshold_at(rate), abs=0.15)


def test_it_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    calibration.save(made(), tmp_path / "c.json")
    assert calibration.load(tmp_path / "c.json") == made()
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


def test_it_is_refused_for_another_encoder_and_another_cohort() -> None:
    made().require("00112233aabbccdd", "ours")
    with pytest.raises(ContractError, match=r"ours \(00112233aabbccdd\).*theirs \(ffffffffffffffff\)"):
        made().require("ffffffffffffffff", "theirs")
    with pytest.raises(ContractError, match=r"no cohort .* cohort abcd"):
        made().require("00112233aabbccdd", "ours", cohort="abcd")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 7}, "format 1"),
        ({"slope": -1.0}, "damaged"),
        ({"slope": "steep"}, "slope"),
        ({"thresholds": [0.1, 0.2]}, "damaged"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = tmp_path / "c.json"
    calibration.save(made(), path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ConfigError, match=words):
        calibration.load(path)


@pytest.mark.parametrize("text", ["", "[]", "{", "NaN"])
def test_what_is_no_calibration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.json"):
        calibration.load(path)


def test_not_a_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    calibration.save(replace(made(), threshold=123.25), path)
    path.write_text(path.read_text().replace("123.25", "NaN"))
    with pytest.raises(ConfigError, match="damaged"):
        calibration.load(path)


def test_the_bundled_encoder_has_a_calibration_and_others_have_none() -> None:
    hearing = Hearing()
    shipped = calibration.bundled(hearing.fingerprint)
    assert shipped is not None
    shipped.require(hearing.fingerprint, hearing.name)
    accepts, rejects = shipped.rates_at(shipped.threshold)
    assert accepts == pytest.approx(shipped.equal_error_rate, abs=0.005)
    assert rejects == pytest.approx(shipped.equal_error_rate, abs=0.005)
    assert calibration.bundled("0" * 16) is None
