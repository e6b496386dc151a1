"""Further judges of voices, whose weights lie on a model hub: they are optional.

ECAPA-TDNN (Desplanques et al. 2020) by speechbrain, trained on VoxCeleb, and WavLM with an x-vector head
(Chen et al. 2022) by transformers. Both are independent of every bundled network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from timbrel.evaluation.metrics.packages import fingerprint, hub_folder
from timbrel.evaluation.metrics.recordings import SAMPLE_RATE, Judge
from timbrel.evaluation.metrics.speaker import Embed, VoiceMetric
from timbrel.likeness import unit
from timbrel.packages import require

_ECAPA = "speechbrain/spkrec-ecapa-voxceleb"
_WAVLM = "microsoft/wavlm-base-plus-sv"
_DOWNLOADED = "its weights are then downloaded once"


def ecapa(model: str, download: bool) -> VoiceMetric:
    """ECAPA-TDNN; `model` is a folder or a repository of speechbrain's.

    Raises:
        EvaluationError: speechbrain or the weights are missing.
    """
    require("ECAPA", ["speechbrain", "torchaudio"], "pip install 'timbrel[ecapa]'", _DOWNLOADED)
    folder = _folder("ECAPA", model or _ECAPA, ["*.yaml", "*.ckpt", "*.txt"], download)
    judge = Judge(
        lambda: _ecapa(folder),
        lambda: fingerprint("ecapa-1", ["speechbrain"], [folder / "embedding_model.ckpt"]),
    )
    return VoiceMetric("ecapa", "ECAPA", "Desplanques et al. 2020, ECAPA-TDNN", judge)


def _ecapa(folder: Path) -> Embed:
    import torch
    from speechbrain.inference.speaker import EncoderClassifier

    # The recipe names the hub as the place of its weights; they are here.
    overrides = {"pretrained_path": str(folder)}
    encoder = EncoderClassifier.from_hparams(source=str(folder), savedir=str(folder), overrides=overrides)

    def embed(samples: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return unit(encoder.encode_batch(torch.from_numpy(samples)[None])[0, 0].numpy())

    return embed


def wavlm_sv(model: str, download: bool) -> VoiceMetric:
    """WavLM with an x-vector head; `model` is a folder or a repository of transformers'.

    Raises:
        EvaluationError: transformers or the weights are missing.
    """
    require("WavLM-SV", ["transformers"], "pip install 'timbrel[wavlm]'", _DOWNLOADED)
    patterns = ["config.json", "preprocessor_config.json", "model.safetensors", "pytorch_model.bin"]
    folder = _folder("WavLM-SV", model or _WAVLM, patterns, download)
    weights = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".json"))
    judge = Judge(lambda: _wavlm_sv(folder), lambda: fingerprint("wavlm-sv-1", ["transformers"], weights))
    return VoiceMetric("wavlm-sv", "WavLM-SV", "Chen et al. 2022, WavLM", judge)


def _wavlm_sv(folder: Path) -> Embed:
    import torch
    import transformers

    library: Any = transformers  # its classes are typed in part only
    prepare = library.AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
    network = library.WavLMForXVector.from_pretrained(folder, local_files_only=True).eval()

    def embed(samples: np.ndarray) -> np.ndarray:
        inputs = prepare(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        with torch.inference_mode():
            return unit(network(**inputs).embeddings[0].numpy())

    return embed


def _folder(judge: str, model: str, patterns: list[str], download: bool) -> Path:
    given = Path(model)
    return given if given.is_dir() else hub_folder(judge, model, patterns, download)
