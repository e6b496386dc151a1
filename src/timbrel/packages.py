"""Packages that only some work needs: whether they are installed, and the networks in them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from timbrel.errors import EvaluationError

#: How packages are had that are needed for their weights only: what those declare to need would bring another
#: torch, or ask for a compiler.
BARE = "pip install --no-deps"
#: Two that hold networks which teach, and judge as well.
MOONSHINE, RESEMBLYZER = f"{BARE} moonshine-voice==0.0.48", f"{BARE} Resemblyzer==0.1.4"
OFFLINE = "it then works offline"


def require(user: str, modules: Iterable[str], install: str, after: str = OFFLINE) -> None:
    """Sees to it that packages are there, without importing them.

    Args:
        user: who needs them.
        install: the command that installs what is missing.
        after: whether it then works without a network connection, as a clause.

    Raises:
        EvaluationError: one is not.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise EvaluationError(f"{user} needs {' and '.join(missing)}: {install}; {after}.")


def packaged(user: str, package: str, member: str, install: str) -> Path:
    """A file inside an installed package, which is not imported.

    Raises:
        EvaluationError: the package is missing, or this version of it holds no such file.
    """
    require(user, [package], install)
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations if spec is not None else None) or []
    found = [Path(folder) / member for folder in folders if (Path(folder) / member).is_file()]
    if not found:
        raise EvaluationError(
            f"{user} needs {member} of the package {package}, which the installed version does not hold: "
            f"{install}; {OFFLINE}."
        )
    return found[0]


def open_network(path: Path, fused: Path | None = None) -> Any:
    """An ONNX or ORT network, run by one thread: what needs it runs several side by side.

    Args:
        fused: where it is also written as ONNX, as it runs.
    """
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is raised
    if fused is not None:
        options.optimized_model_filepath = str(fused)
        options.add_session_config_entry("session.save_model_format", "ONNX")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
