"""Published networks that the bundled ones learn from; they are used in training and never shipped.

Moonshine tiny-en (Useful Sensors 2024, MIT), the encoder of a speech recogniser, says what is said.
Resemblyzer (Resemble AI, Apache 2.0; GE2E, Wan et al. 2018) says who says it. Both hear 16 kHz. Their
files are in the Python packages moonshine-voice (0.0.48) and Resemblyzer (0.1.4).
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.audio.mel import PRESETS, MelSpectrogram
from timbrel.errors import TrainingError
from timbrel.files import content_hash
from timbrel.packages import open_network

SAMPLE_RATE = 16000


class Moonshine:
    """The encoder of Moonshine tiny-en, as an ONNX or ORT file: waveform -> frames of 288 values.

    Frame i is centred on sample 384 * i + 447, which is where its convolutions' fields are.

    Raises:
        TrainingError: the file is missing or another network.
    """

    dim = 288
    hop = 384
    centre = 447

    def __init__(self, path: Path) -> None:
        self.fingerprint = file_fingerprint(path)
        self._session = open_session(path)
        inputs = {one.name for one in self._session.get_inputs()}
        outputs = {one.name for one in self._session.get_outputs()}
        if inputs != {"input_values", "attention_mask"} or "last_hidden_state" not in outputs:
            raise TrainingError(
                f"{path} is not the encoder of Moonshine: it takes {', '.join(sorted(inputs))}."
            )
        frames = self.hear(np.zeros(SAMPLE_RATE, dtype=np.float32))
        if frames.shape[1] != self.dim:
            raise TrainingError(
                f"{path} is not Moonshine tiny, whose frames have {self.dim} values, but {frames.shape[1]}."
            )

    def hear(self, samples: np.ndarray) -> np.ndarray:
        """(L,) float32 at 16 kHz -> (T, 288) float32."""
        mask = np.ones((1, len(samples)), dtype=np.int64)
        feeds = {"input_values": samples[None].astype(np.float32), "attention_mask": mask}
        frames: np.ndarray = self._session.run(["last_hidden_state"], feeds)[0][0]
        return frames


class Resemblyzer(nn.Module):
    """Three LSTM layers over a power mel of 40 bands; its last state, rectified, is the voice.

    Frozen, but gradients flow through it to the audio.
    """

    #: Frames of a window of `hear`, 1.6 s, and the frames from one to the next.
    window, step = 160, 77
    #: Quieter recordings are raised to this RMS, -30 dBFS, since the mel has no logarithm.
    least_level = 10 ** (-30 / 20)

    def __init__(self) -> None:
        super().__init__()
        self.fingerprint = ""
        self.mel = MelSpectrogram(PRESETS["resemblyzer-16k"])
        self.lstm = nn.LSTM(40, 256, num_layers=3, batch_first=True)
        self.linear = nn.Linear(256, 256)
        self.requires_grad_(False)

    @classmethod
    def load(cls, path: Path) -> Resemblyzer:
        """The published weights.

        Raises:
            TrainingError: the file is missing or another network's.
        """
        encoder = cls()
        encoder.fingerprint = file_fingerprint(path)
        tensors = {
            name: tensor
            for name, tensor in _model_state(path).items()
            if name.startswith(("lstm.", "linear."))
        }
        try:
            encoder.load_state_dict(tensors)
        except RuntimeError as error:
            raise TrainingError(
                f"{path} is not Resemblyzer: its tensors have other names or sizes."
            ) from error
        return encoder.eval()

    def forward(self, audio: Tensor) -> Tensor:
        """Waveforms (B, L), each heard in one piece -> unit vectors (B, 256)."""
        with torch.autocast(audio.device.type, enabled=False):
            return functional.normalize(self._embed(self.mel(audio.float())) + 1e-6, dim=-1)

    @torch.no_grad()
    def hear(self, samples: np.ndarray) -> np.ndarray:
        """A whole recording (L,) at 16 kHz -> its unit vector (256,) float32: the mean over windows."""
        level = float(np.sqrt(np.square(samples, dtype=np.float64).mean()))
        raised = samples * max(1.0, self.least_level / max(level, 1e-6))
        mel = self.mel(torch.from_numpy(raised.astype(np.float32))[None])[0]
        mel = functional.pad(mel, (0, 0, 0, max(0, self.window - len(mel))))
        windows = mel.unfold(0, self.window, self.step).transpose(1, 2)
        vectors = functional.normalize(self._embed(windows), dim=-1, eps=1e-5)
        vector: np.ndarray = functional.normalize(vectors.mean(dim=0), dim=0).numpy()
        return vector

    def _embed(self, mel: Tensor) -> Tensor:
        """(B, T, 40) -> (B, 256), not negative."""
        _, (hidden, _) = self.lstm(mel)
        return torch.relu(self.linear(hidden[-1]))


def file_fingerprint(path: Path) -> str:
    """16 hexadecimal digits that name a teacher's file.

    Raises:
        TrainingError: it cannot be read.
    """
    try:
        return content_hash(path)[:16]
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror or error}.") from error


def open_session(path: Path, fused: Path | None = None) -> Any:
    """An ONNX or ORT network ready to run; if `fused` is given, it is also written there as ONNX as it runs.

    Raises:
        TrainingError: it is none, or onnxruntime is missing.
    """
    try:
        return open_network(path, fused)
    except ImportError as error:
        raise TrainingError(
            "Moonshine needs the package onnxruntime: install it with pip install onnxruntime."
        ) from error
    except Exception as error:  # onnxruntime's own errors share no base but this
        raise TrainingError(f"{path} is not an ONNX or ORT network that can be run here.") from error


def _model_state(path: Path) -> Mapping[str, Tensor]:
    try:
        state: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path} is not Resemblyzer: it holds no weights under model_state.") from error
    return state
