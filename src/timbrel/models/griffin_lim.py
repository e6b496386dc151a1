"""Griffin-Lim from a mel: a vocoder that needs no training.

The pseudo-inverse of the filterbank gives a magnitude spectrogram; going back and forth between
spectra and waveform finds phases that fit it (Griffin & Lim 1984), faster with momentum
(Perraudin, Balazs & Søndergaard 2013).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from timbrel.audio.mel import expand, filterbank
from timbrel.config import require_sizes
from timbrel.contract import FeatureSpec
from timbrel.errors import ConfigError
from timbrel.models.istft import InverseSTFT
from timbrel.models.layers import Span


@dataclass(frozen=True, slots=True)
class GriffinLimConfig:
    """How Griffin-Lim runs.

    Fields:
        spec_in: the mel it reads.
        iterations: more fit better; beyond some 60 little changes.
        momentum: 0 is the algorithm of 1984.

    Raises:
        ConfigError: if the input is no mel or its windows overlap too little.
    """

    spec_in: FeatureSpec
    iterations: int = 60
    momentum: float = 0.99

    def __post_init__(self) -> None:
        require_sizes(self, "iterations", least=0)
        spec = self.spec_in
        if spec.kind != "mel":
            raise ConfigError("Griffin-Lim needs a mel; learned features need a vocoder trained on them.")
        if spec.window < 2 * spec.hop:
            raise ConfigError(
                f"Griffin-Lim needs a window of at least two hops, not {spec.window} samples for a hop of "
                f"{spec.hop}."
            )


class GriffinLim(nn.Module):
    """Mel (B, T, D) -> waveform (B, T * hop) within [-1, 1].

    It starts from phase zero, which ends as well as random phase does: the same mel gives the same
    samples, and a frame's samples depend on `receptive_field` frames to either side and no more.
    """

    family = "griffin_lim"
    Config = GriffinLimConfig

    from_mel: Tensor

    def __init__(self, config: GriffinLimConfig) -> None:
        super().__init__()
        self.config = config
        self.spec_in = spec = config.spec_in
        # In double precision, which mixed precision leaves alone.
        pseudo_inverse = torch.linalg.pinv(filterbank(spec).double()).float()
        self.register_buffer("from_mel", pseudo_inverse, persistent=False)
        padding = (spec.n_fft - spec.hop) // 2 if spec.pad == "same" else spec.n_fft // 2
        self.inverse = InverseSTFT(spec.n_fft, spec.hop, spec.window, padding)

    @torch.no_grad()
    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            magnitude = self._magnitude(features.float())
            spectra = torch.complex(magnitude, torch.zeros_like(magnitude))
            previous = torch.zeros_like(spectra)
            for _ in range(self.config.iterations):
                consistent = self.inverse.spectra(self.inverse(spectra))
                wanted = consistent + self.config.momentum * (consistent - previous)
                spectra = magnitude * torch.sgn(wanted)
                previous = consistent
            waveform: Tensor = self.inverse(spectra)
            return (waveform / self.spec_in.prescale).clamp(-1, 1)

    @property
    def receptive_field(self) -> int:
        """Frames on either side of a frame that its samples depend on."""
        spec, span = self.spec_in, Span(0, self.spec_in.hop - 1)
        for _ in range(self.config.iterations):
            span = self.inverse.before(span).before_framing(spec.n_fft, spec.hop, self.inverse.padding)
        return self.inverse.before(span).reach

    def _magnitude(self, features: Tensor) -> Tensor:
        """(B, T, D) -> (B, n_fft // 2 + 1, T)."""
        mel = expand(features, self.spec_in)
        spectrum: Tensor = (self.from_mel @ mel.transpose(1, 2)).clamp(min=0)
        return spectrum.sqrt() if self.spec_in.power == 2 else spectrum
