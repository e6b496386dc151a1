"""What a judge needs on this machine beside packages: files of a model hub; and what it is known by."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Iterable, Sequence
from pathlib import Path

from timbrel.errors import EvaluationError
from timbrel.files import content_hash
from timbrel.packages import OFFLINE, require

#: How packages are had that are needed for their code.
EXTRA = "pip install 'timbrel[evaluate]'"


def hub_folder(judge: str, repository: str, patterns: list[str], download: bool) -> Path:
    """The folder with the files of a repository on the Hugging Face hub.

    Args:
        patterns: of the files that are needed.
        download: whether what is not here may be fetched.

    Raises:
        EvaluationError: it is not here, and may not or cannot be fetched.
    """
    require(judge, ["huggingface_hub"], "pip install 'timbrel[pull]'", "its weights are then downloaded once")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        found = snapshot_download(repository, allow_patterns=patterns, local_files_only=not download)
    except (LocalEntryNotFoundError, HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        raise EvaluationError(not_here(judge, repository, download)) from error
    return Path(found)


def not_here(judge: str, model: str, download: bool) -> str:
    """The sentence about a network that no package holds."""
    tried = "could not be downloaded" if download else "are not on this machine"
    way = "try again with a network connection" if download else "allow the download once with --download"
    return f"The weights of {judge} ({model}) {tried}: {way}, or put them there by hand; {OFFLINE}."


def fingerprint(formula: str, distributions: Iterable[str] = (), files: Iterable[Path] = ()) -> str:
    """Names what makes a figure: our formula and packages with their versions, weights by their SHA-256.

    "dnsmos-1 speechmos-0.0.1.1 1b7a2c3d4e5f6071"

    Args:
        distributions: of each its name, or the names under which one package is published, after commas.
    """
    versions = [_version(names.split(",")) for names in distributions]
    return " ".join([formula, *versions, *(content_hash(path)[:16] for path in files)])


def _version(names: Sequence[str]) -> str:
    """The first that is installed, with its version."""
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return f"{name}-{importlib.metadata.version(name)}"
    return f"{names[0]}-unknown"
