"""Front ends against librosa, against the published fingerprints and against arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import scipy.signal
import soundfile
import torch

from timbrel.audio.mel import PRESETS, MelSpectrogram, centres, compress, expand, filterbank
from timbrel.contract import FeatureSpec
from timbrel.errors import ContractError

LN_FLOOR = -11.512925


def autovc_prepare(samples: np.ndarray) -> np.ndarray:
    """High-pass with the coefficients published for 30 Hz at 16 kHz, then 0.96."""
    b, a = scipy.signal.butter(5, 30 / 8000, "high")
    np.testing.assert_allclose(b, 0.98111838 * np.array([1, -5, 10, -10, 5, -1]), rtol=1e-7)
    return scipy.signal.filtfilt(b, a, samples) * 0.96


def unchanged(samples: np.ndarray) -> np.ndarray:
    return samples


def natural_log(mel: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(1e-5, mel))


def autovc_values(mel: np.ndarray) -> np.ndarray:
    return np.clip((20 * np.log10(np.maximum(1e-5, mel)) - 16 + 100) / 100, 0, 1)


def reference(
    samples: np.ndarray,
    *,
    rate: int,
    n_fft: int,
    hop: int,
    bins: int = 80,
    band: tuple[float, float] = (0.0, 8000.0),
    same: bool = False,
    eps: float = 0.0,
    power: int = 1,
    htk: bool = False,
    prepare: Callable[[np.ndarray], np.ndarray] = unchanged,
    values: Callable[[np.ndarray], np.ndarray] = natural_log,
) -> np.ndarray:
    """A row of the table of published contracts, (T, bins), by librosa in double precision."""
    padding = (n_fft - hop) // 2 if same else n_fft // 2
    padded = np.pad(prepare(samples), padding, mode="reflect")
    spectrum = np.abs(librosa.stft(padded, n_fft=n_fft, hop_length=hop, window="hann", center=False))
    if eps or power == 2:
        spectrum = spectrum**2 + eps
    if eps:
        spectrum = np.sqrt(spectrum)
    low, high = band
    scale: dict[str, Any] = {"htk": True, "norm": None} if htk else {}
    mel = librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=bins, fmin=low, fmax=high, dtype=np.float64, **scale
    )
    return values(mel @ spectrum).T


ROWS: dict[str, dict[str, Any]] = {
    "autovc-16k": {
        "rate": 16000,
        "n_fft": 1024,
        "hop": 256,
        "band": (90.0, 7600.0),
        "prepare": autovc_prepare,
        "values": autovc_values,
    },
    "simple-autovc-16k": {
        "rate": 16000,
        "n_fft": 1024,
        "hop": 256,
        "prepare": autovc_prepare,
        "values": lambda mel: (natural_log(mel) + 12) / 12,
    },
    "hifigan-22k": {"rate": 22050, "n_fft": 1024, "hop": 256, "same": True, "eps": 1e-9},
    "hifigan-16k": {"rate": 16000, "n_fft": 1024, "hop": 256, "same": True, "eps": 1e-9},
    "tacotron-22k": {"rate": 22050, "n_fft": 1024, "hop": 256},
    "vqvc-22k": {"rate": 22050, "n_fft": 1024, "hop": 256},
    "vocgan-22k": {"rate": 22050, "n_fft": 1024, "hop": 256},
    "resemblyzer-16k": {
        "rate": 16000,
        "n_fft": 400,
        "hop": 160,
        "bins": 40,
        "power": 2,
        "values": unchanged,
    },
    "knn-vc": {"rate": 16000, "n_fft": 1024, "hop": 320, "same": True},
    "timbrel-16k": {"rate": 16000, "n_fft": 512, "hop": 128},
    "vocos-24k": {
        "rate": 24000,
        "n_fft": 1024,
        "hop": 256,
        "bins": 100,
        "band": (0.0, 12000.0),
        "values": lambda mel: np.log(np.maximum(1e-7, mel)),
        "htk": True,
    },
}


@pytest.fixture(scope="module")
def speechlike() -> np.ndarray:
    """1.3 s of a gliding voice with a pause and faint noise: loud and quiet bins side by side."""
    time = np.arange(21000) / 16000
    phase = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * time)) / 16000
    voice = sum(np.sin(k * phase) / k for k in range(1, 25)) * (np.sin(2 * np.pi * 1.5 * time) > 0)
    return 0.2 * voice + 1e-3 * np.random.default_rng(0).standard_normal(len(time))


def frames_of(spec: FeatureSpec, samples: np.ndarray) -> np.ndarray:
    """(T, dim) in double precision."""
    return MelSpectrogram(spec).double()(torch.from_numpy(samples)[None])[0].numpy()


def test_every_preset_has_a_published_row() -> None:
    assert set(ROWS) == set(PRESETS)


@pytest.mark.parametrize("name", ROWS)
def test_presets_equal_librosa(name: str, speechlike: np.ndarray) -> None:
    expected = reference(speechlike, **ROWS[name])
    np.testing.assert_allclose(frames_of(PRESETS[name], speechlike), expected, atol=2e-5)


@pytest.mark.parametrize("name", ROWS)
def test_single_precision_equals_librosa_too(name: str) -> None:
    noise = 0.1 * np.random.default_rng(1).standard_normal(12000)
    expected = reference(noise, **ROWS[name])
    given = MelSpectrogram(PRESETS[name])(torch.from_numpy(noise).float()[None])[0].numpy()
    np.testing.assert_allclose(given, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(set(ROWS) - {"vocos-24k"}))
def test_filterbanks_equal_librosa(name: str) -> None:
    spec = PRESETS[name]
    expected = librosa.filters.mel(
        sr=spec.sample_rate, n_fft=spec.n_fft, n_mels=spec.dim, fmin=spec.f_min, fmax=spec.f_max
    )
    np.testing.assert_allclose(filterbank(spec).numpy(), expected, atol=1e-8)


def test_htk_scale_without_norm_equals_librosa() -> None:
    """What Vocos and torchaudio use."""
    expected = librosa.filters.mel(sr=24000, n_fft=1024, n_mels=100, fmax=12000, htk=True, norm=None)
    np.testing.assert_allclose(filterbank(PRESETS["vocos-24k"]).numpy(), expected, atol=1e-6)


def test_bands_have_their_tops_where_librosa_puts_them() -> None:
    expected = librosa.mel_frequencies(n_mels=82, fmin=0, fmax=8000)[1:-1]
    np.testing.assert_allclose(centres(PRESETS["timbrel-16k"]), expected)


def test_window_shorter_than_transform_is_centred_as_in_librosa() -> None:
    spec = replace(PRESETS["timbrel-16k"], window=400)
    noise = 0.1 * np.random.default_rng(1).standard_normal(12000)
    padded = np.pad(noise, 256, mode="reflect")
    spectrum = np.abs(librosa.stft(padded, n_fft=512, hop_length=128, win_length=400, center=False))
    mel = librosa.filters.mel(sr=16000, n_fft=512, n_mels=80, fmax=8000, dtype=np.float64)
    np.testing.assert_allclose(frames_of(spec, noise), natural_log(mel @ spectrum).T, atol=1e-5)


def test_zero_padding_changes_only_the_edges(speechlike: np.ndarray) -> None:
    reflecting = PRESETS["resemblyzer-16k"]
    zeros = frames_of(replace(reflecting, pad="center-zero"), speechlike)
    expected = librosa.feature.melspectrogram(
        y=speechlike, sr=16000, n_fft=400, hop_length=160, n_mels=40, pad_mode="constant"
    )
    np.testing.assert_allclose(zeros, expected.T, atol=1e-5)
    different = np.abs(zeros - frames_of(reflecting, speechlike)).max(axis=1) > 1e-6
    assert set(np.flatnonzero(different)) <= {0, 1, len(zeros) - 2, len(zeros) - 1}


# min, 5 %, median, mean, 95 %, max, std of VCTK p225_003 (published_weights.md, 1.2).
FINGERPRINTS = {
    "autovc-16k": (376, 0.000, 0.193, 0.432, 0.439, 0.720, 1.000, 0.154),
    "simple-autovc-16k": (376, 0.100, 0.379, 0.607, 0.614, 0.881, 1.149, 0.147),
    "hifigan-22k": (517, -11.35, -7.858, -4.897, -4.838, -1.512, 1.775, 1.842),
    "tacotron-22k": (518, -11.51, -7.869, -4.900, -4.843, -1.510, 1.767, 1.849),
    "vqvc-22k": (518, -11.51, -7.869, -4.900, -4.843, -1.510, 1.767, 1.849),
    "vocgan-22k": (518, -11.51, -7.869, -4.900, -4.843, -1.510, 1.767, 1.849),
    "resemblyzer-16k": (602, 0.000, 0.000, 0.0002, 0.182, 0.509, 49.57, 1.512),
    "knn-vc": (300, -10.25, -7.393, -4.676, -4.591, -1.394, 1.805, 1.760),
    "vocos-24k": (564, -16.12, -12.88, -1.038, -2.185, 2.148, 5.322, 4.314),
}


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_fingerprints_of_a_real_utterance(name: str, corpus: Path) -> None:
    samples, rate = soundfile.read(corpus / "vctk" / "p225" / "p225_003.flac")
    spec = PRESETS[name]
    if rate != spec.sample_rate:
        samples = librosa.resample(samples, orig_sr=rate, target_sr=spec.sample_rate)
    given = frames_of(spec, samples)
    frames, *expected = FINGERPRINTS[name]
    assert given.shape == (frames, spec.dim)
    low, five, median, ninety_five, high = np.quantile(given, [0, 0.05, 0.5, 0.95, 1])
    figures = [low, five, median, given.mean(), ninety_five, high, given.std()]
    np.testing.assert_allclose(figures, expected, atol=0.02)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("samples", [1, 200, 399, 1024, 5119, 5120, 5121])
def test_frame_counts(name: str, samples: int) -> None:
    spec = PRESETS[name]
    row = ROWS[name]
    expected = samples // row["hop"] if row.get("same") else 1 + samples // row["hop"]
    frames = MelSpectrogram(spec)(torch.full((1, samples), 0.1))
    assert frames.shape == (1, expected, row.get("bins", 80))
    assert spec.frames(samples) == expected
    assert torch.isfinite(frames).all()


@pytest.mark.parametrize(
    ("name", "floor"),
    [
        ("autovc-16k", 0.0),
        ("simple-autovc-16k", 0.040590),
        ("hifigan-22k", LN_FLOOR),
        ("tacotron-22k", LN_FLOOR),
        ("knn-vc", LN_FLOOR),
        ("timbrel-16k", LN_FLOOR),
        ("resemblyzer-16k", 0.0),
        ("vocos-24k", -16.118096),
    ],
)
def test_digital_silence_gives_the_declared_floor(name: str, floor: float) -> None:
    frames = MelSpectrogram(PRESETS[name])(torch.zeros(1, 8000))
    torch.testing.assert_close(frames, torch.full_like(frames, floor), atol=1e-6, rtol=0)


def test_epsilon_within_the_root_raises_silence() -> None:
    """FreeVC's 1e-6: the quietest mel bins of digital silence come out at -9.43."""
    spec = replace(PRESETS["timbrel-16k"], n_fft=1280, window=1280, hop=320, pad="same", sqrt_eps=1e-6)
    assert MelSpectrogram(spec)(torch.zeros(1, 8000)).mean().item() == pytest.approx(-9.43, abs=0.02)


def test_eighty_frames_of_eighty_bins_are_frames_first() -> None:
    """The shape that hides a transposition: a steady tone is constant along time, not along bins."""
    spec = PRESETS["tacotron-22k"]
    time = torch.arange(79 * spec.hop) / spec.sample_rate
    frames = MelSpectrogram(spec)(torch.sin(2 * torch.pi * 1000 * time)[None])[0]
    assert frames.shape == (80, 80)
    centres = librosa.mel_frequencies(n_mels=82, fmin=0, fmax=8000)[1:-1]
    assert centres[frames[4:-4].argmax(dim=1)] == pytest.approx(1000, abs=40)


@pytest.mark.parametrize("samples", [1, 2, 50, 512, 513])
def test_reflection_of_inputs_shorter_than_the_padding(samples: int) -> None:
    noise = np.random.default_rng(2).standard_normal(samples)
    expected = reference(noise, **ROWS["tacotron-22k"])
    np.testing.assert_allclose(frames_of(PRESETS["tacotron-22k"], noise), expected, atol=1e-4)


def test_batch_rows_do_not_touch_each_other() -> None:
    front_end = MelSpectrogram(PRESETS["timbrel-16k"])
    rows = torch.randn(3, 4000, generator=torch.Generator().manual_seed(0))
    separate = torch.cat([front_end(row[None]) for row in rows])
    torch.testing.assert_close(front_end(rows), separate)


def test_gradients_reach_the_waveform_even_in_silence() -> None:
    waveform = torch.zeros(1, 4000, requires_grad=True)
    MelSpectrogram(PRESETS["hifigan-16k"])(waveform + 1e-3).sum().backward()
    assert waveform.grad is not None
    assert torch.isfinite(waveform.grad).all()
    assert waveform.grad.abs().sum() > 0


def test_autocast_does_not_coarsen_a_front_end() -> None:
    front_end = MelSpectrogram(PRESETS["timbrel-16k"])
    waveform = torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = front_end(waveform)
    assert torch.equal(under_autocast, front_end(waveform))


def test_a_front_end_adds_nothing_to_a_checkpoint() -> None:
    assert MelSpectrogram(PRESETS["autovc-16k"]).state_dict() == {}


@pytest.mark.parametrize("name", ["autovc-16k", "simple-autovc-16k", "timbrel-16k", "resemblyzer-16k"])
def test_expand_undoes_compress(name: str) -> None:
    mel = torch.logspace(-4, 0.5, 50)
    torch.testing.assert_close(expand(compress(mel, PRESETS[name]), PRESETS[name]), mel)


def test_autovc_values_as_natural_logarithms() -> None:
    """ln amplitude = 11.512925 S - 9.670857 (published_weights.md, 1.1)."""
    values = torch.tensor([0.2, 0.5, 0.9])
    torch.testing.assert_close(
        expand(values, PRESETS["autovc-16k"]).log(), 11.512925 * values - 9.670857, atol=1e-4, rtol=0
    )


def test_a_learned_spec_is_no_front_end() -> None:
    learned = FeatureSpec(kind="learned", sample_rate=16000, hop=320, dim=1024)
    with pytest.raises(ContractError, match="learned"):
        MelSpectrogram(learned)


def test_another_window_is_refused_not_ignored() -> None:
    with pytest.raises(ContractError, match="window_fn"):
        MelSpectrogram(replace(PRESETS["timbrel-16k"], window_fn="hamming"))


@pytest.mark.parametrize("shape", [(4000,), (1, 0), (1, 1, 4000)])
def test_anything_but_a_batch_of_waveforms_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="waveform"):
        MelSpectrogram(PRESETS["timbrel-16k"])(torch.zeros(shape))
