"""Every place where one part's output becomes another's input, in one list.

What converts, what composes a pipeline and what diagnoses one all ask here, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from timbrel.contract import (
    Bridge,
    EmbeddingSpec,
    Exact,
    FeatureSpec,
    Lossy,
    Verdict,
    compare,
    describe_differences,
)
from timbrel.errors import ContractError

Spec = FeatureSpec | EmbeddingSpec


@dataclass(frozen=True, slots=True)
class Joint:
    """What one part gives and the next one wants.

    Fields:
        giver, taker: the roles of the parts.
        bridged: whether values are scaled and shifted on the way, where that is all it takes.
    """

    giver: str
    taker: str
    given: Spec
    wanted: Spec
    bridged: bool = False

    def verdict(self) -> Verdict:
        """How it fits.

        Raises:
            ContractError: it does not; every field that differs is named.
        """
        if self.given == self.wanted:
            return Exact()
        if isinstance(self.given, FeatureSpec) and isinstance(self.wanted, FeatureSpec) and self.bridged:
            try:
                return compare(self.given, self.wanted)
            except ContractError as error:
                raise self._refusal() from error
        raise self._refusal()

    def scale_and_offset(self, allow_lossy: bool) -> tuple[float, float]:
        """What brings the given values to those wanted: scale * value + offset.

        Raises:
            ContractError: it does not fit, or only with loss and that is not allowed.
        """
        match self.verdict():
            case Bridge(scale, offset):
                return scale, offset
            case Lossy(scale, offset, reasons):
                if not allow_lossy:
                    raise ContractError(
                        f"The {self.taker} fits the {self.giver} only with loss ({'; '.join(reasons)}): "
                        "compose them with --allow-lossy, or choose another."
                    )
                return scale, offset
        return 1.0, 0.0

    def _refusal(self) -> ContractError:
        fields = describe_differences(self.given, self.wanted)
        return ContractError(f"The {self.giver} does not fit the {self.taker}: {fields}.")


def joints(parts: Mapping[str, Any]) -> tuple[Joint, ...]:
    """The joints of a pipeline's networks by role, "converter" among them; what is absent has none."""
    converter = parts["converter"]
    return (
        *_of_the_voice(converter, parts.get("speaker")),
        *_of_the_content(converter, parts.get("content")),
        *_of_the_sound(converter, parts.get("content"), parts.get("vocoder")),
    )


def require(found: Iterable[Joint], allow_lossy: bool = False) -> None:
    """Checks joints, all of them before it complains.

    Raises:
        ContractError: naming each that does not fit, or fits only with loss where that is not allowed.
    """
    problems = []
    for joint in found:
        try:
            joint.scale_and_offset(allow_lossy)
        except ContractError as error:
            problems.append(str(error))
    if problems:
        raise ContractError(" ".join(problems))


def losses(found: Iterable[Joint]) -> tuple[str, ...]:
    """What is lost at joints that fit only with loss.

    Raises:
        ContractError: one does not fit at all.
    """
    verdicts = [(joint, joint.verdict()) for joint in found]
    return tuple(
        f"{joint.giver} to {joint.taker}: {reason}"
        for joint, verdict in verdicts
        if isinstance(verdict, Lossy)
        for reason in verdict.reasons
    )


def _of_the_voice(converter: Any, speaker: Any) -> Iterator[Joint]:
    wanted = getattr(converter.config, "embedding", None)
    if speaker is not None and isinstance(wanted, EmbeddingSpec):
        given = speaker.spec_out
        # Of weights that others published the space may be known by the encoder's family alone.
        if wanted.encoder == getattr(speaker, "family", None):
            given = replace(given, encoder=wanted.encoder)
        yield Joint("speaker encoder", "converter", given, wanted)
    heard = getattr(converter.config, "mel", None)
    if speaker is not None and isinstance(heard, FeatureSpec):
        yield Joint("converter's mel", "speaker encoder", heard, speaker.spec_in)


def _of_the_content(converter: Any, content: Any) -> Iterator[Joint]:
    if content is None:
        return
    heard = getattr(converter.config, "mel", None)
    if isinstance(heard, FeatureSpec):
        waveform = FeatureSpec(kind="waveform", sample_rate=heard.sample_rate, hop=1, dim=1)
        yield Joint("recording", "content encoder", waveform, content.spec_in)
    # What only exchanges frames for others of their kind takes those of any encoder.
    wanted = getattr(converter, "spec_in", content.spec_out)
    yield Joint("content encoder", "converter", _unnamed(content.spec_out, wanted), wanted)


def _of_the_sound(converter: Any, content: Any, vocoder: Any) -> Iterator[Joint]:
    makes_sound = hasattr(converter.config, "mel")
    if vocoder is None or makes_sound:
        return
    made = getattr(converter, "spec_out", None)
    if made is None and content is not None:
        made = content.spec_out  # a converter that exchanges the content encoder's frames for others
    if isinstance(made, FeatureSpec):
        given = unclipped(_unnamed(made, vocoder.spec_in), vocoder.spec_in)
        yield Joint("converter", "vocoder", given, vocoder.spec_in, bridged=True)


def unclipped(made: FeatureSpec, wanted: FeatureSpec) -> FeatureSpec:
    """What a network makes: its mel is not bound to the clip of those it learned from, unless so wanted."""
    return made if made.clip == wanted.clip else replace(made, clip=None)


def _unnamed(given: FeatureSpec, wanted: FeatureSpec) -> FeatureSpec:
    """Published parts do not name the weights whose frames they read: any of that rate and size will do."""
    anonymous = wanted.kind == "learned" and not wanted.encoder
    return replace(given, encoder="") if anonymous else given
