"""What one listener sees and may do next: between the pages and the store, without HTTP.

A listener answers the trials in their order, each once, after every recording of it was sent and could have
been heard to its end. What does not fit is a `RefusalError`; nothing is written then.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from timbrel.listening.design import Trial, plan
from timbrel.listening.hearing import recordings
from timbrel.listening.scales import SCALES, TONES_SECONDS, recording_names
from timbrel.listening.store import TONES, Answer, Store, headphones_passed
from timbrel.listening.study import PAIRED, Study, audio_path, tones_path

#: What part of the recordings must have played: players end a little early or late.
HEARD_SHARE = 0.95
#: A study takes so many times the listeners that were planned, so that nobody fills its disk.
MOST_PER_PLANNED = 10
_TRIES_AT_HEADPHONES = 2


class RefusalError(Exception):
    """A listener cannot have or do this: one sentence for the page, and the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Session:
    """A study in progress.

    Fields:
        clock: seconds since the epoch.
    """

    study: Study
    folder: Path
    store: Store
    clock: Callable[[], float] = time.time
    seconds: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", self.study.seconds())

    # Joining

    def join(self, link: str) -> str:
        """The id of the listener with this link, who takes part from now on.

        Raises:
            RefusalError: the study is full.
        """
        most = MOST_PER_PLANNED * self.study.listeners
        found = self.store.join(link, lambda number: plan(self.study, number), most=most)
        if found is None:
            raise RefusalError(403, "This study has all the listeners it can take. Thank you all the same.")
        if self.study.headphones != "off" and not self.store.tones(found):
            self._begin_tones(found, 0)
        return found

    def welcome(self, listener: str | None) -> dict[str, Any]:
        """What the page says first, to someone who has not joined, too."""
        answered = 0 if listener is None else self.store.position(listener)
        return {
            "title": self.study.title,
            "instructions": self.study.instructions,
            "headphones": self.study.headphones != "off",
            "attention": bool(self.study.attention),
            "answered": answered,
        }

    def state(self, listener: str) -> dict[str, Any]:
        """What the page shows next, as JSON."""
        headphones = self._headphones(listener)
        if headphones is not None:
            return headphones
        position, count = self.store.position(listener), self.store.trials(listener)
        if position >= count:
            return {"phase": "done"}
        return {"phase": "trial", "position": position, "count": count} | self._shown(
            self.store.trial(listener, position)
        )

    def _shown(self, trial: Trial) -> dict[str, Any]:
        scale, heard = SCALES[trial.test], recordings(self.study, trial)
        names = recording_names(trial.test, len(heard))
        return {
            "test": trial.test,
            "title": scale.title,
            "question": scale.question,
            "labels": scale.labels,
            "recordings": [
                {"name": name, "url": f"audio/{trial.index}/{slot}", "seconds": self.seconds[sample]}
                for slot, (name, sample) in enumerate(zip(names, heard, strict=True))
            ],
        }

    # The headphone check

    def tones(self, listener: str, number: int) -> Path:
        """The file with the tones of the trial of the headphone check that comes next.

        Raises:
            RefusalError: they are not what comes next.
        """
        if number != self._next_tone(listener):
            raise RefusalError(404, "These tones are not yours to hear now.")
        # Positions below zero are the headphone check's.
        self.store.note_serving(listener, -1 - number, 0, self.clock())
        expected = self.store.tones(listener)[number].expected
        return tones_path(self.folder, expected, (expected + 1 + number % 2) % 3)

    def answer_tone(self, listener: str, number: int, answer: int) -> None:
        """Notes which tone seemed the quietest, 0 to 2.

        Raises:
            RefusalError: it is no answer to what was heard, or comes too soon.
        """
        tones = self.store.tones(listener)
        if 0 <= number < len(tones) and tones[number].answer is not None:
            return
        if number != self._next_tone(listener) or answer not in range(3):
            raise RefusalError(409, "That is no answer to the tones you hear.")
        self._require_heard(listener, -1 - number, [TONES_SECONDS])
        self.store.answer_tone(listener, number, answer)
        if headphones_passed(self.store.tones(listener)) is False and self._may_try_again(number + 1):
            self._begin_tones(listener, number + 1)

    def _headphones(self, listener: str) -> dict[str, Any] | None:
        """What the headphone check shows, None once it is over."""
        if (number := self._next_tone(listener)) is not None:
            return {
                "phase": "headphones",
                "number": number % TONES,
                "count": TONES,
                "again": number >= TONES,
                "url": f"tones/{number}",
                "seconds": TONES_SECONDS,
            }
        required = self.study.headphones == "required"
        if required and headphones_passed(self.store.tones(listener)) is False:
            return {"phase": "turned-away"}
        return None

    def _next_tone(self, listener: str) -> int | None:
        return next((tone.number for tone in self.store.tones(listener) if tone.answer is None), None)

    def _may_try_again(self, asked: int) -> bool:
        return self.study.headphones == "required" and asked < _TRIES_AT_HEADPHONES * TONES

    def _begin_tones(self, listener: str, first: int) -> None:
        self.store.begin_tones(listener, first, [secrets.randbelow(3) for _ in range(TONES)])

    # Trials

    def recording(self, listener: str, position: int, slot: int) -> Path:
        """The file of a recording of the trial that comes next; that it was sent is noted.

        Raises:
            RefusalError: it is not what comes next.
        """
        trial = self._next_trial(listener)
        heard = recordings(self.study, trial) if trial is not None and position == trial.index else ()
        if not 0 <= slot < len(heard):
            raise RefusalError(404, "This recording is not yours to hear now.")
        self.store.note_serving(listener, position, slot, self.clock())
        return audio_path(self.folder, heard[slot])

    def rate(self, listener: str, position: int, answers: Sequence[int], heard_seconds: float) -> None:
        """Writes the answers to a trial; sent once more, the same ones change nothing.

        Raises:
            RefusalError: it is no answer to the trial, or comes too soon.
        """
        trial = self._next_trial(listener)
        if trial is None or position != trial.index:
            self._check_repeated(listener, position, answers)
            return
        judged = self._judged(trial, answers)
        seconds = [self.seconds[one] for one in recordings(self.study, trial)]
        elapsed = self._require_heard(listener, position, seconds)
        if heard_seconds < HEARD_SHARE * sum(seconds):
            raise RefusalError(409, "Hear every recording to its end before you answer.")
        try:
            self.store.rate(listener, trial, judged, min(heard_seconds, elapsed))
        except sqlite3.IntegrityError:
            # The same was sent twice at once, and the other one was written.
            self._check_repeated(listener, position, answers)

    def _next_trial(self, listener: str) -> Trial | None:
        if self._headphones(listener) is not None:
            return None
        position = self.store.position(listener)
        return self.store.trial(listener, position) if position < self.store.trials(listener) else None

    def _check_repeated(self, listener: str, position: int, answers: Sequence[int]) -> None:
        stored = self.store.answered(listener, position)
        if not stored:
            raise RefusalError(409, "This trial is not yours to answer now.")
        judged = self._judged(self.store.trial(listener, position), answers)
        if stored != {one.sample: one.score for one in judged}:
            raise RefusalError(409, "This trial was answered before; the first answer stands.")

    def _require_heard(self, listener: str, position: int, seconds: Sequence[float]) -> float:
        """Seconds since the first recording was sent; refused if they are too few to have heard all."""
        sent = self.store.servings(listener, position)
        if len(sent) < len(seconds):
            raise RefusalError(409, "Hear every recording before you answer.")
        elapsed = self.clock() - min(sent.values())
        if elapsed < HEARD_SHARE * sum(seconds):
            raise RefusalError(409, "Hear every recording to its end before you answer.")
        return elapsed

    def _judged(self, trial: Trial, answers: Sequence[int]) -> list[Answer]:
        scale = SCALES[trial.test]
        rated = trial.samples if trial.test == "mushra" else trial.samples[:1]
        if len(answers) != len(rated) or not all(scale.least <= one <= scale.most for one in answers):
            wanted = f"{len(rated)} whole numbers from {scale.least} to {scale.most}"
            raise RefusalError(422, f"The answers to this are {wanted}.")
        if trial.kind == "attention":
            check = next(one for one in self.study.attention if one.id == trial.samples[0])
            return [Answer(check.id, "", "", "", answers[0], check.answer)]
        if trial.test in PAIRED:
            return [self._compared(trial, answers[0])]
        return [self._scored(sample, score) for sample, score in zip(rated, answers, strict=True)]

    def _scored(self, identity: str, score: float) -> Answer:
        sample = self.study.sample(identity)
        return Answer(sample.id, sample.item, sample.system, sample.condition, score)

    def _compared(self, trial: Trial, answer: int) -> Answer:
        """For AB whether the first-named system was preferred, for ABX whether the answer is right."""
        both = {self.study.sample(one).system: self.study.sample(one) for one in trial.samples[:2]}
        names = next(pair for pair in self.study.pairs if set(pair) == set(both))
        first = both[names[0]]
        right = trial.samples[2] if trial.test == "abx" else first.id
        score = float(trial.samples[answer - 1] == right)
        return Answer(first.id, first.item, "/".join(names), first.condition, score)
