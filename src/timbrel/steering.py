"""How far a conversion goes: at which pitch, how much of the source's own voice stays, and beyond.

All is said to a method through the voice that it is given, so a method needs to know of none of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from timbrel.errors import ConfigError
from timbrel.voice import Voice

if TYPE_CHECKING:
    from timbrel.analysis import Analysis

#: The voice's mean pitch, the source's own, or so many semitones above the source's.
Pitch = Literal["target", "keep"] | float

#: Two octaves: farther from its own pitch no speaker is understood.
MOST_SEMITONES = 24.0
#: On the development pairs likeness is highest near 1.1 and falls from there, words and naturalness with it.
MOST_STRENGTH = 1.25
#: Of a voice in a blend, before weights are scaled to a sum of 1.
MOST_WEIGHT = 1000.0


@dataclass(frozen=True, slots=True)
class Steering:
    """What is asked of a conversion besides the voice.

    Fields:
        f0: "target" moves mean and deviation of the source's ln F0 to the voice's; "keep" leaves both; a
            number shifts the pitch by so many semitones. The melody is the source's in each case, in
            semitones with the last two, and as much wider or narrower as the voice is with the first.
        strength: 0 is the source's own voice said by the model, 1 the voice that was given. With it
            goes the pitch of "target", on the logarithmic scale. Above 1 it goes on, away from what voices
            have in common: more like the person and less natural, at the pitch of 1.

    Raises:
        ConfigError: a value is none of these.
    """

    f0: Pitch = "target"
    strength: float = 1.0

    def __post_init__(self) -> None:
        check_pitch(self.f0)
        check_strength(self.strength)

    @property
    def beyond(self) -> float:
        """How far beyond the voice it goes, 0 to 0.25."""
        return max(0.0, self.strength - 1.0)

    def at_pitch(self, voice: Voice, analysis: Analysis) -> Voice:
        """The voice with the mean and deviation of ln F0 that the analysed source is to have."""
        if self.f0 == "target":
            return voice
        if analysis.log_f0_mean <= 0:  # nothing is voiced, so there is no pitch to keep or to move
            return replace(voice, log_f0_mean=0.0, log_f0_std=0.0)
        semitones = 0.0 if self.f0 == "keep" else float(self.f0)
        mean = analysis.log_f0_mean + semitones * math.log(2) / 12
        return replace(voice, log_f0_mean=mean, log_f0_std=analysis.log_f0_std)

    def describe(self) -> str:
        """What differs from a plain conversion, as in "f0 keep, strength 0.5"; empty if nothing does."""
        f0 = f"{self.f0:+g} semitones" if isinstance(self.f0, float | int) else self.f0
        said = [
            (self.f0 != PLAIN.f0, f"f0 {f0}"),
            (self.strength != PLAIN.strength, f"strength {self.strength:g}"),
        ]
        return ", ".join(text for applies, text in said if applies)


def parse_pitch(text: str) -> Pitch:
    """`Steering.f0` from what someone wrote: keep, target, or a signed number of semitones.

    Raises:
        ConfigError: it is none of them.
    """
    match text.strip():
        case "target":
            return "target"
        case "keep":
            return "keep"
    try:
        semitones = float(text)
    except ValueError as error:
        raise ConfigError(_no_pitch(text)) from error
    check_pitch(semitones)
    return semitones


def parse_strength(text: str) -> float:
    """`Steering.strength` from what someone wrote.

    Raises:
        ConfigError: it is no number from 0 to `MOST_STRENGTH`.
    """
    try:
        strength = float(text)
    except ValueError as error:
        raise ConfigError(_no_strength(text)) from error
    check_strength(strength)
    return strength


def check_strength(strength: float) -> None:
    """Raises ConfigError unless it is a number from 0 to `MOST_STRENGTH`."""
    # The sign of a minus zero is a slip of the hand as well.
    if not 0.0 <= strength <= MOST_STRENGTH or math.copysign(1.0, strength) < 0:
        raise ConfigError(_no_strength(f"{strength:g}"))


def check_pitch(f0: Pitch) -> None:
    """Raises ConfigError unless it is "keep", "target" or not too many semitones."""
    fits = f0 in ("keep", "target") if isinstance(f0, str) else abs(f0) <= MOST_SEMITONES
    if not fits:
        raise ConfigError(_no_pitch(f0))


def check_weight(weight: float) -> None:
    """Checks the weight of a voice in a blend.

    Raises:
        ConfigError: it is not above 0, or so large that nothing else would be heard.
    """
    if not 0.0 < weight <= MOST_WEIGHT:
        raise ConfigError(f"A weight is {weight:g}: give a number above 0, up to {MOST_WEIGHT:g}.")


def _no_strength(value: str) -> str:
    return f"strength is {value}: give a number from 0 to {MOST_STRENGTH:g}."


def _no_pitch(value: str | float) -> str:
    written = value if isinstance(value, str) else f"{value:g}"
    return (
        f'f0 is "{written}": give keep, target or a number of semitones '
        f"from {-MOST_SEMITONES:.0f} to {MOST_SEMITONES:.0f}."
    )


#: The voice as it was given, at its own pitch.
PLAIN = Steering()
