"""How natural it sounds, 1 to 5, as networks guess that listeners would rate it.

DistillMOS and DNSMOS, whose weights come inside packages. Both hear 16 kHz, so that what lies above 8 kHz
does not count. DNSMOS was made for noise suppression and hardly notices a bad conversion.
"""

from __future__ import annotations

import contextlib
import io
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from timbrel.evaluation.metrics import Column, Judged
from timbrel.evaluation.metrics.packages import EXTRA, fingerprint
from timbrel.evaluation.metrics.recordings import SAMPLE_RATE, Judge
from timbrel.packages import BARE, open_network, packaged, require

Opinion = Mapping[str, float]
Listen = Callable[[np.ndarray], Opinion]

_DISTILLMOS = f"{BARE} distillmos==0.9.1 xls_r_sqa==0.1.0"
_DISTILLMOS_SAMPLES = 122880
#: A long file is judged by at most this many windows, spread evenly over it.
_MOST_WINDOWS = 3


class OpinionMetric:
    """What one network says of the converted file alone; its columns are the keys of what it says."""

    def __init__(self, name: str, columns: tuple[Column, ...], judge: Judge[Opinion]) -> None:
        self.name, self.columns, self._judge = name, columns, judge

    @property
    def fingerprint(self) -> str:
        return self._judge.fingerprint

    def measure(self, case: Judged) -> dict[str, float]:
        return dict(self._judge(case.converted))


def windows(samples: np.ndarray, size: int) -> list[np.ndarray]:
    """Up to three windows of `size`, evenly from the beginning to the end; a short recording as it is."""
    if len(samples) <= size:
        return [samples]
    count = min(_MOST_WINDOWS, -(-len(samples) // size))
    return [samples[int(start) :][:size] for start in np.linspace(0, len(samples) - size, count)]


def distillmos(model: str, download: bool) -> OpinionMetric:
    """DistillMOS; both arguments go unused, since the weights come in its package.

    Raises:
        EvaluationError: a package is missing.
    """
    weights = packaged("DistillMOS", "distillmos", "weights/distill_mos_v7.pt", _DISTILLMOS)
    require("DistillMOS", ["xls_r_sqa"], _DISTILLMOS)
    judge = Judge(_distillmos, lambda: fingerprint("distillmos-1", ["distillmos"], [weights]))
    column = Column("distillmos", "MOS", "higher", "Stahl and Gamper 2025, DistillMOS", "DistillMOS")
    return OpinionMetric("distillmos", (column,), judge)


def _distillmos() -> Listen:
    import torch

    with _without_torchaudio(), contextlib.redirect_stdout(io.StringIO()):
        from distillmos import ConvTransformerSQAModel

        network = ConvTransformerSQAModel().eval()

    def listen(samples: np.ndarray) -> Opinion:
        with torch.inference_mode():
            heard = torch.from_numpy(np.stack(windows(samples, _DISTILLMOS_SAMPLES)))
            return {"distillmos": float(network(heard).mean())}

    return listen


@contextlib.contextmanager
def _without_torchaudio() -> Iterator[None]:
    """Lets a package be imported that wants torchaudio for its command line only.

    A torchaudio built for another torch does not load, and would be of no use here.
    """
    before = sys.modules.get("torchaudio")
    sys.modules["torchaudio"] = before or types.ModuleType("torchaudio")
    try:
        yield
    finally:
        if before is None:
            del sys.modules["torchaudio"]


def dnsmos(model: str, download: bool) -> OpinionMetric:
    """DNSMOS; both arguments go unused, since the weights come in the package speechmos.

    Raises:
        EvaluationError: a package is missing.
    """
    overall, parts = (
        packaged("DNSMOS", "speechmos", f"dnsmos_models/{name}.onnx", EXTRA)
        for name in ("model_v8", "sig_bak_ovr")
    )
    require("DNSMOS", ["onnxruntime", "librosa"], EXTRA)
    judge = Judge(
        lambda: Dnsmos(overall, parts),
        lambda: fingerprint("dnsmos-1", ["speechmos", "onnxruntime", "librosa"], [overall, parts]),
    )
    return OpinionMetric("dnsmos", _DNSMOS_COLUMNS, judge)


def _dnsmos_column(scale: str, title: str, paper: str) -> Column:
    return Column(f"dnsmos_{scale}", "MOS", "higher", paper, title)


_P835 = "Reddy et al. 2022, DNSMOS P.835"
_DNSMOS_COLUMNS = (
    _dnsmos_column("p808", "DNSMOS P.808", "Reddy et al. 2021, DNSMOS"),
    _dnsmos_column("ovrl", "DNSMOS overall", _P835),
    _dnsmos_column("sig", "DNSMOS speech", _P835),
    _dnsmos_column("bak", "DNSMOS background", _P835),
)


class Dnsmos:
    """The networks of P.808 and P.835, which hear 9.01 s; a shorter recording is repeated."""

    _size = int(9.01 * SAMPLE_RATE)
    #: Of each scale: what turns the network's value into an opinion, the highest power first.
    _curves: Mapping[str, tuple[float, float, float]] = types.MappingProxyType(
        {
            "sig": (-0.08397278, 1.22083953, 0.0052439),
            "bak": (-0.13166888, 1.60915514, -0.39604546),
            "ovrl": (-0.06766283, 1.11546468, 0.04602535),
        }
    )

    def __init__(self, overall: Path, parts: Path) -> None:
        self._overall, self._parts = open_network(overall), open_network(parts)

    def __call__(self, samples: np.ndarray) -> Opinion:
        repeated = np.tile(samples, -(-self._size // len(samples)))[: max(self._size, len(samples))]
        said = [self._window(window) for window in windows(repeated, self._size)]
        return {scale: float(np.mean([opinion[scale] for opinion in said])) for scale in said[0]}

    def _window(self, samples: np.ndarray) -> Opinion:
        mel = dnsmos_mel(samples[:-160])
        overall = float(self._overall.run(None, {"input_1": mel[None]})[0][0, 0])
        values = self._parts.run(None, {"input_1": samples[None]})[0][0]
        opinions = {
            f"dnsmos_{scale}": float(np.polyval(curve, value))
            for (scale, curve), value in zip(self._curves.items(), values, strict=True)
        }
        return {"dnsmos_p808": overall} | opinions


def dnsmos_mel(samples: np.ndarray) -> np.ndarray:
    """(L,) -> (T, 120) float32: power mel in decibels below its loudest value, 40 dB below becoming 0."""
    import librosa

    mel = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE, n_fft=321, hop_length=160, n_mels=120)
    return np.asarray((librosa.power_to_db(mel, ref=np.max) + 40) / 40, dtype=np.float32).T
