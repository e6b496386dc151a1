"""One voice under two names, and two under one, are found among made-up vectors."""

from __future__ import annotations

import numpy as np
import pytest

from timbrel.inspection.voices import LEAST_TWIN, compare


def speakers(count: int, clips: int = 8, spread: float = 0.15, seed: int = 0) -> dict[str, np.ndarray]:
    """Unit vectors around directions that are far apart, in 64 dimensions."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((count, 1, 64))
    own = centres + spread * random.standard_normal((count, clips, 64))
    unit = own / np.linalg.norm(own, axis=-1, keepdims=True)
    return {f"s{number}": vectors for number, vectors in enumerate(unit)}


def ids(vectors: dict[str, np.ndarray]) -> dict[str, list[str]]:
    return {name: [f"{name}/{clip}" for clip in range(len(own))] for name, own in vectors.items()}


def test_speakers_of_their_own_raise_no_suspicion() -> None:
    vectors = speakers(8)
    found = compare(vectors, ids(vectors))
    assert (found.twins, found.divided, found.odd) == ((), (), ())
    assert found.calibrated_on == 8
    assert len(found.closest) == 5
    cosines = [pair.cosine for pair in found.closest]
    assert cosines == sorted(cosines, reverse=True)


def test_a_pair_is_as_alike_as_the_cosine_of_its_means() -> None:
    angle = np.deg2rad(40.0)
    vectors = {"a": np.array([[1.0, 0.0]] * 2), "b": np.array([[np.cos(angle), np.sin(angle)]] * 2)}
    (pair,) = compare(vectors, ids(vectors)).closest
    assert pair.speakers == ("a", "b")
    assert pair.cosine == pytest.approx(np.cos(angle))


def test_one_voice_under_two_names_is_found() -> None:
    vectors = speakers(8)
    vectors["twin"] = vectors["s3"][::2]
    vectors["s3"] = vectors["s3"][1::2]
    found = compare(vectors, ids(vectors))
    assert [pair.speakers for pair in found.twins] == [("s3", "twin")]


def test_two_voices_under_one_name_are_found() -> None:
    vectors = speakers(8)
    vectors["s0"] = np.concatenate([vectors["s0"], vectors.pop("s1")])
    found = compare(vectors, ids(vectors))
    assert found.divided == ("s0",)
    # Far-apart directions in 64 dimensions: the groups are the two speakers, nearly orthogonal.
    assert abs(found.splits["s0"]) < 0.5


def test_a_clip_in_the_wrong_folder_is_found() -> None:
    vectors = speakers(8)
    vectors["s0"] = np.concatenate([vectors["s0"], vectors["s5"][:1]])
    vectors["s5"] = vectors["s5"][1:]
    (odd,) = compare(vectors, ids(vectors)).odd
    assert (odd.id, odd.nearest) == ("s0/8", "s5")
    assert odd.other > odd.own


def test_with_few_speakers_the_threshold_is_a_fixed_one() -> None:
    vectors = speakers(4)
    found = compare(vectors, ids(vectors))
    assert (found.calibrated_on, found.twin_threshold) == (0, LEAST_TWIN)


def test_one_speaker_or_none_or_single_clips_are_no_trouble() -> None:
    assert compare({}, {}).closest == ()
    one = speakers(1)
    assert compare(one, ids(one)).closest == ()
    single = speakers(3, clips=1)
    found = compare(single, ids(single))
    assert (len(found.closest), found.splits, found.odd) == (3, {}, ())
