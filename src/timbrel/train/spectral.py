"""How far one waveform is from another in its spectrograms of several resolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbrel.audio.mel import filterbank
from timbrel.contract import FeatureSpec
from timbrel.models.layers import magnitude
from timbrel.models.losses import require_same_shape

#: Window in samples and number of mel bands; frames overlap by three quarters.
RESOLUTIONS = ((256, 32), (512, 64), (1024, 96), (2048, 128))
#: Shorter windows resolve no harmonics, so only their mel counts.
_SHORTEST_WINDOW = 512
_MEL_FLOOR, _BIN_FLOOR = 1e-4, 1e-3


class SpectralDistance(nn.Module):
    """Two distances between waveforms (B, L) at `sample_rate`: of log-mels, and of spectra.

    The second is the L1 of log-amplitudes plus half the spectral convergence (Yamamoto et al. 2020).
    Each is a mean over resolutions. Floors are added rather than cut at, which keeps gradients.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        for window, bands in RESOLUTIONS:
            spec = FeatureSpec(
                kind="mel",
                sample_rate=sample_rate,
                hop=window // 4,
                dim=bands,
                n_fft=window,
                window=window,
                f_max=sample_rate / 2,
            )
            self.register_buffer(f"filterbank_{window}", filterbank(spec), persistent=False)

    def forward(self, made: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Mel distance and spectral distance, () each.

        Raises:
            ValueError: if the shapes differ.
        """
        require_same_shape(made, real)
        mels, spectra = [], []
        with torch.autocast(real.device.type, enabled=False):
            for window, _ in RESOLUTIONS:
                one, two = (magnitude(audio, window, window // 4, window) for audio in (made, real))
                bands = self.get_buffer(f"filterbank_{window}")
                mels.append(_log_distance(bands @ one, bands @ two, _MEL_FLOOR))
                if window >= _SHORTEST_WINDOW:
                    convergence = (one - two).norm() / two.norm()
                    spectra.append(_log_distance(one, two, _BIN_FLOOR) + 0.5 * convergence)
        return torch.stack(mels).mean(), torch.stack(spectra).mean()


def _log_distance(one: Tensor, two: Tensor, floor: float) -> Tensor:
    return functional.l1_loss((one + floor).log(), (two + floor).log())
