"""Clips by their length, with speakers evened out and some favoured; references from the same clip."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from timbrel.errors import ConfigError
from timbrel.train.data import Data
from timbrel.train.recipe import DataRecipe


@pytest.fixture(scope="module")
def uneven(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ada has one clip of 8 s, bob four of 1 s, eve four of 4 s, in German; so the index says."""
    root = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("uneven") / "corpus"))
    clips = [json.loads(line) for line in (root / "index.jsonl").read_text().splitlines()]
    for clip in clips:
        clip["seconds"] = {"ada": 8.0, "bob": 1.0, "eve": 4.0}[clip["speaker"]]
        clip["language"] = "de" if clip["speaker"] == "eve" else "en"
        clip["split"] = "spare" if clip["id"] in ("ada/clip1", "ada/clip2", "ada/clip3") else "train"
    (root / "index.jsonl").write_text("".join(json.dumps(clip) + "\n" for clip in clips))
    return root


@pytest.mark.parametrize(
    ("evenness", "favour", "shares"),
    [
        (0.0, {}, {"ada": 8 / 28, "bob": 4 / 28, "eve": 16 / 28}),
        (1.0, {}, {"ada": 1 / 3, "bob": 1 / 3, "eve": 1 / 3}),
        # Square roots of 8, 4 and 16 seconds.
        (0.5, {}, {"ada": 0.3204, "bob": 0.2265, "eve": 0.4531}),
        (1.0, {"language": {"de": 2.0}}, {"ada": 0.25, "bob": 0.25, "eve": 0.5}),
    ],
)
def test_shares_of_speakers(
    uneven: Path, evenness: float, favour: dict[str, dict[str, float]], shares: dict[str, float]
) -> None:
    recipe = DataRecipe(
        str(uneven), batch=2000, seconds=0.05, balance="seconds", evenness=evenness, favour=favour
    )
    data = Data(uneven, recipe, "train", 0)
    drawn = Counter(data.speakers[i] for i in data.batch(0).source.speakers)
    # Three standard deviations of 2000 draws are at most 0.034.
    assert {name: drawn[name] / 2000 for name in shares} == pytest.approx(shares, abs=0.034)
    assert data.batch(3).source.ids == Data(uneven, recipe, "train", 0).batch(3).source.ids


def test_a_share_of_references_is_from_the_same_clip(prepared: Path) -> None:
    recipe = DataRecipe(str(prepared), batch=400, seconds=0.1, reference_seconds=0.1, same_clip=0.3)
    batch = Data(prepared, recipe, "train", 0).batch(0)
    assert batch.reference is not None
    same = (batch.source.clips == batch.reference.clips).float().mean()
    # Three standard deviations of 400 draws with probability 0.3 are 0.069.
    assert float(same) == pytest.approx(0.3, abs=0.069)
    none = Data(prepared, replace(recipe, same_clip=0.0), "train", 0).batch(0)
    assert none.reference is not None
    assert not (none.source.clips == none.reference.clips).any()


def test_favours_must_be_above_zero() -> None:
    with pytest.raises(ConfigError, match=r"data\.favour must hold factors above 0, not -1"):
        DataRecipe("somewhere", batch=1, seconds=1.0, balance="seconds", favour={"language": {"en": -1.0}})
