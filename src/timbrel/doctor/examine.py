"""`timbrel doctor`: parts joined on paper and, with a recording, in practice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from timbrel.compose import describe
from timbrel.doctor import conversion, features, given, sound
from timbrel.doctor.complaints import complaints
from timbrel.doctor.contracts import examine_joint
from timbrel.doctor.conversion import Reconstruction, Tried
from timbrel.doctor.files import examine_file
from timbrel.doctor.findings import Area, Finding, Severity, ranked
from timbrel.doctor.parts import Bench, gather
from timbrel.doctor.recording import Recording, listen
from timbrel.doctor.sound import Copy
from timbrel.errors import CheckpointError, ContractError
from timbrel.methods import join_parts
from timbrel.methods.joints import joints
from timbrel.models import Vocoder
from timbrel.registry import DEFAULT_MODEL

#: Layer of WavLM that kNN-VC's vocoders read, without the last normalisation.
_KNN_LAYER = 6


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that was seen.

    Fields:
        parts: family and folder of each checkpoint by role.
        joints: one sentence for each joint, good or bad.
        recordings: what was measured of the source and the reference.
        copies: of vocoders by themselves.
        features: kind of each array of features.
        findings: what is wrong, the most likely cause of bad sound first.
    """

    parts: dict[str, str]
    joints: tuple[str, ...]
    recordings: tuple[Recording, ...] = ()
    copies: dict[str, Copy] = field(default_factory=dict)
    features: dict[str, str] = field(default_factory=dict)
    reconstruction: Reconstruction | None = None
    conversion: Tried | None = None
    findings: tuple[Finding, ...] = ()


def examine(
    named: Sequence[str | Path] = (), audio: Path | None = None, reference: Path | None = None
) -> Diagnosis:
    """Looks at parts, recordings, and what they do together.

    Args:
        named: checkpoints by name or folder, pipelines, .voice files, .npy arrays, published files; by
            default the bundled model.
        audio: a source to try them on.
        reference: of the target voice.

    Raises:
        CheckpointError, AudioError: something named does not exist or is of no kind that is known.
        ConfigError: two parts have one role.
    """
    bench = gather(named or [DEFAULT_MODEL])
    heard = [(listen(path), path == reference) for path in (audio, reference) if path is not None]
    findings = [*bench.findings]
    for one, is_reference in heard:
        findings += complaints(one, reference=is_reference)
    lines, misfits = _on_paper(bench.networks)
    findings += misfits
    usable = {path: one for one, _ in heard for path in [one.path] if one.condition is not None}
    source = usable.get(audio) if audio else None
    target = usable.get(reference) if reference else None
    kinds = dict[str, str]()
    findings += _given(bench, source, kinds)
    practice = _Practice(bench, source, target, sound=not any(_stops(one) for one in findings))
    findings += practice.findings()
    return Diagnosis(
        parts={role: f"{one.family}, {one.path}" for role, one in bench.checkpoints.items()},
        joints=lines,
        recordings=tuple(one for one, _ in heard),
        copies=practice.copies,
        features=kinds,
        reconstruction=practice.reconstruction,
        conversion=practice.conversion,
        findings=ranked(findings),
    )


def _stops(finding: Finding) -> bool:
    """Whether a conversion in spite of it would tell nothing more, or fail."""
    return finding.severity is Severity.FAULT


def _on_paper(networks: dict[str, Any]) -> tuple[tuple[str, ...], list[Finding]]:
    if "converter" not in networks:
        return (), []
    lines, found = list[str](), list[Finding]()
    for joint in joints(networks):
        try:
            lines.append(describe(joint))
        except ContractError as error:
            lines.append(f"{joint.giver} to {joint.taker}: {error}")
        found += examine_joint(joint)
    return tuple(lines), [*found, *_unsigned(networks)]


def _unsigned(networks: dict[str, Any]) -> Iterator[Finding]:
    """A vocoder of WavLM's frames that does not say of which layer."""
    content, vocoder = networks.get("content"), networks.get("vocoder")
    if getattr(content, "family", "") != "wavlm" or vocoder is None or content is None:
        return
    layer, final = content.config.layer, content.config.final_norm
    if vocoder.spec_in.encoder or (layer == _KNN_LAYER and not final):
        return
    yield Finding(
        Severity.RISK,
        Area.JOINT,
        "content encoder to vocoder",
        f"The content encoder gives WavLM's layer {layer}{' with the last norm' if final else ''}, and the "
        f"vocoder does not say which it reads; those of kNN-VC read layer {_KNN_LAYER} without it.",
        "Frames of another layer have the same size: unintelligible sound.",
        f"Import WavLM with --layer {_KNN_LAYER}.",
        (35,),
    )


def _given(bench: Bench, source: Recording | None, kinds: dict[str, str]) -> Iterator[Finding]:
    for path in bench.published:
        yield from examine_file(path)
    for path in bench.voices:
        yield from given.voice_findings(path, bench.networks)
    for path in bench.arrays:
        array = features.load(path)
        if array.ndim == 1 or max(array.shape) == array.size:
            kinds[str(path)] = f"a vector of {array.size} values"
            yield from given.vector_findings(path, array, given.wanted_vector(bench.networks))
        else:
            frames = features.examine(path, array)
            kinds[str(path)] = features.KINDS[frames.kind]
            waveform = source.waveform if source else None
            yield from given.array_findings(frames, given.wanted_mel(bench.networks), waveform)


class _Practice:
    """The parts tried on a recording, each alone and then together.

    Attributes:
        copies, reconstruction, conversion: see `Diagnosis`.
    """

    def __init__(
        self, bench: Bench, source: Recording | None, target: Recording | None, *, sound: bool
    ) -> None:
        self.copies: dict[str, Copy] = {}
        self.reconstruction: Reconstruction | None = None
        self.conversion: Tried | None = None
        self._bench, self._source, self._target, self._sound = bench, source, target, sound

    def findings(self) -> list[Finding]:
        """Tries everything that can be tried; a part with broken weights is left alone."""
        found: list[Finding] = []
        if self._source is not None:
            broken = {one.subject for one in self._bench.findings if one.severity is Severity.FAULT}
            for role, network in self._bench.networks.items():
                subject = str(self._bench.checkpoints[role].path)
                if subject not in broken:
                    found += self._alone(role, network, subject, self._source)
        if self._source is not None and self._target is not None:
            found += self._together(self._source, self._target, [*found])
        return found

    def _alone(self, role: str, network: Any, subject: str, source: Recording) -> Iterator[Finding]:
        if role == "vocoder" and isinstance(network, Vocoder) and network.spec_in.kind == "mel":
            self.copies[subject] = copy = sound.copy_synthesis(network, source.waveform)
            yield from sound.copy_findings(subject, copy)
        elif role == "speaker":
            yield from sound.encoder_findings(subject, network, source.waveform)
            if self._target is not None:
                yield from sound.trimming_findings(str(self._target.path), network, self._target.waveform)
        elif role == "content":
            yield from sound.level_findings(subject, network, source.waveform)
        elif role == "converter":
            speaker = self._bench.networks.get("speaker")
            self.reconstruction = conversion.reconstruct(network, speaker, source.waveform)
            if self.reconstruction is not None:
                yield from conversion.reconstruction_findings(subject, self.reconstruction)

    def _together(self, source: Recording, target: Recording, found: list[Finding]) -> Iterator[Finding]:
        if not self._sound or any(map(_stops, found)) or "converter" not in self._bench.networks:
            return
        subject = "the conversion"
        try:
            method = join_parts(self._bench.checkpoints, torch.device("cpu"), allow_lossy=True)
        except (CheckpointError, ContractError) as error:
            yield Finding(
                Severity.FAULT,
                Area.JOINT,
                subject,
                str(error),
                "These parts cannot convert.",
                "Name the missing part, or take one that fits.",
            )
            return
        self.conversion = conversion.try_conversion(method, source.waveform, target.waveform)
        yield from conversion.conversion_findings(subject, self.conversion)
