"""Which speakers a model shall never hear, and which clips of the others are kept for validation.

Everybody's place follows from a hash of the seed and of their own name, not from who else is there:
the same arguments give the same split anywhere, and a corpus that grows hardly moves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from timbrel.corpora import Utterance, by_speaker
from timbrel.corpora.layouts import LAYOUTS
from timbrel.errors import CorpusError
from timbrel.wording import listed

TRAIN, DEV, UNSEEN = "train", "dev", "unseen"
_HELD_OUT = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """How to divide a corpus.

    Fields:
        unseen: how many speakers, or which, make the split "unseen".
        held_out: share of each other speaker's clips that make the split "dev"; at least one of two.
        seed: another one chooses other speakers and clips.
    """

    unseen: int | tuple[str, ...] = 0
    held_out: float = _HELD_OUT
    seed: int = 0


def split_names(split: str, utterances: Iterable[Utterance], source: Path) -> set[str]:
    """The splits that "train,dev" names; of "", which means all of them, none.

    Raises:
        CorpusError: the corpus lacks one.
    """
    names = {name.strip() for name in split.split(",")} if split else set()
    known = {utterance.split for utterance in utterances}
    if names - known:
        raise CorpusError(
            f"{source} has no split {', '.join(sorted(names - known))}: it has {', '.join(sorted(known))}."
        )
    return names


def plan_of(
    layout: str,
    utterances: list[Utterance],
    unseen: int | tuple[str, ...] | None = None,
    held_out: float | None = None,
    seed: int | None = None,
) -> Plan | None:
    """How to divide a corpus of that layout, as usual where nothing is given; None keeps its own splits."""
    share = LAYOUTS[layout].unseen_share
    if not share and all(choice is None for choice in (unseen, held_out, seed)):
        return None
    usual = int(share * len({one.speaker for one in utterances}))
    return Plan(
        unseen=usual if unseen is None else unseen,
        held_out=_HELD_OUT if held_out is None else held_out,
        seed=seed or 0,
    )


def divide_corpus(
    layout: str, utterances: list[Utterance], plan: Plan | None
) -> tuple[list[Utterance], dict[str, object]]:
    """The corpus in splits, and the rule they follow.

    Raises:
        CorpusError: it cannot be divided by that plan.
    """
    if plan is None:
        return utterances, {"layout": layout, "splits": "the corpus's own"}
    return divide(utterances, plan), {"layout": layout, "splits": "by hash", **asdict(plan)}


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
            f"it has {listed(sorted(speakers), 8)}."
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
