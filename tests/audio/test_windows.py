"""Windows tile the whole, and with enough context nobody can tell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timbrel.audio.windows import Window, overlapping, plan

sizes = st.integers(1, 40)
contexts = st.integers(0, 60)
totals = st.integers(0, 200)


def test_a_plan_by_hand() -> None:
    assert list(plan(10, 4, 3)) == [Window(0, 4, 0, 7), Window(4, 8, 1, 10), Window(8, 10, 5, 10)]


def test_inner_is_the_window_within_its_context() -> None:
    assert Window(4, 8, 1, 10).inner == slice(3, 7)


@given(total=totals, size=sizes, context=contexts)
def test_windows_tile_the_whole(total: int, size: int, context: int) -> None:
    covered = [frame for window in plan(total, size, context) for frame in range(window.start, window.stop)]
    assert covered == list(range(total))


@given(cuts=st.lists(st.integers(0, 50), max_size=8), size=sizes, context=contexts)
def test_a_stream_gives_the_windows_of_the_plan(cuts: list[int], size: int, context: int) -> None:
    whole = np.arange(sum(cuts) * 2).reshape(-1, 2)
    blocks = np.split(whole, np.cumsum(cuts))[:-1]
    pairs = list(overlapping(blocks, size, context))
    assert [window for window, _ in pairs] == list(plan(len(whole), size, context))
    for window, frames in pairs:
        np.testing.assert_array_equal(frames, whole[window.context_start : window.context_stop])


@settings(max_examples=40)
@given(total=st.integers(1, 150), size=sizes, reach=st.integers(0, 12))
def test_a_filter_applied_window_by_window_equals_the_whole(total: int, size: int, reach: int) -> None:
    samples = np.random.default_rng(0).standard_normal(total)
    kernel = np.random.default_rng(1).standard_normal(2 * reach + 1)

    def filtered(signal: np.ndarray) -> np.ndarray:
        return np.convolve(np.pad(signal, reach), kernel, mode="valid")

    pieces = [filtered(part)[window.inner] for window, part in overlapping([samples], size, reach)]
    np.testing.assert_allclose(np.concatenate(pieces), filtered(samples), atol=1e-12)


def test_a_stream_holds_one_window_only() -> None:
    """A window comes as soon as its context is there, before more is asked for."""
    taken = 0

    def blocks() -> object:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield np.zeros(10)

    first = next(overlapping(blocks(), 20, 5))  # type: ignore[arg-type]
    assert first[0] == Window(0, 20, 0, 25)
    assert taken == 3


@pytest.mark.parametrize(("size", "context"), [(0, 1), (1, -1)])
def test_impossible_windows_are_refused(size: int, context: int) -> None:
    with pytest.raises(ValueError, match="size"):
        list(plan(10, size, context))
    with pytest.raises(ValueError, match="size"):
        list(overlapping([np.zeros(10)], size, context))
