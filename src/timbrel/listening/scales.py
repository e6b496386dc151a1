"""The questions listeners are asked and the answers they may give.

- MOS: absolute category rating of ITU-T P.800, five labels.
- SMOS: five points; and the four points of the Voice Conversion Challenges (Lorenzo-Trueba et al. 2018), same
  or different speaker, sure or not.
- AB, ABX: one of two.
- MUSHRA: 0 to 100 for each, the labels of ITU-R BS.1534-3.
"""

from __future__ import annotations

from dataclasses import dataclass

from timbrel.listening.study import Test

#: The headphone check plays three tones of this length, this far apart.
TONE_SECONDS, TONE_GAP = 1.0, 0.5
TONES_SECONDS = 3 * TONE_SECONDS + 2 * TONE_GAP

#: Answers of SMOS4 from this one on say that it is the same speaker, sure or not.
SAME_SPEAKER = 3


@dataclass(frozen=True, slots=True)
class Scale:
    """How one test is put to a listener.

    Fields:
        question: what is asked.
        recordings: what the page calls the recordings of a trial, in their order.
        labels: answers and what they are called, as listed on the page; for MUSHRA the lower ends of the
            ranges of the labels.
        least, most: the range of an answer.
    """

    title: str
    question: str
    recordings: tuple[str, ...]
    labels: tuple[tuple[int, str], ...]
    least: int
    most: int


SCALES: dict[Test, Scale] = {
    "mos": Scale(
        "Naturalness",
        "How natural does this recording sound?",
        ("Recording",),
        ((5, "Excellent"), (4, "Good"), (3, "Fair"), (2, "Poor"), (1, "Bad")),
        1,
        5,
    ),
    "smos": Scale(
        "Similarity of the voice",
        "How similar are the voices in the two recordings? Do not judge what is said or how good it sounds.",
        ("Recording", "Comparison voice"),
        (
            (5, "Extremely similar"),
            (4, "Very similar"),
            (3, "Moderately similar"),
            (2, "Slightly similar"),
            (1, "Not at all similar"),
        ),
        1,
        5,
    ),
    "smos4": Scale(
        "Same speaker or not",
        "Could the two recordings have been spoken by the same person? Do not mind how good they sound.",
        ("Recording", "Comparison voice"),
        (
            (4, "Same speaker, absolutely sure"),
            (3, "Same speaker, not sure"),
            (2, "Different speaker, not sure"),
            (1, "Different speaker, absolutely sure"),
        ),
        1,
        4,
    ),
    "ab": Scale(
        "Preference",
        "Which of the two recordings sounds better?",
        ("Recording A", "Recording B"),
        ((1, "Recording A"), (2, "Recording B")),
        1,
        2,
    ),
    "abx": Scale(
        "Which one is X?",
        "Recording X is the same as one of the other two. Which one?",
        ("Recording A", "Recording B", "Recording X"),
        ((1, "Recording A"), (2, "Recording B")),
        1,
        2,
    ),
    "mushra": Scale(
        "Quality of several recordings",
        "How good is each recording, compared with the reference? One of them is the reference itself.",
        ("Reference",),
        ((80, "Excellent"), (60, "Good"), (40, "Fair"), (20, "Poor"), (0, "Bad")),
        0,
        100,
    ),
}


def recording_names(test: Test, count: int) -> tuple[str, ...]:
    """What the page calls the `count` recordings of a trial."""
    names = SCALES[test].recordings
    if test == "mushra":
        return names + tuple(f"Recording {number}" for number in range(1, count))
    return names[:count]
