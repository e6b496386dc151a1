"""Which speakers a model shall never hear, and which clips of the others are kept for validation.

Everybody's place follows from a hash of the seed and of their own name, not from who else is there:
the same arguments give the same split anywhere, and a corpus that grows hardly moves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from timbrel.corpora import Utterance, by_speaker
from timbrel.errors import CorpusError

TRAIN, DEV, UNSEEN = "train", "dev", "unseen"


@dataclass(frozen=True, slots=True)
class Plan:
    """How to divide a corpus.

    Fields:
        unseen: how many speakers, or which, make the split "unseen".
        held_out: share of each other speaker's clips that make the split "dev"; at least one of two.
        seed: another one chooses other speakers and clips.
    """

    unseen: int | tuple[str, ...] = 0
    held_out: float = 0.05
    seed: int = 0


def divide(utterances: Iterable[Utterance], plan: Plan) -> list[Utterance]:
    """The same rows with the splits "train", "dev" and "unseen", whatever split they had.

    Raises:
        CorpusError: a speaker of the plan does not exist, or nobody would be left to train on.
    """
    rows = list(utterances)
    speakers = by_speaker(rows)
    unseen = _unseen(speakers, plan)
    splits = {one.id: UNSEEN for name in unseen for one in speakers[name]}
    for name in speakers.keys() - unseen:
        splits |= dict.fromkeys(_held_out(speakers[name], plan), DEV)
    return [replace(one, split=splits.get(one.id, TRAIN)) for one in rows]


def _unseen(speakers: dict[str, list[Utterance]], plan: Plan) -> set[str]:
    unknown = set() if isinstance(plan.unseen, int) else set(plan.unseen) - speakers.keys()
    if unknown:
        raise CorpusError(
            f"The corpus has no speaker {', '.join(sorted(unknown))} to keep unseen: "
            f"it has {_some(sorted(speakers))}."
        )
    count = plan.unseen if isinstance(plan.unseen, int) else len(set(plan.unseen))
    if count >= len(speakers):
        raise CorpusError(
            f"{count} unseen speakers of {len(speakers)} leave nobody to train on: keep fewer unseen."
        )
    return set(_choose(speakers, count, plan.seed) if isinstance(plan.unseen, int) else plan.unseen)


def _choose(speakers: dict[str, list[Utterance]], count: int, seed: int) -> list[str]:
    """Women and men by turns, each in the order of their hashes; those of unknown sex come last."""
    ranked = sorted(speakers, key=lambda name: _hash(seed, name))
    women, men = ([name for name in ranked if speakers[name][0].sex == sex] for sex in ("F", "M"))
    turns = {name: place for known in (women, men) for place, name in enumerate(known)}
    return sorted(ranked, key=lambda name: turns.get(name, len(ranked)))[:count]


def _held_out(own: list[Utterance], plan: Plan) -> list[str]:
    """Ids of the clips of a speaker for "dev"."""
    if plan.held_out <= 0 or len(own) < 2:
        return []
    count = min(len(own) - 1, max(1, round(plan.held_out * len(own))))
    return sorted((one.id for one in own), key=lambda name: _hash(plan.seed, name))[:count]


def _hash(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
