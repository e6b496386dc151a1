"""Features are known by their values, and what they were made with by the recording they are of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.doctor.speech import samples

from timbrel.audio.io import Waveform
from timbrel.audio.mel import PRESETS, MelSpectrogram
from timbrel.contract import EmbeddingSpec, FeatureSpec
from timbrel.doctor import features, given
from timbrel.doctor.findings import Finding, Severity
from timbrel.errors import AudioError

WANTED = PRESETS["hifigan-16k"]
VOCOS = replace(
    PRESETS["tacotron-22k"],
    sample_rate=24000,
    dim=100,
    f_max=12000.0,
    floor=1e-7,
    mel_scale="htk",
    mel_norm="none",
)


def speech(rate: int = 16000, *, pause: bool = True) -> np.ndarray:
    """Real speech; with a digitally silent pause it reaches every floor."""
    audio = samples(rate)[: 3 * rate].copy()
    if pause:
        audio[rate : rate + rate // 4] = 0.0
    return audio


def mel(spec: FeatureSpec, audio: np.ndarray) -> np.ndarray:
    """(T, D)."""
    return MelSpectrogram(spec)(torch.from_numpy(audio)[None])[0].numpy()


def diagnosed(
    values: np.ndarray, wanted: FeatureSpec = WANTED, audio: np.ndarray | None = None, rate: int = 16000
) -> list[Finding]:
    waveform = None if audio is None else Waveform(torch.from_numpy(audio), rate)
    return list(given.array_findings(features.examine(Path("mel.npy"), values), wanted, waveform))


@pytest.mark.parametrize("pause", [True, False])
@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("ln", PRESETS["hifigan-16k"]),
        ("ln", PRESETS["tacotron-22k"]),
        ("db", PRESETS["autovc-16k"]),
        ("simple-autovc", PRESETS["simple-autovc-16k"]),
        ("log10", replace(WANTED, log="log10")),
        ("log10", replace(WANTED, log="log10", floor=1e-10)),
        ("ln-power", replace(WANTED, power=2, sqrt_eps=0.0)),
        ("linear", PRESETS["resemblyzer-16k"]),
    ],
)
def test_kinds_are_recognised(kind: str, spec: FeatureSpec, pause: bool) -> None:
    assert features.recognise(mel(spec, speech(spec.sample_rate, pause=pause))) == kind
    assert features.kind_of(spec) == kind


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("gru", lambda mel: (mel + 5.76) / 5.76),
        ("vocgan", lambda mel: (mel + 5.0) / 5.0),
        ("standardised", lambda mel: (mel - mel.mean(axis=0)) / mel.std(axis=0)),
    ],
)
def test_normalisations_are_recognised(kind: str, values: Any) -> None:
    assert features.recognise(values(mel(PRESETS["tacotron-22k"], speech(22050)))) == kind


def test_vocos_has_another_floor() -> None:
    assert features.recognise(mel(VOCOS, speech(24000))) in ("ln-other-floor", "ln-power")


def test_the_table_of_one_utterance(corpus: Path) -> None:
    # p225_003 of autovc's repository is no recording of ours; another of the same speaker has the ranges
    # that published_weights.md gives for ln (std 1.77) and for dB (bounded by 0 and 1, median 0.43).
    import soundfile

    audio, rate = soundfile.read(next(iter(sorted(corpus.rglob("p225_003.flac")))), dtype="float32")
    assert rate == 16000
    natural, decibels = mel(PRESETS["simple-autovc-16k"], audio), mel(PRESETS["autovc-16k"], audio)
    assert features.recognise(natural) == "simple-autovc"
    assert features.recognise(decibels) == "db"


def test_features_as_wanted_are_sound() -> None:
    audio = speech()
    assert diagnosed(mel(WANTED, audio).astype(np.float32), audio=audio) == []


@pytest.mark.parametrize(
    ("trap", "spec"),
    [
        (3, replace(WANTED, log="log10")),
        (4, PRESETS["autovc-16k"]),
        (5, PRESETS["simple-autovc-16k"]),
        (11, replace(WANTED, power=2, sqrt_eps=0.0)),
        (12, replace(WANTED, floor=1e-9, sqrt_eps=0.0)),
    ],
)
def test_another_kind_is_found_without_the_recording(trap: int, spec: FeatureSpec) -> None:
    findings = diagnosed(mel(spec, speech()))
    assert any(trap in one.traps and one.severity is Severity.FAULT for one in findings)


@pytest.mark.parametrize(
    ("trap", "changed"),
    [
        (1, {"mel_scale": "htk"}),
        (2, {"mel_norm": "none"}),
        (3, {"log": "log10"}),
        (9, {"f_min": 90.0}),
        (9, {"f_min": 125.0}),
        (10, {"f_max": 7600.0}),
        (11, {"power": 2, "sqrt_eps": 0.0}),
        (14, {"pad": "center"}),
    ],
)
def test_what_features_were_made_with_is_found(trap: int, changed: dict[str, Any]) -> None:
    audio = speech(pause=False)
    findings = diagnosed(mel(replace(WANTED, **changed), audio), audio=audio)
    assert {each for one in findings for each in one.traps} == {trap}, findings


def test_eps_inside_the_root_is_found() -> None:
    # Digital silence has ln(sqrt(1e-6)) times the triangles' area in every bin.
    audio = speech()
    findings = diagnosed(mel(replace(WANTED, sqrt_eps=1e-6), audio), audio=audio)
    assert any(13 in one.traps and "sqrt_eps 1e-06 instead of 1e-09" in one.what for one in findings)


def test_a_zero_padded_front_end_is_found() -> None:
    wanted, audio = PRESETS["simple-autovc-16k"], speech(pause=False)[16000:18400]
    findings = diagnosed(mel(replace(wanted, pad="center-zero"), audio), wanted, audio)
    assert any(15 in one.traps for one in findings)


def test_audio_that_was_not_resampled_is_found() -> None:
    audio = speech(22050, pause=False)
    # The front end took 22.05 kHz for 16 kHz: as many frames as that many samples have.
    findings = diagnosed(mel(WANTED, audio), audio=audio, rate=22050)
    assert any(set(one.traps) & {6, 7, 8} for one in findings)


@pytest.mark.parametrize(("hop", "rate"), [(200, 16000), (320, 16000), (256, 22050)])
def test_another_frame_rate_is_found(hop: int, rate: int) -> None:
    made = mel(replace(WANTED, hop=hop, sample_rate=rate, pad="center"), speech(rate, pause=False))
    findings = diagnosed(made, audio=speech(pause=False))
    assert any(8 in one.traps and "frames for 3.00 s" in one.what for one in findings)


@pytest.mark.parametrize("frames", [80, 120])
def test_swapped_axes_are_found(frames: int) -> None:
    findings = diagnosed(mel(WANTED, speech(pause=False))[:frames].T)
    assert [one.traps for one in findings] == [(17,)]


def test_as_many_frames_as_bands_are_taken_as_they_are() -> None:
    assert diagnosed(mel(WANTED, speech(pause=False))[20:100]) == []


def test_half_precision_is_found() -> None:
    audio = speech(pause=False)
    (finding,) = diagnosed(mel(WANTED, audio).astype(np.float16), audio=audio)
    assert (finding.traps, finding.severity) == ((54,), Severity.MINOR)


def test_a_logarithm_without_a_floor_is_found() -> None:
    linear = mel(replace(WANTED, log="none", sqrt_eps=0.0), speech())
    with np.errstate(divide="ignore"):
        (finding,) = diagnosed(np.log10(linear))
    assert finding.traps == (12,)


def test_other_bands_are_found() -> None:
    (finding,) = diagnosed(mel(replace(WANTED, dim=40), speech()))
    assert finding.traps == (36,)


def test_statistics_that_were_not_undone_are_found() -> None:
    values = mel(WANTED, speech())
    findings = diagnosed((values - values.mean(axis=0)) / values.std(axis=0))
    assert any(38 in one.traps for one in findings)


SPACE = EmbeddingSpec("gru-embedder", 256, True, PRESETS["tacotron-22k"])


@pytest.mark.parametrize(
    ("trap", "vector"),
    [
        (18, np.abs(np.random.default_rng(0).standard_normal(256))),  # as behind Resemblyzer's ReLU
        (18, np.random.default_rng(0).standard_normal(192)),
        (19, np.full(256, 0.05) * np.resize([1.0, -1.0], 256)),  # a mean of ten, not re-normalised
        (20, np.zeros(256)),
    ],
)
def test_vectors_of_another_kind_are_found(trap: int, vector: np.ndarray) -> None:
    (finding,) = given.vector_findings(Path("voice.npy"), vector, SPACE)
    assert trap in finding.traps


def test_a_unit_vector_of_both_signs_is_sound() -> None:
    vector = np.random.default_rng(0).standard_normal(256)
    assert list(given.vector_findings(Path("v.npy"), vector / np.linalg.norm(vector), SPACE)) == []


@pytest.mark.parametrize("array", [np.array(["a"]), np.zeros((0, 80)), np.zeros((2, 3, 4))])
def test_what_are_no_features_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(AudioError):
        features.examine(tmp_path / "a.npy", features.load(tmp_path / "a.npy"))


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(AudioError, match="no array of numbers"):
        features.load(tmp_path / "a.npy")
