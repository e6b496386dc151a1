"""A checkpoint is a directory: what a model is, its weights, where they come from.

    config.toml         format, family, name, [model]: the family's hyper-parameters and contracts
    model.safetensors   the weights; never a pickle
    provenance.json     data, recipe, commit, licence, measured figures
    CARD.md             the same for people

Training adds files of its own beside these. A *pipeline* has no weights: its [model] table names
the folders of its parts inside the directory, each a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timbrel import storage
from timbrel.config import decode_config, encode_config, read_toml, to_toml
from timbrel.errors import CheckpointError, ConfigError
from timbrel.files import flush

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
#: What training adds to a checkpoint, of no use to a model that is part of another.
OF_TRAINING = ("training.safetensors", "state.json")
#: So often, 20 ms apart, it is looked whether another process has put a checkpoint in place of an older one.
_PATIENCE = 50
CONFIG, WEIGHTS, PROVENANCE, CARD = "config.toml", "model.safetensors", "provenance.json", "CARD.md"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint directory says of itself; the weights are read by `load_tensors`.

    Fields:
        config: the [model] table, to be decoded as the family's Config.
        provenance: data, recipe, commit, `licence`, `measured` figures.
    """

    path: Path
    family: str
    name: str
    config: dict[str, Any]
    provenance: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _ConfigFile:
    """Layout of config.toml."""

    format: int
    family: str
    name: str
    model: dict[str, Any] = field(default_factory=dict)


def write(
    path: Path,
    *,
    family: str,
    name: str,
    config: Any,
    tensors: Mapping[str, Tensor],
    provenance: Mapping[str, Any],
    card: str,
    parts: Mapping[str, Path] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a checkpoint directory whole or not at all.

    Args:
        config: the family's Config, a dataclass, or its tables.
        tensors: the weights; none for a pipeline.
        parts: checkpoint directories to copy in under the given folder names.
        overwrite: replace a checkpoint that is there.

    Raises:
        CheckpointError: something is at `path` already, or it cannot be written.
    """
    _settle(path)
    if path.exists() and not (overwrite and is_one(path)):
        raise CheckpointError(f"{path} exists already: choose another folder, or allow overwriting.")
    model = dict(config) if isinstance(config, Mapping) else encode_config(config)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        draft.mkdir(parents=True)
        for folder, source in (parts or {}).items():
            shutil.copytree(source, draft / folder, ignore=shutil.ignore_patterns(*OF_TRAINING))
        header = {"format": FORMAT, "family": family, "name": name, "model": model}
        _write_texts(draft, to_toml(header), provenance, card)
        if tensors:
            _save_tensors(draft / WEIGHTS, tensors)
        _flush(draft)
        _replace(draft, path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read(path: str | Path) -> Checkpoint:
    """Reads what a checkpoint directory is; imports no torch and reads no weights.

    Raises:
        CheckpointError: the directory is missing, incomplete, malformed or of another format.
    """
    path = Path(path)
    _settle(path)
    if not path.is_dir():
        raise CheckpointError(f"{path} is no checkpoint folder: there is no such folder.")
    if not (path / CONFIG).is_file():
        raise CheckpointError(f"{path} is no checkpoint folder: it has no {CONFIG}.")
    header = _header(path)
    if header.format != FORMAT:
        raise CheckpointError(
            f"{path / CONFIG} has format {header.format}, and this Timbrel reads format {FORMAT}: "
            "use the version that wrote it."
        )
    return Checkpoint(path, header.family, header.name, header.model, _read_provenance(path / PROVENANCE))


def is_one(path: Path) -> bool:
    """Whether this is a checkpoint directory, of whatever format: one that another may take the place of."""
    try:
        _header(path)
    except CheckpointError:
        return False
    return True


def _header(path: Path) -> _ConfigFile:
    try:
        return decode_config(read_toml(path / CONFIG), _ConfigFile, name=str(path / CONFIG))
    except ConfigError as error:
        raise CheckpointError(str(error)) from error


def load_tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The weights on the CPU; half precision and 8 bits, used to save space, become float32.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = checkpoint.path / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{checkpoint.path} is incomplete: it has no {WEIGHTS}.")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged and cannot be read: {error}.") from error
    return storage.expand(tensors, name=str(path))


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits that name these weights: SHA-256 over names, types, shapes and bytes."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _read_provenance(path: Path) -> dict[str, Any]:
    try:
        provenance = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path.parent} is incomplete: it has no readable {path.name}.") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(provenance, dict):
        raise CheckpointError(f"{path} must hold a JSON object.")
    return provenance


def _write_texts(folder: Path, header: str, provenance: Mapping[str, Any], card: str) -> None:
    facts = json.dumps(dict(provenance), indent=2, ensure_ascii=False)
    for name, text in ((CONFIG, header), (PROVENANCE, f"{facts}\n"), (CARD, card)):
        (folder / name).write_text(text, encoding="utf-8")


def _save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # The copies part tensors that share memory, which the format cannot express.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    try:
        save_file(copies, path)
    except SafetensorError as error:  # a disk that is full
        raise OSError(str(error)) from error
    path.chmod(0o644)  # the library writes for its user alone, and a model may be installed for all


def _flush(folder: Path) -> None:
    """Makes sure that everything in `folder` has reached the disk."""
    for path in (*folder.rglob("*"), folder):
        flush(path)


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}.previous")


def _replace(draft: Path, path: Path) -> None:
    # A directory cannot be renamed over another, so the old one steps aside first; after a kill
    # between the two renames, `_settle` brings it back.
    if path.exists():
        shutil.rmtree(_previous(path), ignore_errors=True)
        path.rename(_previous(path))
    draft.rename(path)
    shutil.rmtree(_previous(path), ignore_errors=True)


def _settle(path: Path) -> None:
    """Undoes a replacement that was cut short; one that is under way needs a moment."""
    for _ in range(_PATIENCE):
        if path.exists() or not _previous(path).is_dir():
            return
        time.sleep(0.02)
    _previous(path).rename(path)
