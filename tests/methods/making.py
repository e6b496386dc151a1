"""Pipelines of small random networks, and something like speech: all of a real one but its quality."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from timbrel import checkpoint
from timbrel.audio.mel import PRESETS
from timbrel.contract import FeatureSpec
from timbrel.models.autovc import AutoVC, AutoVCConfig
from timbrel.models.converter import Converter, ConverterConfig
from timbrel.models.istft import ISTFT, ISTFTConfig
from timbrel.models.phonetic import WAVEFORM, PhoneticConfig, PhoneticEncoder
from timbrel.models.speaker import ConvSpeakerEncoder, SpeakerConfig
from timbrel.models.vqvc import VQVC, VQVCConfig

#: Front end of the small VQVC: 16 kHz, a frame every 16 ms.
MEL = FeatureSpec(kind="mel", sample_rate=16000, hop=256, dim=20, n_fft=1024, window=1024, f_max=8000.0)


def speechlike(seconds: float, sample_rate: int = 16000, pitch: float = 130.0) -> np.ndarray:
    """A buzz that glides around `pitch` Hz and pauses between its phrases, (T,) float32, about -22 dBFS."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    f0 = pitch * (1 + 0.3 * np.sin(2 * np.pi * 0.7 * time))
    phase = 2 * np.pi * np.cumsum(f0) / sample_rate
    buzz = sum(np.sin(k * phase) / k for k in range(1, 25))
    phrases = np.clip(2 * np.sin(2 * np.pi * 1.5 * time), 0, 1)
    breath = 1e-4 * np.random.default_rng(0).standard_normal(len(time))
    return np.asarray(0.1 * buzz * phrases + breath, dtype=np.float32)


def phonetic(heard: FeatureSpec = WAVEFORM, detail: int = 0) -> PhoneticEncoder:
    """A small content encoder, whose frames have 16 values and those of the detail."""
    sizes: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "rotary": 4, "reach": 3}
    encoder = PhoneticEncoder(PhoneticConfig(heard, **sizes, detail=detail, detail_after=1))
    if detail:
        torch.nn.init.normal_(encoder.detail_map)
    return encoder


def attending(
    folder: Path,
    *,
    seed: int = 0,
    heard: FeatureSpec = WAVEFORM,
    encoder: str = "",
    guidance: float = 0.0,
    beyond: float = 0.0,
    correction: float = 0.0,
    restore: float = 0.0,
    adopt: float = 0.0,
    **shares: float,
) -> Path:
    """Writes a pipeline of the bundled kind to `folder`.

    Args:
        heard: what the content encoder says it hears.
        encoder: fingerprint the converter asks for, if not that of the content encoder beside it.
        guidance, beyond, correction, restore, adopt, shares: see `ConverterConfig`; with either of the first
            two, it has a crowd, with restore or adopt content has detail.
    """
    mel = PRESETS["timbrel-16k"]
    torch.manual_seed(seed)
    content = phonetic(heard, detail=5 if restore or adopt else 0)
    speaker = ConvSpeakerEncoder(SpeakerConfig(width=16, blocks=1, embedding_dim=8))
    wanted = replace(content.spec_out, encoder=encoder or checkpoint.fingerprint(content.state_dict()))
    sizes: dict[str, Any] = {"width": 16, "blocks": 2, "reference_width": 16, "reference_blocks": 1}
    steered: dict[str, Any] = {"guidance": guidance, "beyond": beyond, "correction": correction}
    steered |= {"restore": restore, "adopt": adopt, **shares}
    steered["crowd"] = 3 if guidance or beyond else 0
    converter = Converter(ConverterConfig(wanted, mel, **sizes, **steered, attend_after=(0,)))
    if converter.crowd is not None:
        for place, f0 in enumerate((110, 160, 220)):
            converter.crowd.admit(place, torch.randn(8, 16), torch.randn(16), math.log(f0))
    return pipeline(folder, content=content, speaker=speaker, converter=converter)


def vqvc(spec_in: FeatureSpec = MEL, spec_out: FeatureSpec = MEL, seed: int = 0) -> VQVC:
    """A small VQVC whose codebook has started and whose mels have the range of speech."""
    torch.manual_seed(seed)
    model = VQVC(VQVCConfig(spec_in, spec_out, codes=16, code_dim=8, stem=16, hidden=24, width=16))
    features, mel = torch.randn(2, 60, spec_in.dim) * 2 - 5, torch.randn(2, 60, spec_out.dim) - 4
    model.fit_statistics(features, mel)
    model.train()(features)
    return model.eval()


def vocoder(spec: FeatureSpec, seed: int = 0) -> ISTFT:
    """A small vocoder."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"width": 16, "blocks": 1, "periodic_width": 8, "periodic_dilations": (1,)}
    return ISTFT(ISTFTConfig(spec, **sizes))


def pipeline(folder: Path, **parts: nn.Module) -> Path:
    """Writes networks as the parts of a pipeline."""
    written = {role: part(folder.with_name(f"{folder.name}-{role}"), net) for role, net in parts.items()}
    checkpoint.write(
        folder,
        family="pipeline",
        name=folder.name,
        config={role: role for role in parts},
        tensors={},
        provenance={"licence": "MIT"},
        card="",
        parts=written,
    )
    return folder


def part(folder: Path, network: Any) -> Path:
    """Writes one network as a checkpoint."""
    checkpoint.write(
        folder,
        family=network.family,
        name=folder.name,
        config=network.config,
        tensors=network.state_dict(),
        provenance={"licence": "MIT"},
        card="",
    )
    return folder


def autovc(speaker: ConvSpeakerEncoder, spec: FeatureSpec = PRESETS["autovc-16k"], seed: int = 0) -> AutoVC:
    """A small AutoVC that wants this speaker encoder's vectors."""
    torch.manual_seed(seed)
    wanted = replace(speaker.spec_out, encoder=checkpoint.fingerprint(speaker.state_dict()))
    sizes = {"dim_neck": 4, "freq": 8, "dim_pre": 8, "channels": 8, "dim_recurrent": 8, "window": 64}
    return AutoVC(AutoVCConfig(wanted, spec, **sizes)).eval()


def speaker(seed: int = 0) -> ConvSpeakerEncoder:
    """A small speaker encoder; those of different seeds have vectors of one size and other meanings."""
    torch.manual_seed(seed)
    return ConvSpeakerEncoder(SpeakerConfig(width=16, blocks=1, embedding_dim=8)).eval()
