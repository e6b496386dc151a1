"""What may be asked of a conversion: a pitch, and how much of the target's voice."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from timbrel.analysis import Analysis
from timbrel.errors import ConfigError
from timbrel.steering import PLAIN, Steering, check_weight, parse_pitch, parse_strength
from timbrel.voice import Voice

VOICE = Voice("little", "", {}, {}, math.log(220.0), 0.2, 5.0, ("her.wav",))


def source(hertz: float) -> Analysis:
    """A source whose pitch has this mean; 0 for one without voice."""
    mean = math.log(hertz) if hertz else 0.0
    return Analysis(16000, 1.0, np.full(64, 5.0), np.ones(64), mean, 0.1)


@pytest.mark.parametrize(
    ("f0", "hertz"),
    # Twelve semitones are an octave, seven a fifth: 2^(7/12) = 1.4983.
    [("target", 220.0), ("keep", 110.0), (12.0, 220.0), (-12.0, 55.0), (7.0, 164.814), (0.0, 110.0)],
)
def test_where_the_mean_pitch_goes(f0: Any, hertz: float) -> None:
    assert math.exp(Steering(f0).at_pitch(VOICE, source(110.0)).log_f0_mean) == pytest.approx(hertz, rel=1e-4)


@pytest.mark.parametrize(("f0", "deviation"), [("target", 0.2), ("keep", 0.1), (3.0, 0.1)])
def test_the_range_is_the_voices_only_where_its_pitch_is_asked_for(f0: Any, deviation: float) -> None:
    assert Steering(f0).at_pitch(VOICE, source(110.0)).log_f0_std == deviation


@pytest.mark.parametrize("f0", ["keep", 3.0])
def test_a_source_without_voice_has_no_pitch_to_keep_or_to_move(f0: Any) -> None:
    voice = Steering(f0).at_pitch(VOICE, source(0.0))
    assert (voice.log_f0_mean, voice.log_f0_std) == (0.0, 0.0)


def test_a_plain_conversion_leaves_the_voice_alone() -> None:
    assert PLAIN.at_pitch(VOICE, source(110.0)) is VOICE
    assert PLAIN.describe() == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [("keep", "keep"), (" target ", "target"), ("+3", 3.0), ("-2.5", -2.5), ("24", 24.0), ("-0", 0.0)],
)
def test_a_pitch_as_it_is_written(text: str, value: object) -> None:
    assert parse_pitch(text) == value


@pytest.mark.parametrize("text", ["", "up", "999", "-24.1", "nan", "inf", "1e400", "3 semitones", "KEEP"])
def test_what_is_no_pitch(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^f0 is .*: give keep, target or a number .* from -24 to 24\.$"):
        parse_pitch(text)


@pytest.mark.parametrize("f0", ["", "up", 999.0, float("nan"), float("-inf")])
def test_a_steering_of_no_pitch(f0: Any) -> None:
    with pytest.raises(ConfigError, match=r"^f0 is "):
        Steering(f0)


@pytest.mark.parametrize("text", ["", "half", "1.26", "-0", "-0.1", "nan", "inf", "1,0"])
def test_what_is_no_strength(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^strength is .*: give a number from 0 to 1\.25\.$"):
        parse_strength(text)


@pytest.mark.parametrize("strength", [1.6, -0.0, -1.0, float("nan"), float("inf")])
def test_a_steering_of_no_strength(strength: float) -> None:
    with pytest.raises(ConfigError, match=r"^strength is "):
        Steering(strength=strength)


@pytest.mark.parametrize("weight", [0.0, -0.0, -1.0, 1001.0, float("nan"), float("inf")])
def test_what_is_no_weight(weight: float) -> None:
    with pytest.raises(ConfigError, match=r"^A weight is .*: give a number above 0"):
        check_weight(weight)


def test_what_is_said_of_a_steering() -> None:
    assert Steering(-3.0, 0.25).describe() == "f0 -3 semitones, strength 0.25"
    assert Steering("keep").describe() == "f0 keep"
    assert Steering(strength=0.0).describe() == "strength 0"
    assert Steering(strength=1.2).describe() == "strength 1.2"


@pytest.mark.parametrize(("strength", "beyond"), [(0.0, 0.0), (0.7, 0.0), (1.0, 0.0), (1.25, 0.25)])
def test_how_far_a_steering_goes_beyond_the_voice(strength: float, beyond: float) -> None:
    assert Steering(strength=strength).beyond == beyond
