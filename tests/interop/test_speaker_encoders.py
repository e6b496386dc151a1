"""The four published speaker encoders: the same vectors as by their formulas, and at work in Timbrel."""

from __future__ import annotations

import csv
import importlib.util
from collections import defaultdict
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import soxr
import torch
from torch import Tensor, nn

from timbrel import checkpoint, registry
from timbrel.audio.mel import PRESETS
from timbrel.errors import CheckpointError, ConfigError
from timbrel.interop.family import Options
from timbrel.interop.importing import import_checkpoint
from timbrel.methods.listening import Listener
from timbrel.models import SpeakerEncoder
from timbrel.models.embedding import embed_audio

from . import formulas, publishing


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


#: family, what is saved, its parameters, its entries, the formula, and something to hear.
PUBLISHED = {
    "autovc-speaker-encoder": (
        lambda w: {"model_b": {f"module.{name}": tensor for name, tensor in w.items()}, "step": 3_000_000},
        publishing.D_VECTOR,
        12_257_536,
        formulas.d_vector,
        random(2, 9, 80).abs(),
    ),
    "gru-embedder": (
        lambda w: {f"model.{name}": tensor for name, tensor in w.items()},
        publishing.GRU,
        9_242_368,
        formulas.gru_embedder,
        3 * random(2, 9, 80) - 5,
    ),
    "convgru-embedder": (
        lambda w: {"model_state_dict": w, "steps": 700_000, "epoch": 12},
        publishing.CONVGRU,
        31_753_472,
        formulas.convgru_embedder,
        random(2, 2000),
    ),
    "resemblyzer": (
        lambda w: {"step": 1_564_501, "model_state": w, "optimizer_state": {"state": {}}},
        publishing.RESEMBLYZER,
        1_423_616,
        formulas.resemblyzer,
        random(2, 9, 40).square(),
    ),
}


def encoder_at(path: Path) -> nn.Module:
    network = registry.build(checkpoint.read(path))
    assert isinstance(network, SpeakerEncoder)
    return network


@pytest.mark.parametrize("family", PUBLISHED)
def test_the_published_network_is_the_same_here(tmp_path: Path, family: str) -> None:
    layout, shapes, parameters, formula, heard = PUBLISHED[family]
    weights = publishing.filled(shapes)
    save = publishing.save_legacy if family == "resemblyzer" else publishing.save_zip
    report = import_checkpoint(save(tmp_path / "published.pt", layout(weights)), out=tmp_path / "ours")
    assert (report.family, report.parameters) == (family, parameters)
    network = encoder_at(tmp_path / "ours")
    with torch.no_grad():
        made = network(heard[..., None] if heard.dim() == 2 else heard)
        wanted = formula(weights, heard)
    assert made.shape == (2, 256)
    torch.testing.assert_close(made, wanted, atol=1e-4, rtol=0)
    assert (wanted[0] - wanted[1]).abs().max() > 1e-3  # the inputs are told apart


def test_what_they_hear_and_how_long(tmp_path: Path) -> None:
    made = {}
    for family, (layout, shapes, *_) in PUBLISHED.items():
        path = publishing.save_zip(tmp_path / family, layout(publishing.filled(reduced(shapes))))
        made[family] = encoder_at(import_checkpoint(path).path)
    assert made["autovc-speaker-encoder"].spec_in == PRESETS["autovc-16k"]
    assert made["autovc-speaker-encoder"].window == 128
    assert made["gru-embedder"].spec_in == PRESETS["tacotron-22k"]
    assert made["convgru-embedder"].spec_in.kind == "waveform"
    assert made["resemblyzer"].spec_in == PRESETS["resemblyzer-16k"]
    assert made["resemblyzer"].window == 160
    assert [network.spec_out.l2_normalised for network in made.values()] == [False, True, True, True]


def reduced(shapes: publishing.Shapes) -> publishing.Shapes:
    """The same network with a 32nd of its recurrent and convolutional widths."""
    kept = {1, 2, 3, 10, 40, 80}
    return {
        name: tuple(size if size in kept else size // 32 for size in shape) for name, shape in shapes.items()
    }


def test_names_that_nobody_published(tmp_path: Path) -> None:
    path = publishing.save_zip(tmp_path / "x.pt", {"model": {"blocks.0.weight": torch.zeros(3)}})
    with pytest.raises(CheckpointError, match=r"no family that Timbrel knows.*model\.blocks\.0\.weight"):
        import_checkpoint(path)
    with pytest.raises(CheckpointError, match=r"resemblyzer: lstm\.weight_hh_l0 is missing"):
        import_checkpoint(path, "resemblyzer")


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    layout, shapes, *_ = PUBLISHED["resemblyzer"]
    weights = publishing.filled({**shapes, "lstm.weight_ih_l1": (1024, 255)})
    path = publishing.save_zip(tmp_path / "x.pt", layout(weights))
    with pytest.raises(CheckpointError, match=r"lstm\.weight_ih_l1 is \(1024, 255\), wanted \(1024, 256\)"):
        import_checkpoint(path)


def test_one_key_too_many_is_named(tmp_path: Path) -> None:
    layout, shapes, *_ = PUBLISHED["resemblyzer"]
    weights = publishing.filled({**shapes, "attention.weight": (2, 2)})
    with pytest.raises(CheckpointError, match=r"attention\.weight is not part of it"):
        import_checkpoint(publishing.save_zip(tmp_path / "x.pt", layout(weights)))


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    layout, shapes, *_ = PUBLISHED["resemblyzer"]
    weights = publishing.filled(shapes)
    weights["linear.bias"][7] = float("nan")
    with pytest.raises(CheckpointError, match=r"linear\.bias holds values that are not finite"):
        import_checkpoint(publishing.save_zip(tmp_path / "x.pt", layout(weights)))


def test_an_option_that_means_nothing(tmp_path: Path) -> None:
    layout, shapes, *_ = PUBLISHED["resemblyzer"]
    path = publishing.save_zip(tmp_path / "x.pt", layout(publishing.filled(shapes)))
    with pytest.raises(ConfigError, match=r"freq means nothing to resemblyzer.*none"):
        import_checkpoint(path, options=Options(freq=32))


def test_where_it_came_from_is_written_down(tmp_path: Path, home: Path) -> None:
    import hashlib

    layout, shapes, *_ = PUBLISHED["resemblyzer"]
    path = publishing.save_legacy(tmp_path / "Pretrained v1.pt", layout(publishing.filled(shapes)))
    report = import_checkpoint(path)
    assert report.path == home / "models" / "resemblyzer-pretrained-v1"
    found = registry.find_part("resemblyzer-pretrained-v1", "speaker")
    origin = found.provenance["imported"]
    assert origin["sha256"] == report.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert origin["bytes"] == path.stat().st_size
    assert (origin["file"], origin["container"]) == ("Pretrained v1.pt", "torch legacy")
    assert "Apache-2.0" in found.provenance["licence"]
    assert "Resemblyzer" in (found.path / "CARD.md").read_text()
    with pytest.raises(CheckpointError, match="exists already"):
        import_checkpoint(path)
    assert import_checkpoint(path, force=True).path == report.path


# The real weights, where the package that carries them or a copy lies about.


@pytest.fixture(scope="module")
def resemblyzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Resemblyzer's own weights, imported."""
    package = importlib.util.find_spec("resemblyzer")
    if package is None or package.origin is None:
        pytest.skip("the package resemblyzer, whose weights these are, is not installed")
    out = tmp_path_factory.mktemp("real") / "resemblyzer"
    import_checkpoint(Path(package.origin).parent / "pretrained.pt", out=out)
    return out


def clips(corpus: Path, speakers: int, each: int, seconds: float) -> dict[str, list[np.ndarray]]:
    """The middles of recordings of the first speakers that have as many, at 16 kHz."""
    rows = defaultdict(list)
    with (corpus / "manifest.csv").open(newline="", encoding="utf-8") as table:
        for row in csv.DictReader(table):
            if float(row["duration_s"]) > 2 * seconds:
                rows[row["speaker"]].append(corpus / row["path"])
    chosen = [name for name in sorted(rows) if len(rows[name]) >= each][:speakers]
    return {name: [_middle(path, seconds) for path in rows[name][:each]] for name in chosen}


def _middle(path: Path, seconds: float) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    start = int((len(samples) - seconds * rate) / 2)
    cut = samples[start : start + int(seconds * rate)].mean(axis=1)
    return np.asarray(soxr.resample(cut, rate, 16000))


def test_the_real_weights_tell_speakers_apart(resemblyzer: Path, corpus: Path) -> None:
    """Of 16 clips of 8 people, nearly every one has its nearest neighbour in the other of the same person."""
    listener = Listener.of(checkpoint.read(resemblyzer), torch.device("cpu"))
    recordings = [clip for pair in clips(corpus, speakers=8, each=2, seconds=4).values() for clip in pair]
    vectors = torch.stack([listener.embed(torch.from_numpy(clip), 16000) for clip in recordings])
    assert bool((vectors >= 0).all())
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(vectors)))
    nearest = (vectors @ vectors.T - 2 * torch.eye(16)).argmax(dim=1)
    same = nearest // 2 == torch.arange(16) // 2
    assert int(same.sum()) >= 14


def test_the_real_weights_hear_what_the_published_recipe_does(resemblyzer: Path, corpus: Path) -> None:
    """Librosa's power mel of audio at -30 dBFS or more, windows of 160 frames every 80, their mean."""
    weights = checkpoint.load_tensors(checkpoint.read(resemblyzer))
    published = {name.replace("embedding.", "linear."): tensor for name, tensor in weights.items()}
    ((samples,),) = clips(corpus, speakers=1, each=1, seconds=4).values()
    heard = samples[: 160 * 319] * 0.01
    raised = heard * 10 ** (-30 / 20) / np.sqrt(np.mean(heard**2))
    mel = librosa.feature.melspectrogram(y=raised, sr=16000, n_fft=400, hop_length=160, n_mels=40).T
    windows = torch.from_numpy(np.stack([mel[start : start + 160] for start in (0, 80, 160)])).float()
    wanted = formulas.unit(formulas.resemblyzer(published, windows).mean(dim=0, keepdim=True))
    with torch.no_grad():
        made = embed_audio(encoder_at(resemblyzer), torch.from_numpy(heard)[None], 16000)
    assert float((made * wanted).sum()) > 0.999
