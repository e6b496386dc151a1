"""Recordings with something wrong, each made from real speech: found, with its number; sound ones are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.doctor.speech import FIRST, SECOND, samples, write

from timbrel.audio.resample import resample
from timbrel.doctor.complaints import complaints
from timbrel.doctor.findings import Finding, Severity
from timbrel.doctor.recording import listen
from timbrel.errors import AudioError


def found(path: Path, *, reference: bool = False) -> list[Finding]:
    return list(complaints(listen(path), reference=reference))


def only(path: Path, trap: int, *, reference: bool = False) -> Finding:
    """The one finding, which belongs to that trap."""
    findings = found(path, reference=reference)
    assert [trap in finding.traps for finding in findings] == [True], findings
    return findings[0]


@pytest.mark.parametrize("path", [FIRST, SECOND])
@pytest.mark.parametrize("reference", [True, False])
def test_nothing_is_wrong_with_the_shipped_recordings(path: Path, reference: bool) -> None:
    assert found(path, reference=reference) == []


def test_the_corpus_is_sound(corpus: Path) -> None:
    for path in sorted(corpus.rglob("p22*_003.flac"))[:2]:
        assert not [one for one in found(path) if one.severity is not Severity.MINOR]


def test_an_offset_is_found(tmp_path: Path) -> None:
    finding = only(write(tmp_path / "a.wav", samples() * 0.8 + 0.05), 21)
    assert "+0.05" in finding.what


def test_clipping_is_found(tmp_path: Path) -> None:
    loud = np.clip(6 * samples(), -0.95, 0.95)
    assert any(22 in one.traps and "flat tops" in one.what for one in found(write(tmp_path / "a.wav", loud)))


def test_samples_beyond_full_scale_are_found(tmp_path: Path) -> None:
    hot = samples() / np.abs(samples()).max() * 1.6
    assert any(
        22 in one.traps and "1.60" in one.what
        for one in found(write(tmp_path / "a.wav", hot, 16000, "FLOAT"))
    )


def test_samples_beyond_any_scale_are_found(tmp_path: Path) -> None:
    (one,) = found(write(tmp_path / "a.wav", 1e30 * samples(), 16000, "FLOAT"))
    assert 28 in one.traps
    assert "where full scale is 1" in one.what


@pytest.mark.parametrize("gain", [0.02, 8.0])
def test_a_level_out_of_range_is_found(tmp_path: Path, gain: float) -> None:
    audio = np.tanh(gain * samples()) * 0.9 if gain > 1 else gain * samples()
    assert any(23 in one.traps for one in found(write(tmp_path / "a.wav", audio, 16000, "FLOAT")))


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_a_telephone_recording_keeps_its_rate(tmp_path: Path, rate: int) -> None:
    telephone = resample(samples(8000), 8000, rate)
    finding = only(write(tmp_path / "a.wav", telephone, rate), 24)
    assert "effective rate is 8000 Hz, a telephone" in finding.what
    assert finding.severity is Severity.RISK


def test_an_upsampled_recording_keeps_its_rate(tmp_path: Path) -> None:
    finding = only(write(tmp_path / "a.wav", resample(samples(16000), 16000, 48000), 48000), 24)
    assert "says 48000 Hz" in finding.what
    assert "effective rate is 16000 Hz" in finding.what
    assert finding.severity is Severity.MINOR


@pytest.mark.parametrize("label", [48000, 96000])
def test_a_relabelled_recording_is_found(tmp_path: Path, label: int) -> None:
    findings = found(write(tmp_path / "a.wav", samples(16000), label))
    assert any({6, 7} <= set(one.traps) and f"header says {label} Hz" in one.what for one in findings)


def test_pauses_in_a_reference_are_found(tmp_path: Path) -> None:
    audio = samples()
    padded = np.concatenate([np.zeros(16000), audio, np.zeros(2 * len(audio))])
    padded += 1e-5 * np.random.default_rng(0).standard_normal(len(padded))
    assert any(25 in one.traps for one in found(write(tmp_path / "a.wav", padded), reference=True))


def test_hardly_any_speech_is_found(tmp_path: Path) -> None:
    audio = np.concatenate([samples()[8000:20000], np.zeros(4000)])
    findings = found(write(tmp_path / "a.wav", audio), reference=True)
    assert [one.severity for one in findings if 26 in one.traps] == [Severity.RISK]


def test_no_speech_is_found(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(32000)
    (finding,) = found(write(tmp_path / "a.wav", noise))
    assert finding.severity is Severity.FAULT
    assert "0.0 s of speech" in finding.what


def test_noise_is_found(tmp_path: Path) -> None:
    audio = samples()
    noise = 0.3 * audio.std() * np.random.default_rng(0).standard_normal(len(audio))
    assert any("It is noisy" in one.what for one in found(write(tmp_path / "a.wav", audio + noise)))


def test_channels_against_each_other_are_found(tmp_path: Path) -> None:
    audio = samples()
    other = -audio + 0.002 * np.random.default_rng(0).standard_normal(len(audio))
    findings = found(write(tmp_path / "a.wav", np.stack([audio, other], axis=1)))
    assert any(27 in one.traps and "against each other" in one.what for one in findings)


def test_channels_that_differ_are_found(tmp_path: Path) -> None:
    one, other = samples(), samples(path=SECOND)
    shortest = min(len(one), len(other))
    path = write(tmp_path / "a.wav", np.stack([one[:shortest], other[:shortest]], axis=1))
    assert any(27 in finding.traps and "differ" in finding.what for finding in found(path))


def test_two_equal_channels_are_sound(tmp_path: Path) -> None:
    assert found(write(tmp_path / "a.wav", np.stack([samples(), samples()], axis=1))) == []


@pytest.mark.parametrize("gain", [32768.0, 1 / 32768])
def test_integers_taken_for_floats_are_found(tmp_path: Path, gain: float) -> None:
    findings = found(write(tmp_path / "a.wav", gain * samples(), 16000, "FLOAT"))
    assert any(28 in one.traps and one.severity is Severity.FAULT for one in findings)


def test_integers_that_ran_over_are_found(tmp_path: Path) -> None:
    loud = (samples() / np.abs(samples()).max() * 1.2 * 32768).astype(np.int64)
    wrapped = ((loud + 32768) % 65536 - 32768).astype(np.int16)
    assert any(52 in one.traps for one in found(write(tmp_path / "a.wav", wrapped)))


def test_samples_that_are_no_numbers_are_found(tmp_path: Path) -> None:
    audio = samples()
    audio[100] = np.nan
    (finding,) = found(write(tmp_path / "a.wav", audio, 16000, "FLOAT"))
    assert "not finite" in finding.what


def test_digital_silence_is_found(tmp_path: Path) -> None:
    (finding,) = found(write(tmp_path / "a.wav", np.zeros(16000)))
    assert "silent" in finding.what


def test_what_is_no_audio_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no audio")
    with pytest.raises(AudioError):
        listen(tmp_path / "a.wav")
