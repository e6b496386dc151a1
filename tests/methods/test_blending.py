"""Blends of vectors, pitch, pools of frames and attention, against what is worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from timbrel.methods.blending import blend_known, blend_vectors, frames_of_each, pool_frames
from timbrel.voice import Voice


def voice(value: float, frames: int = 2, hertz: float = 100.0) -> Voice:
    """A voice whose frames all have this value."""
    log_f0 = math.log(hertz) if hertz else 0.0
    pool = {"content": torch.full((frames, 3), float(value)), "speech": torch.ones(frames, dtype=torch.bool)}
    return Voice("little", "", {"e": torch.tensor([1.0, 0.0])}, pool, log_f0, 0.2, 5.0, ("a.wav",))


def test_unit_vectors_blend_to_a_unit_vector() -> None:
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    half = blend_vectors([one, other], [0.5, 0.5])
    torch.testing.assert_close(half, torch.tensor([1.0, 1.0]) / math.sqrt(2))
    # 3:1 on perpendicular vectors turns by atan(1/3).
    quarter = blend_vectors([one, other], [0.75, 0.25])
    assert math.atan2(float(quarter[1]), float(quarter[0])) == pytest.approx(math.atan(1 / 3))


def test_the_length_of_vectors_is_kept() -> None:
    vectors = [torch.tensor([4.0, 0.0]), torch.tensor([0.0, 2.0])]
    assert float(blend_vectors(vectors, [0.5, 0.5]).norm()) == pytest.approx(3.0)
    assert torch.equal(blend_vectors(vectors, [1.0, 0.0]), vectors[0])


def test_pitch_blends_on_the_logarithmic_scale() -> None:
    # Half-way between 100 and 400 Hz are two octaves' middle, 200 Hz.
    heard = blend_known([voice(0, hertz=100.0), voice(1, hertz=400.0)], [0.5, 0.5])
    assert math.exp(heard.log_f0_mean) == pytest.approx(200.0)
    # A voice without pitch has no say in it.
    heard = blend_known([voice(0, hertz=100.0), voice(1, hertz=0.0)], [0.2, 0.8])
    assert math.exp(heard.log_f0_mean) == pytest.approx(100.0)


def test_only_embeddings_that_all_voices_have_are_blended() -> None:
    more = replace(voice(0), embeddings={"e": torch.tensor([0.0, 1.0]), "other": torch.ones(3)})
    assert set(blend_known([voice(0), more], [0.5, 0.5]).embeddings) == {"e"}


def test_only_frames_that_all_voices_have_are_pooled() -> None:
    more = replace(voice(1), frames=voice(1).frames | {"residual": torch.ones(2, 4)})
    for voices in ([voice(0), more], [more, voice(0)]):
        assert set(pool_frames(voices, [0.5, 0.5])) == {"content", "speech", "counts", "weights"}


def test_a_blend_of_blends_keeps_each_voice_apart() -> None:
    inner = replace(voice(0), frames=pool_frames([voice(1, 2), voice(2, 3)], [0.25, 0.75]))
    outer = replace(voice(0), frames=pool_frames([voice(3, 4), inner], [0.6, 0.4]))
    found = frames_of_each(outer)
    assert [(float(frames["content"].mean()), len(frames["speech"])) for frames, _ in found] == [
        (3.0, 4),
        (1.0, 2),
        (2.0, 3),
    ]
    assert [weight for _, weight in found] == pytest.approx([0.6, 0.1, 0.3])


def test_a_voice_without_weight_is_left_out() -> None:
    blended = replace(voice(0), frames=pool_frames([voice(1), voice(2)], [1.0, 0.0]))
    ((frames, weight),) = frames_of_each(blended)
    assert (float(frames["content"].mean()), weight) == (1.0, 1.0)


def test_a_voice_by_itself_is_whole() -> None:
    ((frames, weight),) = frames_of_each(voice(1.0))
    assert weight == 1.0
    assert torch.equal(frames["content"], torch.ones(2, 3))
