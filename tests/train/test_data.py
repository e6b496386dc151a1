"""Batches are a function of (seed, step), and what is cut lies where it says."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from timbrel.errors import CorpusError, TrainingError
from timbrel.train.data import Batch, Data, Place, check_sample_rate
from timbrel.train.recipe import DataRecipe


@pytest.fixture
def recipe(prepared: Path) -> DataRecipe:
    return DataRecipe(str(prepared), batch=4, seconds=0.5)


def load(prepared: Path, recipe: DataRecipe, seed: int = 0) -> Data:
    return Data(prepared, recipe, "train", seed)


def same(one: Batch, two: Batch) -> bool:
    pairs = [(one.source, two.source)]
    if one.reference is not None and two.reference is not None:
        pairs.append((one.reference, two.reference))
    return all(torch.equal(a.audio, b.audio) and torch.equal(a.f0, b.f0) and a.ids == b.ids for a, b in pairs)


def test_a_batch_depends_on_nothing_but_seed_and_step(prepared: Path, recipe: DataRecipe) -> None:
    recipe = replace(recipe, reference_seconds=0.4)
    forwards, backwards = load(prepared, recipe), load(prepared, recipe)
    batches = [forwards.batch(step) for step in range(8)]
    for step in reversed(range(8)):
        np.random.default_rng().random()
        assert same(backwards.batch(step), batches[step])
    assert not same(batches[0], batches[1])
    assert not same(load(prepared, recipe, seed=1).batch(0), batches[0])


def test_processes_together_draw_the_batch_of_one(prepared: Path, recipe: DataRecipe) -> None:
    data = load(prepared, replace(recipe, reference_seconds=0.4))
    whole, parts = data.batch(5), [data.batch(5, rank, 2) for rank in range(2)]
    assert whole.reference is not None
    references = [part.reference.audio for part in parts if part.reference is not None]
    assert torch.equal(torch.cat([part.source.audio for part in parts]), whole.source.audio)
    assert torch.equal(torch.cat(references), whole.reference.audio)


def test_every_clip_comes_once_before_any_comes_twice(prepared: Path, recipe: DataRecipe) -> None:
    data = load(prepared, replace(recipe, batch=1))
    rounds = [[data.batch(step).source.ids[0] for step in range(11 * r, 11 * r + 11)] for r in range(2)]
    assert [len(set(ids)) for ids in rounds] == [11, 11]
    assert rounds[0] != rounds[1]


def test_crops_are_what_the_clip_holds_there(prepared: Path, recipe: DataRecipe) -> None:
    crops = load(prepared, recipe).batch(3).source
    for row, clip_id in enumerate(crops.ids):
        clip, start = load_file(prepared / f"clips/{clip_id}.safetensors"), int(crops.starts[row])
        expected = clip["audio"][256 * start : 256 * start + 8000] / 32768
        np.testing.assert_array_equal(crops.audio[row].numpy(), expected.astype(np.float32))
        np.testing.assert_array_equal(crops.f0[row].numpy(), clip["f0"][start : start + 32])
        np.testing.assert_array_equal(crops.voicing[row].numpy(), clip["voicing"][start : start + 32])
        assert int(crops.lengths[row]) == 8000


def test_clips_shorter_than_the_crop_are_padded(prepared: Path, recipe: DataRecipe) -> None:
    data = load(prepared, replace(recipe, seconds=2.0))
    crops = data.batch(0).source
    assert crops.audio.shape == (4, 32000)
    for row, clip_id in enumerate(crops.ids):
        samples = len(load_file(prepared / f"clips/{clip_id}.safetensors")["audio"])
        length = int(crops.lengths[row])
        assert samples - 256 < length <= samples
        assert (crops.audio[row, length:] == 0).all()
        assert crops.audio[row, length - 400 : length].abs().max() > 0


def test_the_reference_is_another_clip_of_the_speaker(prepared: Path, recipe: DataRecipe) -> None:
    data = load(prepared, replace(recipe, batch=8, reference_seconds=0.3))
    for step in range(5):
        batch = data.batch(step)
        assert batch.reference is not None
        assert torch.equal(batch.source.speakers, batch.reference.speakers)
        assert not (batch.source.clips == batch.reference.clips).any()


def test_an_only_clip_lends_its_other_part(prepared: Path, recipe: DataRecipe) -> None:
    # The validation split is one clip of 1.7 s.
    data = Data(prepared, replace(recipe, batch=8, seconds=0.3, reference_seconds=0.3), "dev", 0)
    for step in range(5):
        batch = data.batch(step)
        assert batch.reference is not None
        apart = (batch.source.starts - batch.reference.starts).abs() >= 19
        # A source crop in the middle leaves less than a second on either side.
        middle = (batch.source.starts > 24) & (batch.source.starts < 63)
        assert (apart | middle).all()
        assert apart.any()


def test_speakers_can_be_balanced(prepared: Path, recipe: DataRecipe) -> None:
    # ada has three clips to train on, the others four.
    data = load(prepared, replace(recipe, batch=30, balance="speakers"))
    drawn = Counter(data.speakers[i] for step in range(40) for i in data.batch(step).source.speakers)
    # Three standard deviations of 1200 draws with probability 1/3 are 49.
    assert {speaker: abs(count - 400) < 49 for speaker, count in drawn.items()} == dict.fromkeys(
        ("ada", "bob", "eve"), True
    )
    taken = load(prepared, replace(recipe, batch=1200)).batch(0).source.speakers
    assert (taken == 0).sum() < 340  # clip by clip ada's share is 3 of 11, 327


def test_conditions_choose_clips(prepared: Path, recipe: DataRecipe) -> None:
    assert load(prepared, replace(recipe, only={"speaker": "bob"})).speakers == ["bob"]
    with pytest.raises(CorpusError, match="no clips with split 'train'"):
        load(prepared, replace(recipe, only={"tier": "hq"}))


def test_pitch_and_samples_stay_together_at_other_rates(raw_corpus: Path, tmp_path: Path) -> None:
    from timbrel.corpora import folder
    from timbrel.train.prepare import Wanted, prepare

    prepare(folder.read(raw_corpus)[:1], tmp_path, wanted=Wanted(sample_rate=22050))
    data = Data(tmp_path, DataRecipe(str(tmp_path), batch=1, seconds=0.5), "train", 0)
    crop = data.cut([Place(0, 25, 57)], 0.5)
    clip = load_file(tmp_path / "clips/ada/clip0.safetensors")
    first = round(25 * 22050 / 62.5)
    expected = clip["audio"][first : first + 11025].astype(np.float32) / 32768
    np.testing.assert_array_equal(crop.audio[0].numpy(), expected)
    with pytest.raises(TrainingError, match="prepared at 22050 Hz and this recipe needs 16000 Hz"):
        check_sample_rate(data, 16000)


def test_a_corpus_of_several_rates_is_refused(prepared: Path, recipe: DataRecipe, tmp_path: Path) -> None:
    root = Path(shutil.copytree(prepared, tmp_path / "corpus"))
    other = root / "clips/bob/clip2.safetensors"
    with safe_open(other, "numpy") as file:
        metadata = file.metadata()
    assert metadata["sample_rate"] == "16000"
    save_file(load_file(other), other, metadata={**metadata, "sample_rate": "8000"})
    with pytest.raises(CorpusError, match=r"clip2\.safetensors is at 8000 Hz.*prepare all at one rate"):
        Data(root, recipe, "train", 0)


def test_what_is_no_prepared_corpus_is_refused(tmp_path: Path, recipe: DataRecipe) -> None:
    with pytest.raises(CorpusError, match="make one with `timbrel prepare`"):
        Data(tmp_path, recipe, "train", 0)
    (tmp_path / "index.jsonl").write_text("")
    with pytest.raises(CorpusError, match="is empty"):
        Data(tmp_path, recipe, "train", 0)
    (tmp_path / "index.jsonl").write_text('{"id": "a/b", "sp')
    with pytest.raises(CorpusError, match="is damaged"):
        Data(tmp_path, recipe, "train", 0)
    (tmp_path / "index.jsonl").write_text(
        '{"id": "a/b", "speaker": "a", "file": "clips/x", "seconds": 1.0}\n'
    )
    with pytest.raises(CorpusError, match=r"clips/x is missing or damaged"):
        Data(tmp_path, recipe, "train", 0)
