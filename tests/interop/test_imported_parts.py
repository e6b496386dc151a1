"""Imported parts at work in a pipeline: VQVC-Pytorch's pair of VQVC and VocGAN, of random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.interop import publishing
from tests.interop import test_vocgan as vocgan_files
from tests.interop import test_vqvc as vqvc_files
from tests.interop import vocoder_tables as tables
from tests.methods.making import speechlike

from timbrel import checkpoint as checkpoints
from timbrel.audio.io import Waveform
from timbrel.errors import ContractError
from timbrel.interop.family import Options
from timbrel.interop.importing import import_checkpoint
from timbrel.pipeline import VoiceConverter


@pytest.fixture
def vqvc(tmp_path: Path) -> Path:
    np.save(tmp_path / "mel_stats.npy", np.stack([np.full(80, -5.0), np.full(80, 1.8)]))
    file = vqvc_files.saved(tmp_path, vqvc_files.weights())
    options = Options(mel_stats=tmp_path / "mel_stats.npy")
    return import_checkpoint(file, "auto", tmp_path / "vqvc", options).path


@pytest.fixture
def vocgan(tmp_path: Path) -> Path:
    file = vocgan_files.saved(tmp_path, tables.weights(tables.vocgan()))
    return import_checkpoint(file, "auto", tmp_path / "vocgan").path


def joined(folder: Path, converter: Path, vocoder: Path) -> Path:
    checkpoints.write(
        folder,
        family="pipeline",
        name=folder.name,
        config={"converter": "converter", "vocoder": "vocoder"},
        tensors={},
        provenance={},
        card="",
        parts={"converter": converter, "vocoder": vocoder},
    )
    return folder


def waveform(seconds: float, pitch: float) -> Waveform:
    return Waveform(torch.from_numpy(speechlike(seconds, 22050, pitch)), 22050)


def test_an_imported_pair_converts(tmp_path: Path, vqvc: Path, vocgan: Path) -> None:
    converter = VoiceConverter.from_pretrained(joined(tmp_path / "pair", vqvc, vocgan))
    voice = converter.enrol(waveform(3.0, 200.0))
    made = converter.convert(waveform(1.0, 130.0), voice)
    assert made.sample_rate == 22050
    assert made.waveform.shape == (22050,)
    assert made.waveform.isfinite().all()
    assert made.waveform.square().mean().sqrt() > 1e-3


def test_an_imported_vocoder_of_another_rate_is_refused(tmp_path: Path, vqvc: Path) -> None:
    file = publishing.save_zip(tmp_path / "g", {"generator": tables.weights(tables.hifigan(16))})
    vocoder = import_checkpoint(file, "hifigan", tmp_path / "voc", Options(sample_rate=16000)).path
    with pytest.raises(ContractError, match="sample_rate"):
        VoiceConverter.from_pretrained(joined(tmp_path / "pair", vqvc, vocoder))
