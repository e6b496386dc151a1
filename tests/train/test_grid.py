"""Batches of N speakers with M utterances each."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from timbrel.errors import ConfigError, CorpusError
from timbrel.train.data import Data
from timbrel.train.recipe import DataRecipe


@pytest.fixture(scope="module")
def recipe(prepared: Path) -> DataRecipe:
    """Two of the three speakers with three clips each; ada has three, the others four."""
    return DataRecipe(str(prepared), batch=6, seconds=0.3, balance="grid", utterances_per_speaker=3)


def test_a_batch_is_n_speakers_with_m_different_clips_side_by_side(
    prepared: Path, recipe: DataRecipe
) -> None:
    data = Data(prepared, recipe, "train", 0)
    drawn: Counter[str] = Counter()
    for step in range(60):
        crops = data.batch(step).source
        assert len(set(crops.ids)) == 6
        rows = crops.speakers.reshape(2, 3)
        assert (rows == rows[:, :1]).all()
        assert rows[0, 0] != rows[1, 0]
        drawn.update(crops.ids)
    # ada's three clips come 40 times each, the others' four 30 times, give or take three deviations.
    assert len(drawn) == 11
    for clip, count in drawn.items():
        assert abs(count - (40 if clip.startswith("ada/") else 30)) < 12, clip


def test_a_grid_depends_on_seed_and_step_and_is_shared_among_processes(
    prepared: Path, recipe: DataRecipe
) -> None:
    data, other = Data(prepared, recipe, "train", 0), Data(prepared, recipe, "train", 0)
    batches = [data.batch(step).source for step in range(6)]
    for step in reversed(range(6)):
        assert torch.equal(other.batch(step).source.audio, batches[step].audio)
    assert len({crops.ids for crops in batches}) == 6
    assert Data(prepared, recipe, "train", 1).batch(0).source.ids != batches[0].ids
    parts = [data.batch(4, rank, 2).source for rank in range(2)]
    assert parts[0].ids + parts[1].ids == batches[4].ids


def test_a_speaker_with_too_few_clips_is_named(prepared: Path, recipe: DataRecipe) -> None:
    more = replace(recipe, batch=8, utterances_per_speaker=4)
    with pytest.raises(CorpusError, match=r"ada has 3 clips of split 'train'.*min_utterances = 4"):
        Data(prepared, more, "train", 0)
    assert Data(prepared, replace(more, min_utterances=4), "train", 0).speakers == ["bob", "eve"]


def test_too_few_speakers_are_said(prepared: Path, recipe: DataRecipe) -> None:
    with pytest.raises(CorpusError, match="has 3 speakers in split 'train' and a batch wants 4"):
        Data(prepared, replace(recipe, batch=12), "train", 0)
    with pytest.raises(CorpusError, match=r"no speaker with 5 clips.*bob has most, 4"):
        Data(prepared, replace(recipe, min_utterances=5), "train", 0)


def test_a_split_to_validate_on_may_have_fewer_speakers(prepared: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(prepared, tmp_path / "corpus"))
    clips = [json.loads(line) for line in (root / "index.jsonl").read_text().splitlines()]
    for clip in clips:
        clip["split"] = "train" if clip["speaker"] == "eve" else "dev"
    (root / "index.jsonl").write_text("".join(json.dumps(clip) + "\n" for clip in clips))
    wide = DataRecipe(str(root), batch=40, seconds=0.3, balance="grid", utterances_per_speaker=4)
    crops = Data(root, wide, "dev", 0).batch(0).source
    assert len(crops.ids) == 8
    alone = replace(wide, validation="train")
    with pytest.raises(CorpusError, match="has 1 speaker in split 'train' and a batch wants 2"):
        Data(root, alone, "train", 0)


@pytest.mark.parametrize("utterances", [0, 4, 7])
def test_utterances_must_divide_the_batch(utterances: int) -> None:
    with pytest.raises(ConfigError, match=r"must divide the batch of 6, not be"):
        DataRecipe("somewhere", batch=6, seconds=1.0, balance="grid", utterances_per_speaker=utterances)


def test_utterances_belong_to_the_grid() -> None:
    with pytest.raises(ConfigError, match='belongs to the balance "grid"'):
        DataRecipe("somewhere", batch=6, seconds=1.0, utterances_per_speaker=2)
