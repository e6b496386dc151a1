"""STUDY.toml: what the owner of a study writes, and the recordings it names.

title = "VQVC over learned features"
tests = ["mos", "smos"]
pairs = "pairs.csv"            # source,target and, if wanted, condition, text, id, ...
converted = "converted"        # a folder for each system, converted/baseline/0000.wav, ...

[systems.baseline]
[systems.proposed]
[systems.natural]
role = "reference"
column = "source"              # not converted: the recordings of this column of the pairs
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from timbrel.config import decode_config, read_toml
from timbrel.corpora import is_file_name
from timbrel.errors import ConfigError
from timbrel.evaluation.pairs import Pair, find_converted, read_pairs
from timbrel.evaluation.systems import COPY, SOURCE
from timbrel.listening.study import Headphones, Role, Test

Column = Literal["", "source", "target", "parallel"]

#: Of an anchor: below it, nothing of speech would be left.
LEAST_LOWPASS_HZ = 100.0


@dataclass(frozen=True, slots=True)
class SystemOutline:
    """Where the recordings of a system come from: by default the folder of its name.

    Fields:
        folder: of its files, relative to STUDY.toml.
        column: its recordings are those of this column of the pairs instead.
        lowpass_hz: what lies above is taken out, which makes an anchor; 0 takes nothing.
    """

    title: str = ""
    role: Role = "system"
    folder: str = ""
    column: Column = ""
    lowpass_hz: float = 0.0


@dataclass(frozen=True, slots=True)
class Outline:
    """STUDY.toml. Paths are relative to it; what is not said here is said of `Study`.

    Fields:
        converted: folder with a folder for each system.
        evaluation: folder that timbrel evaluate made: stands for `pairs` and `converted`, and for `systems`,
            if none are named: what its models made, and the sources as references.
        items: take the first rows of the pairs only; 0 takes all.
        attention: checks in each test but MUSHRA, whose hidden reference is one.
    """

    title: str
    tests: tuple[Test, ...]
    systems: dict[str, SystemOutline] = field(default_factory=dict)
    pairs: str = ""
    converted: str = ""
    evaluation: str = ""
    instructions: str = ""
    headphones: Headphones = "check"
    seed: int = 0
    listeners: int = 15
    items: int = 0
    items_per_listener: int = 0
    attention: int = 2
    loudness: float = -23.0
    comparisons: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """An outline with the files it names.

    Fields:
        files: of each system, by the ids of the pairs.
    """

    outline: Outline
    systems: Mapping[str, SystemOutline]
    pairs: list[Pair]
    files: Mapping[str, Mapping[str, Path]]


def read(path: Path) -> Found:
    """Reads a STUDY.toml and finds its recordings.

    Raises:
        ConfigError: a key is unknown, missing or impossible.
        EvaluationError: the pairs or recordings are not as they should be.
    """
    outline = decode_config(read_toml(path), Outline, name=str(path))
    for problem in _problems(outline):
        raise ConfigError(f"{path}: {problem}.")
    root = path.parent
    if outline.evaluation:
        table, converted = root / outline.evaluation / "pairs.csv", root / outline.evaluation / "converted"
    else:
        table, converted = root / outline.pairs, root / outline.converted
    pairs = read_pairs(table, limit=outline.items or None)
    systems = outline.systems or _systems_in(converted, path, natural=bool(outline.evaluation))
    files = {name: _files(name, system, pairs, root, converted) for name, system in systems.items()}
    return Found(outline, systems, pairs, files)


def _problems(outline: Outline) -> list[str]:
    problems = []
    if bool(outline.evaluation) == bool(outline.pairs):
        problems.append("name either pairs, or the folder of an evaluation")
    if outline.evaluation and outline.converted:
        problems.append("converted goes with pairs; an evaluation has its own")
    if not 0 <= outline.attention <= 20:
        problems.append("attention is the number of checks in each test: from 0 to 20")
    places = (outline.pairs, outline.converted, outline.evaluation)
    if any("\0" in place for place in (*places, *(one.folder for one in outline.systems.values()))):
        problems.append("a path holds a null character")
    if outline.items < 0:
        problems.append("items must be 0, for all, or more")
    for name, system in outline.systems.items():
        if not is_file_name(name):
            problems.append(f"{name[:40]!r} cannot be the name of a system: it is that of a folder")
        if system.folder and system.column:
            problems.append(f"systems.{name}: name a folder or a column, not both")
        if system.lowpass_hz != 0 and not system.lowpass_hz >= LEAST_LOWPASS_HZ:
            problems.append(
                f"systems.{name}: lowpass_hz must be 0, for none, or {LEAST_LOWPASS_HZ:g} or more"
            )
    return problems


def _systems_in(converted: Path, path: Path, *, natural: bool) -> dict[str, SystemOutline]:
    """A system for each folder but that of an evaluation's control; and, if wanted, natural speech."""
    folders = sorted(one.name for one in converted.iterdir() if one.is_dir()) if converted.is_dir() else []
    systems = {name: SystemOutline() for name in folders if name != COPY}
    if not systems:
        raise ConfigError(f"{path}: no systems are named, and {converted} has no folders of any.")
    speech = SystemOutline(title="natural speech", role="reference", column="source")
    return systems | ({SOURCE: speech} if natural else {})


def _files(
    name: str, system: SystemOutline, pairs: list[Pair], root: Path, converted: Path
) -> Mapping[str, Path]:
    """The recordings of a system by the ids of the pairs; of the column parallel those that there are."""
    if not system.column:
        return find_converted(root / system.folder if system.folder else converted / name, pairs)
    chosen: dict[str, Path | None] = {pair.id: getattr(pair, system.column) for pair in pairs}
    return {identity: path for identity, path in chosen.items() if path is not None}
