"""What enrolment keeps of a person, and the `.voice` file.

A voice file is a safetensors file with JSON metadata, never a pickle: embeddings by the fingerprint of
the encoder that made them, pitch statistics, the reference frames that a model attends to, and where
they come from.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from timbrel.errors import CheckpointError, OutputError, TimbrelError
from timbrel.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

K = TypeVar("K", bound=Hashable)

SUFFIX = ".voice"
#: Bytes of voices that `remembered` keeps; one of ten seconds has a megabyte or two.
MOST_REMEMBERED = 1 << 30
_FORMAT = "1"
#: ln(F0 / Hz) between which every voice lies, and a deviation that none has.
_LOWEST, _HIGHEST, _WIDEST = 3.0, 8.0, 3.0


class _Facts(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON in a voice file; see `Voice`."""

    model: str
    encoder: str
    log_f0_mean: float
    log_f0_std: float
    seconds: float
    sources: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Voice:
    """A person's voice as a model knows it.

    Fields:
        model: name of the model that enrolled it.
        encoder: fingerprint of the weights that made `frames`.
        embeddings: one vector (E,) per speaker encoder, by the encoder's fingerprint.
        frames: reference frames by kind, each (R, ...).
        log_f0_mean, log_f0_std: of ln(F0 / Hz) over voiced frames.
        seconds: speech heard.
        sources: names of the recordings.
        warnings: what is wrong with the recordings, in sentences.
        beyond: how much farther from what voices have in common a conversion is to go than the voice itself
            is, as a share of what lies between. Asked of one conversion, and not kept in the file.
    """

    model: str
    encoder: str
    embeddings: dict[str, Tensor]
    frames: dict[str, Tensor]
    log_f0_mean: float
    log_f0_std: float
    seconds: float
    sources: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    beyond: float = 0.0

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Writes the voice whole or not at all.

        Raises:
            OutputError: the file exists and `force` is not set, or it cannot be written.
        """
        from safetensors.torch import save

        path = Path(path)
        if path.suffix != SUFFIX:
            raise OutputError(f'"{path}" must end in {SUFFIX} to be a voice.')
        if path.exists() and not force:
            raise OutputError(f'"{path}" exists already: choose another name or add --force.')
        write_bytes(path, save(self._tensors(), self._metadata()))

    @classmethod
    def load(cls, path: str | Path) -> Voice:
        """Reads a `.voice` file.

        Raises:
            CheckpointError: the file is missing or is no voice.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(path)
        if not path.is_file():
            raise CheckpointError(f'There is no voice "{path}".')
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return cls._from(metadata, tensors)
        except (SafetensorError, OSError, RecursionError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f'"{path}" is not a voice that this Timbrel can read; enrol it again.'
            ) from error

    def _tensors(self) -> dict[str, Tensor]:
        named = {f"embedding.{name}": tensor for name, tensor in self.embeddings.items()}
        named.update({f"frames.{name}": tensor for name, tensor in self.frames.items()})
        return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in named.items()}

    def _metadata(self) -> dict[str, str]:
        facts = {
            "model": self.model,
            "encoder": self.encoder,
            "log_f0_mean": self.log_f0_mean,
            "log_f0_std": self.log_f0_std,
            "seconds": self.seconds,
            "sources": self.sources,
            "warnings": self.warnings,
        }
        return {"timbrel_voice": _FORMAT, "voice": json.dumps(facts)}

    @classmethod
    def _from(cls, metadata: dict[str, str], tensors: dict[str, Tensor]) -> Voice:
        if metadata["timbrel_voice"] != _FORMAT:
            raise ValueError("another format")
        facts = msgspec.json.decode(metadata["voice"], type=_Facts)

        def named(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

        voice = cls(embeddings=named("embedding."), frames=named("frames."), **msgspec.structs.asdict(facts))
        voice._check()
        return voice

    def _check(self) -> None:
        """Raises ValueError if there is anything that no enrolment writes."""
        pitch = self.log_f0_mean == 0 or _LOWEST < self.log_f0_mean < _HIGHEST
        if not (pitch and 0 <= self.log_f0_std < _WIDEST and 0 <= self.seconds < math.inf):
            raise ValueError("impossible figures")
        shapes = all(one.ndim == 1 and len(one) > 1 for one in self.embeddings.values())
        if not shapes or any(one.ndim == 0 or len(one) == 0 for one in self.frames.values()):
            raise ValueError("impossible shapes")
        for one in (*self.embeddings.values(), *self.frames.values()):
            if one.is_floating_point() and not bool(one.isfinite().all()):
                raise ValueError("values that are not finite")

    def require_frames(self, **shapes: tuple[int, ...]) -> None:
        """Sees to it that frames of some kinds are there, as many of each.

        Args:
            shapes: of one frame, by kind.

        Raises:
            CheckpointError: they are not, or have other shapes: the file was changed.
        """
        found = [(self.frames.get(kind), shape) for kind, shape in shapes.items()]
        if any(one is None or tuple(one.shape[1:]) != shape for one, shape in found) or (
            len({len(one) for one, _ in found if one is not None}) != 1
        ):
            raise CheckpointError(
                f"The voice of {', '.join(self.sources)} lacks {' or '.join(shapes)} as {self.model} "
                "enrols them; enrol it again."
            )


def remembered(enrol: Callable[[K], Voice]) -> Callable[[K], Voice]:
    """`enrol` for conversions one after the other: the voices asked for last are not enrolled again.

    Nor are those that could not be: the error is raised once more.
    """
    known: OrderedDict[K, Voice | TimbrelError] = OrderedDict()

    def voice(key: K) -> Voice:
        if key not in known:
            try:
                known[key] = enrol(key)
            except TimbrelError as error:
                known[key] = error
        known.move_to_end(key)
        while len(known) > 1 and sum(map(_bytes, known.values())) > MOST_REMEMBERED:
            known.popitem(last=False)
        found = known[key]
        if isinstance(found, TimbrelError):
            raise found
        return found

    return voice


def _bytes(found: Voice | TimbrelError) -> int:
    return 0 if isinstance(found, TimbrelError) else sum(one.nbytes for one in found.frames.values())
