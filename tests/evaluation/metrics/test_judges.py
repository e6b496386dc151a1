"""The published judges, where their packages are installed: against those packages' own ways to be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from timbrel.errors import EvaluationError
from timbrel.evaluation.metrics import Metric, load
from timbrel.evaluation.metrics.moonshine import parts, read_tokens
from timbrel.evaluation.metrics.naturalness import windows
from timbrel.evaluation.metrics.phones import letters_of
from timbrel.evaluation.metrics.recordings import hear

from .cases import RATE, Given, write


def judge(name: str) -> Metric:
    try:
        return load(name)
    except EvaluationError as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("name", ["campp", "ge2e"])
def test_a_voice_is_nearest_to_itself(name: str, demo_pair: tuple[Path, Path]) -> None:
    first, second = demo_pair
    found = judge(name).measure(Given(first, second, second))
    assert found[f"{name}_target"] == pytest.approx(1, abs=1e-5)
    assert found[f"{name}_source"] < 0.75
    assert found[f"{name}_nearer"] == 1


def test_dnsmos_of_nine_seconds_is_the_packages(tmp_path: Path, demo_pair: tuple[Path, Path]) -> None:
    metric = judge("dnsmos")
    dnsmos = pytest.importorskip("speechmos.dnsmos")
    samples = np.resize(hear(demo_pair[0]), int(9.01 * RATE)).astype(np.float32)
    path = write(tmp_path / "nine.wav", samples)
    found, wanted = metric.measure(Given(path, path, path)), dnsmos.run(samples, RATE)
    for scale in ("p808", "ovrl", "sig", "bak"):
        assert found[f"dnsmos_{scale}"] == pytest.approx(float(wanted[f"{scale}_mos"]), abs=2e-3)


@pytest.mark.parametrize("name", ["distillmos", "dnsmos"])
def test_noise_lowers_every_opinion(name: str, tmp_path: Path, demo_pair: tuple[Path, Path]) -> None:
    metric = judge(name)
    samples, rate = soundfile.read(demo_pair[0])
    noise = np.random.default_rng(0).normal(0, 0.05, len(samples))
    noisy = write(tmp_path / "noisy.wav", samples + noise, rate)
    clean, worse = (metric.measure(Given(path, path, path)) for path in (demo_pair[0], noisy))
    assert clean
    assert all(worse[key] < clean[key] for key in clean)


def test_long_files_are_judged_by_three_windows_from_end_to_end() -> None:
    samples = np.arange(1000)
    found = windows(samples, 300)
    assert [(int(one[0]), len(one)) for one in found] == [(0, 300), (350, 300), (700, 300)]
    assert [len(one) for one in windows(samples, 600)] == [600, 600]
    assert [len(one) for one in windows(samples, 1000)] == [1000]


def test_long_files_are_cut_for_the_recogniser_where_they_are_quiet() -> None:
    samples = np.ones(40 * RATE, np.float32)
    samples[18 * RATE : 18 * RATE + RATE // 2] = 0
    cut = parts(samples, 24)
    assert sum(len(part) for part in cut) == len(samples)
    assert 18 * RATE < len(cut[0]) < 18.5 * RATE
    assert [len(part) for part in parts(samples, 60)] == [40 * RATE]


def test_tokens_have_their_length_before_them() -> None:
    # 200 is 72 + 128: the low seven bits with the mark, then one for the rest.
    stored = bytes([2]) + b"ab" + bytes([128 + 72, 1]) + b"x" * 200 + bytes([0, 1]) + b"c"
    assert read_tokens(stored) == [b"ab", b"x" * 200, b"", b"c"]


def test_phones_are_their_letters() -> None:
    assert letters_of(["ˈh", "ə", "ˈl", "oʊː", "<wb>"[:0], " t͡ʃ"]) == tuple("həloʊtʃ")


@pytest.mark.parametrize(("name", "rate"), [("moonshine", "moonshine_wer"), ("phones", "per")])
def test_words_and_phones_of_real_speech(name: str, rate: str, corpus: Path) -> None:
    """Hears what a reader read, nearly without errors."""
    metric = judge(name)
    path = corpus / "audio" / "ls-669" / "669-129074-0025.opus"
    text = "DURING WHICH REBECCA WAS LEFT TO THE SOCIETY OF MISTER JOSEPH"
    assert metric.measure(Given(path, path, path, text=text))[rate] < 20
    assert metric.measure(Given(path, path, path))[rate] == 0
    other = Given(path, path, path, text="An entirely different sentence about ships and the sea")
    assert metric.measure(other)[rate] > (80 if name == "moonshine" else 60)


def test_wavlm_gives_the_vectors_of_transformers(tmp_path: Path, demo_pair: tuple[Path, Path]) -> None:
    """By a small network with random weights, from a folder."""
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    config = transformers.WavLMConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        tdnn_dim=(8, 8, 8, 8, 8),
        xvector_output_dim=12,
    )
    network = transformers.WavLMForXVector(config).eval()
    network.save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path)
    metric = load(f"wavlm-sv:{tmp_path}")
    samples = hear(demo_pair[0])
    normal = torch.from_numpy((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7))[None]
    with torch.no_grad():
        wanted = torch.nn.functional.normalize(network(normal).embeddings, dim=-1)[0].numpy()
    np.testing.assert_allclose(metric.embed(demo_pair[0]), wanted, atol=1e-4)
    found = metric.measure(Given(*demo_pair, demo_pair[1]))
    assert found["wavlm_sv_target"] == pytest.approx(1, abs=1e-5)
