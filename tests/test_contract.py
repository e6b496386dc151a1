"""What joins, what is bridged and what is refused, by the formulas the specs stand for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timbrel.contract import Bridge, Exact, FeatureSpec, Lossy, compare
from timbrel.errors import ContractError

MEL = FeatureSpec("mel", 16000, 256, 80, n_fft=1024, window=1024, f_max=8000.0, log="ln", floor=1e-5)
LEARNED = FeatureSpec("learned", 16000, 320, 1024, encoder="aaaa")
WAVEFORM = FeatureSpec("waveform", 16000, hop=1, dim=1)


def mel_value(spec: FeatureSpec, magnitude: float) -> float:
    """The value of a mel bin, from the definition in words: log of the magnitude, scaled and shifted."""
    logarithm = {"ln": math.log, "log10": math.log10, "db": lambda m: 20 * math.log10(m)}[spec.log]
    return spec.scale * logarithm(max(spec.floor, magnitude)) + spec.offset


def test_the_same_spec_joins_exactly() -> None:
    assert compare(MEL, replace(MEL)) == Exact()
    assert compare(LEARNED, replace(LEARNED)) == Exact()


def test_natural_and_common_logarithms_are_bridged() -> None:
    # log10(x) = ln(x) / ln(10) = 0.4342944819 ln(x)
    bridge = compare(MEL, replace(MEL, log="log10"))
    assert isinstance(bridge, Bridge)
    assert bridge.scale == pytest.approx(0.4342944819, abs=1e-10)
    assert bridge.offset == 0.0


def test_autovc_decibels_become_natural_logarithms() -> None:
    # AutoVC: (20 log10(max(1e-5, m)) - 16 + 100) / 100.
    autovc = replace(MEL, log="db", scale=0.01, offset=0.84)
    bridge = compare(autovc, MEL)
    assert isinstance(bridge, Bridge)
    for magnitude in (1e-7, 1e-5, 0.003, 1.0, 7.5):
        value = (20 * math.log10(max(1e-5, magnitude)) - 16 + 100) / 100
        assert bridge.scale * value + bridge.offset == pytest.approx(math.log(max(1e-5, magnitude)))


logs: st.SearchStrategy[Literal["ln", "log10", "db"]] = st.sampled_from(["ln", "log10", "db"])
scales = st.floats(0.01, 10.0)
offsets = st.floats(-10.0, 10.0)


@given(logs, logs, scales, scales, offsets, offsets, st.floats(1e-6, 100.0))
def test_a_bridge_gives_what_the_wanted_formula_gives(
    log_one: Literal["ln", "log10", "db"],
    log_two: Literal["ln", "log10", "db"],
    scale_one: float,
    scale_two: float,
    offset_one: float,
    offset_two: float,
    magnitude: float,
) -> None:
    one = replace(MEL, log=log_one, scale=scale_one, offset=offset_one)
    two = replace(MEL, log=log_two, scale=scale_two, offset=offset_two)
    verdict = compare(one, two)
    scale, offset = (verdict.scale, verdict.offset) if isinstance(verdict, Bridge) else (1.0, 0.0)
    expected = mel_value(two, magnitude)
    assert scale * mel_value(one, magnitude) + offset == pytest.approx(expected, rel=1e-6, abs=1e-3)


def test_another_floor_is_lossy_and_says_so() -> None:
    verdict = compare(replace(MEL, floor=1e-2), MEL)
    assert isinstance(verdict, Lossy)
    assert "floor is 0.01, wanted 1e-05" in verdict.reasons[0]


def test_a_clipped_mel_is_lossy_where_more_is_wanted() -> None:
    verdict = compare(replace(MEL, clip=(0.0, 1.0)), MEL)
    assert isinstance(verdict, Lossy)
    assert "clip is (0.0, 1.0)" in verdict.reasons[0]


def test_a_refusal_names_every_field_that_differs() -> None:
    with pytest.raises(ContractError) as refusal:
        compare(MEL, replace(MEL, sample_rate=22050, hop=275, f_max=7600.0))
    for text in (
        "sample_rate is 16000, wanted 22050",
        "hop is 256, wanted 275",
        "f_max is 8000.0, wanted 7600.0",
    ):
        assert text in str(refusal.value)


@pytest.mark.parametrize(
    "wanted",
    [
        replace(MEL, log="none"),
        replace(MEL, power=2),
        replace(MEL, mel_scale="htk"),
        replace(MEL, pad="same"),
    ],
)
def test_what_no_affine_map_can_mend_is_refused(wanted: FeatureSpec) -> None:
    with pytest.raises(ContractError, match="do not fit"):
        compare(MEL, wanted)


def test_the_same_clip_on_another_scale_loses_something() -> None:
    clipped = replace(MEL, clip=(0.0, 1.0))
    assert compare(clipped, clipped) == Exact()
    found = compare(clipped, replace(clipped, scale=2 * MEL.scale))
    assert isinstance(found, Lossy)
    assert "another scale" in str(found)


def test_learned_frames_of_other_weights_are_refused() -> None:
    with pytest.raises(ContractError, match='encoder is "aaaa", wanted "bbbb"'):
        compare(LEARNED, replace(LEARNED, encoder="bbbb"))


def test_learned_frames_are_no_mel() -> None:
    with pytest.raises(ContractError, match='kind is "learned", wanted "mel"'):
        compare(LEARNED, MEL)


def test_a_waveform_joins_only_its_like() -> None:
    assert compare(WAVEFORM, replace(WAVEFORM)) == Exact()
    with pytest.raises(ContractError, match="sample_rate is 16000, wanted 22050"):
        compare(WAVEFORM, replace(WAVEFORM, sample_rate=22050))
    for other in (MEL, LEARNED):
        with pytest.raises(ContractError, match=f'kind is "waveform", wanted "{other.kind}"'):
            compare(WAVEFORM, other)
    with pytest.raises(ContractError, match="A waveform has hop 1 and dim 1, not 320 and 1"):
        replace(WAVEFORM, hop=320)
    assert WAVEFORM.frames(16000) == 16000


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"hop": 0}, "hop must be positive"),
        ({"dim": 10**9}, "dim must be at most"),
        ({"n_fft": 10**9}, "n_fft must be at most"),
        ({"f_max": 9000.0}, "half the sample rate"),
        ({"f_min": 8000.0}, "must rise"),
        ({"window": 2048}, "window must lie"),
        ({"floor": 0.0}, "floor above 0"),
    ],
)
def test_impossible_specs_are_refused(change: dict[str, float], text: str) -> None:
    with pytest.raises(ContractError, match=text):
        replace(MEL, **change)  # type: ignore[arg-type]


def test_frames_of_a_second() -> None:
    # librosa: 1 + floor(L / hop) frames when centred; HiFi-GAN pads (n_fft - hop) / 2: floor(L / hop).
    assert MEL.frames(16000) == 63
    assert replace(MEL, pad="same").frames(16000) == 62
    with pytest.raises(ContractError, match="Only its network knows"):
        LEARNED.frames(16000)
    assert MEL.frame_rate == 62.5
