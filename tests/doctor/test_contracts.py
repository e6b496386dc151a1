"""Joints on paper: every field that differs is found, named, and explained; what can be bridged is fine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from timbrel.audio.mel import PRESETS
from timbrel.contract import EmbeddingSpec, FeatureSpec
from timbrel.doctor.contracts import examine_joint
from timbrel.doctor.findings import Area, Finding, Severity
from timbrel.methods.joints import Joint

MEL = PRESETS["hifigan-16k"]
WAVEFORM = FeatureSpec(kind="waveform", sample_rate=16000, hop=1, dim=1)
#: What two published speaker encoders declare: one size, unit length, and nothing else in common.
GRU = EmbeddingSpec("gru-embedder", 256, True, PRESETS["tacotron-22k"])
CONVGRU = EmbeddingSpec("convgru-embedder", 256, True, WAVEFORM)


def found(given: Any, wanted: Any) -> list[Finding]:
    return list(examine_joint(Joint("converter", "vocoder", given, wanted, bridged=True)))


@pytest.mark.parametrize(
    ("trap", "changed"),
    [
        (1, {"mel_scale": "htk"}),
        (2, {"mel_norm": "none"}),
        (6, {"sample_rate": 22050}),
        (7, {"sample_rate": 22050}),
        (8, {"hop": 320}),
        (8, {"hop": 200}),
        (9, {"f_min": 90.0}),
        (10, {"f_max": 7600.0}),
        (11, {"power": 2}),
        (13, {"sqrt_eps": 1e-6}),
        (14, {"pad": "center"}),
        (15, {"pad": "center-zero"}),
        (16, {"window": 800}),
        (36, {"dim": 100}),
    ],
)
def test_a_field_that_no_rescaling_mends_is_a_fault(trap: int, changed: dict[str, Any]) -> None:
    (finding,) = found(replace(MEL, **changed), MEL)
    assert finding.severity is Severity.FAULT
    assert trap in finding.traps
    for name, value in changed.items():
        shown = f'"{value}"' if isinstance(value, str) else value
        assert f"{name} is {shown}" in finding.what


def test_every_field_that_differs_is_named() -> None:
    (finding,) = found(PRESETS["autovc-16k"], MEL)
    for name in ("f_min", "f_max", "log", "scale", "offset", "clip", "highpass_hz", "prescale", "pad"):
        assert f"{name} is" in finding.what
    assert {4, 9, 10, 14} <= set(finding.traps)


@pytest.mark.parametrize(
    "changed",
    [
        {"log": "log10"},  # trap 3
        {"log": "db", "scale": 0.01, "offset": 0.84},  # trap 4
        {"scale": 1 / 12, "offset": 1.0},  # trap 5
        {},
    ],
)
def test_what_an_affine_map_mends_is_no_finding(changed: dict[str, Any]) -> None:
    assert found(replace(MEL, **changed), MEL) == []


@pytest.mark.parametrize("floor", [1e-7, 1e-9, 1e-3])
def test_another_floor_is_a_risk(floor: float) -> None:
    (finding,) = found(replace(MEL, floor=floor), MEL)
    assert finding.severity is Severity.RISK
    assert finding.traps == (12,)


@pytest.mark.parametrize(
    ("trap", "changed"),
    [
        (18, {"encoder": "0123456789abcdef"}),
        (19, {"l2_normalised": False}),
        (20, {"input": PRESETS["tacotron-22k"]}),
    ],
)
def test_vectors_of_another_space_are_a_fault(trap: int, changed: dict[str, Any]) -> None:
    wanted = EmbeddingSpec("fedcba9876543210", 256, True, WAVEFORM)
    joint = Joint("speaker encoder", "converter", replace(wanted, **changed), wanted)
    (finding,) = examine_joint(joint)
    assert (finding.severity, finding.area) == (Severity.FAULT, Area.VOICE)
    assert trap in finding.traps


def test_convgru_vectors_in_a_model_of_gru_vectors_squeak() -> None:
    (finding,) = examine_joint(Joint("speaker encoder", "converter", CONVGRU, GRU))
    assert 'encoder is "convgru-embedder", wanted "gru-embedder"' in finding.what
    assert "squeaks" in finding.why
    assert "the waveform at 16000 Hz and a mel at 22050 Hz" in finding.why


def test_frames_of_another_layer_are_a_fault() -> None:
    frames = FeatureSpec(kind="learned", sample_rate=16000, hop=320, dim=1024, encoder="0123456789abcdef")
    other = replace(frames, encoder="fedcba9876543210")
    (finding,) = found(frames, other)
    assert 35 in finding.traps
    (finding,) = found(replace(frames, dim=768), frames)  # WavLM Base instead of Large
    assert 36 in finding.traps
