"""The model that an adaptation starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from timbrel import checkpoint as checkpoints
from timbrel import registry
from timbrel.audio.mel import MelSpectrogram
from timbrel.checkpoint import Checkpoint
from timbrel.errors import CheckpointError
from timbrel.methods.attending import AttendingMethod
from timbrel.methods.narrating import Networks
from timbrel.models.converter import Converter
from timbrel.models.phonetic import PhoneticEncoder
from timbrel.models.speaker import ConvSpeakerEncoder
from timbrel.pipeline import VoiceConverter

#: The parts and their families.
_PARTS = {
    "content": PhoneticEncoder.family,
    "speaker": ConvSpeakerEncoder.family,
    "converter": Converter.family,
}


@dataclass(frozen=True, slots=True)
class Base:
    """A model whose converter attends to a reference, and its networks."""

    checkpoint: Checkpoint
    parts: dict[str, Checkpoint]
    networks: Networks
    method: AttendingMethod

    @property
    def rate(self) -> int:
        """Of its recordings, Hz."""
        return self.method.input_rate

    @property
    def hop(self) -> int:
        """Samples between two content frames."""
        return self.method.hop

    @torch.no_grad()
    def hear(self, samples: Tensor) -> dict[str, Tensor]:
        """The reference frames of a recording (L,) at the standard level, see `AttendingMethod.frames`."""
        return self.method.frames(samples)

    @torch.no_grad()
    def embed(self, samples: Tensor) -> Tensor:
        """Its speaker encoder's vector (E,) of a recording (L,)."""
        return self.method.embed(samples)

    def with_converter(self, converter: Converter, name: str = "") -> VoiceConverter:
        """The model with another converter and, if wanted, another name, at work."""
        networks = self.networks
        other = Networks(networks.content, networks.speaker, converter, networks.mel, networks.device)
        return VoiceConverter(name or self.checkpoint.name, AttendingMethod(other))


def load(model: str | Path, device: torch.device) -> Base:
    """The model of that name or folder.

    Raises:
        CheckpointError: there is none, or its family cannot be adapted.
    """
    checkpoint = checkpoints.read(registry.find(model))
    parts = registry.parts(checkpoint) if checkpoint.family == registry.PIPELINE else {}
    families = {role: part.family for role, part in parts.items()}
    if families != _PARTS:
        kind = families.get("converter", checkpoint.family)
        raise CheckpointError(
            f'"{checkpoint.name}" holds the family {kind}, and only models like {registry.DEFAULT_MODEL}, '
            "with a converter that attends to its reference, can be adapted: choose such a --model."
        )
    content, speaker, converter = (_frozen(parts[role], device) for role in _PARTS)
    assert isinstance(content, PhoneticEncoder)
    assert isinstance(speaker, ConvSpeakerEncoder)
    assert isinstance(converter, Converter)
    mel = MelSpectrogram(converter.config.mel).to(device)
    networks = Networks(content, speaker, converter, mel, device)
    return Base(checkpoint, parts, networks, AttendingMethod(networks))


def _frozen(part: Checkpoint, device: torch.device) -> nn.Module:
    return registry.build(part).to(device).requires_grad_(False)
