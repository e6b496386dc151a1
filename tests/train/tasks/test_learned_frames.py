"""VQVC and the vocoder of kNN-VC train on prepared frames by the shipped recipes, and convert."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.methods.making import speechlike

from timbrel import checkpoint, registry
from timbrel.audio.io import Waveform
from timbrel.compose import compose
from timbrel.errors import CheckpointError, ConfigError, TrainingError
from timbrel.methods.content import content_encoder
from timbrel.models.hifigan import HiFiGAN
from timbrel.models.vqvc import VQVC
from timbrel.pipeline import VoiceConverter
from timbrel.train import frames, loop, recipe, tasks
from timbrel.train.data import Data

pytest.importorskip("transformers")

SMALL = [
    "data.batch=2",
    "data.seconds=0.512",
    "run.steps=2",
    "run.validate_every=2",
    "run.validation_batches=1",
    "run.save_every=2",
    "run.log_every=1",
    'data.validation="dev"',
    'run.precision="no"',
]
VQVC_SIZES = "settings.model={ codes = 8, code_dim = 8, hidden = 8, width = 8, encoder = 'linear' }"
VOCODER_SIZES = [
    "settings.size=v3",
    "settings.period_width=2",
    "settings.scale_width=16",
    "settings.projection=8",
]


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory, write_content: Callable[[Path], Path]) -> Path:
    """The checkpoint of a small WavLM."""
    return write_content(tmp_path_factory.mktemp("content") / "wavlm")


@pytest.fixture(scope="module")
def corpus(prepared: Path, content: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared corpus as that WavLM hears it."""
    root = tmp_path_factory.mktemp("heard") / "corpus"
    shutil.copytree(prepared, root)
    device = torch.device("cpu")
    encoder = content_encoder(checkpoint.read(content), device)
    frames.prepare_frames(root, encoder, device)
    frames.prematch(root, encoder, device)
    return root


def load(name: str, corpus: Path, content: Path | str, *changes: str) -> recipe.Recipe:
    return recipe.load(name, [f"data.corpus={corpus}", f"settings.content={content}", *SMALL, *changes])


def trained(plan: recipe.Recipe, folder: Path) -> Path:
    return Path(loop.run(plan, folder)).resolve()


def spoken(pitch: float = 130.0) -> Waveform:
    return Waveform(torch.from_numpy(speechlike(2.0, 16000, pitch)), 16000)


def test_vqvc_over_wavlm_trains_and_converts(corpus: Path, content: Path, tmp_path: Path) -> None:
    final = trained(load("vqvc-wavlm-vctk", corpus, content, VQVC_SIZES), tmp_path / "run")
    model = registry.build(checkpoint.read(final))
    assert isinstance(model, VQVC)
    assert (model.spec_in.hop, model.spec_in.dim, model.spec_out.hop) == (320, 32, 128)
    # WavLM lies beside it, so that it converts by itself.
    assert {role: one.family for role, one in registry.parts(checkpoint.read(final)).items()} == {
        "content": "wavlm"
    }
    converter = VoiceConverter.from_pretrained(final)
    made = converter.convert(spoken(), converter.enrol(spoken(200.0))).waveform
    assert made.shape == (32000,)
    assert made.isfinite().all()


def test_vqvc_over_the_bundled_encoder_needs_no_network(prepared: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(prepared, root)
    plan = load("vqvc-phonetic", root, "timbrel-one", VQVC_SIZES)
    with pytest.raises(TrainingError, match="timbrel teach"):
        loop.run(plan, tmp_path / "early")
    device = torch.device("cpu")
    encoder = content_encoder(checkpoint.read(registry.find("timbrel-one") / "content"), device)
    frames.prepare_frames(root, encoder, device)
    final = trained(plan, tmp_path / "run")
    model = registry.build(checkpoint.read(final))
    assert isinstance(model, VQVC)
    assert model.spec_in == encoder.spec_out
    converter = VoiceConverter.from_pretrained(final)
    assert converter.convert(spoken(), converter.enrol(spoken(200.0))).waveform.isfinite().all()


def test_the_vocoder_of_knn_vc_trains_and_speaks_in_a_pipeline(
    corpus: Path, content: Path, tmp_path: Path
) -> None:
    final = trained(load("knn-vocoder", corpus, content, *VOCODER_SIZES), tmp_path / "run")
    model = registry.build(checkpoint.read(final))
    assert isinstance(model, HiFiGAN)
    assert (model.spec_in.kind, model.spec_in.hop, model.spec_in.dim) == ("learned", 320, 32)
    assert model.config.projection == 8
    compose({"converter": "knn-vc", "content": content, "vocoder": final}, tmp_path / "knn")
    converter = VoiceConverter.from_pretrained(tmp_path / "knn")
    assert converter.convert(spoken(), converter.enrol(spoken(200.0))).waveform.shape == (32000,)


def test_the_vocoder_learns_from_frames_and_the_audio_they_are_of(corpus: Path, content: Path) -> None:
    plan = load("knn-vocoder", corpus, content, *VOCODER_SIZES)
    data = Data(corpus, plan.data, "train", seed=0)
    task = tasks.build(plan, data)
    assert isinstance(task, tasks.Task)
    batch = data.batch(0)
    updates = list(task.updates(batch, 0, torch.Generator()))
    assert [update.network for update in updates] == ["discriminator", "generator"]
    preview = task.preview(batch)
    # 0.512 s hold 24 whole frames wherever the crop begins; the mel of the loss has one for each.
    assert preview.audio["generated"].samples.shape == (24 * 320,)
    assert preview.mels["real"].shape == preview.mels["generated"].shape == (24, 80)


def test_prematched_frames_belong_to_an_encoder(corpus: Path) -> None:
    plan = recipe.load("hifigan-16k", [f"data.corpus={corpus}", *SMALL, "settings.prematched=true"])
    with pytest.raises(ConfigError, match=r"settings\.prematched belongs to settings\.content"):
        tasks.build(plan, Data(corpus, plan.data, "train", seed=0))


@pytest.mark.parametrize(("given", "message"), [("nobody", "no model"), ("knn-vc", "encodes no content")])
def test_what_is_no_content_encoder_is_refused(corpus: Path, given: str, message: str) -> None:
    plan = load("vqvc-phonetic", corpus, given, VQVC_SIZES)
    with pytest.raises(CheckpointError, match=message):
        tasks.build(plan, Data(corpus, plan.data, "train", seed=0))
