"""The published models that `timbrel pull` knows: who publishes them, where, under which licence."""

from __future__ import annotations

import difflib
import shlex
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from timbrel import registry
from timbrel.checkpoint import CONFIG
from timbrel.config import decode_config, read_toml
from timbrel.errors import DownloadError
from timbrel.interop.family import Options

_LIST = Path(__file__).with_name("known.toml")


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file of a published model.

    Fields:
        url: where it is fetched; empty where the model's hub repository holds it, or a browser is needed.
        bytes, sha256: as the publisher states them; otherwise nothing.
        about: the size as the publisher rounds it.
    """

    name: str
    url: str = ""
    bytes: int | None = None
    sha256: str = ""
    about: str = ""

    @property
    def size(self) -> str:
        """The size in words."""
        return byte_count(self.bytes) if self.bytes is not None else self.about or "not stated"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A published model.

    Fields:
        family: of `timbrel import`.
        page: where a person can get the files.
        licence: what is stated for the files where they are published; empty where nothing is.
        terms: what else there is to say of the licence.
        hub: repository of the Hugging Face hub that holds the files; `revision` is the one fetched.
        options: of `timbrel import`: what is not in the file and has to be said.
        lacks: words of an option that it needs as well, for a file that is published nowhere.
    """

    name: str
    family: str
    summary: str
    page: str
    files: tuple[KnownFile, ...]
    licence: str = ""
    terms: str = ""
    hub: str = ""
    revision: str = "main"
    options: Options = field(default_factory=Options)
    lacks: tuple[str, ...] = ()

    @property
    def by_hand(self) -> bool:
        """Whether only a browser gets the files."""
        return not self.hub and not all(file.url for file in self.files)

    @property
    def host(self) -> str:
        """Who sends the files."""
        return urlsplit(self.page if self.hub or self.by_hand else self.files[0].url).hostname or ""

    @property
    def size(self) -> str:
        """The size of its largest file in words; the others are small."""
        return next((file.size for file in reversed(self.files) if file.size != "not stated"), "not stated")

    @property
    def installed(self) -> Path:
        """The checkpoint folder it is imported into, so that its name finds it."""
        return registry.home() / "models" / self.name

    @property
    def is_installed(self) -> bool:
        """Whether it has been imported."""
        return (self.installed / CONFIG).is_file()

    @property
    def downloaded(self) -> Path:
        """The folder its files are fetched into."""
        return registry.home() / "downloads" / self.name

    @property
    def source(self) -> Path:
        """What is imported: its one file, or the folder of several."""
        return self.downloaded / self.files[0].name if len(self.files) == 1 else self.downloaded

    def import_line(self, source: str) -> str:
        """The command that imports `source` so that the model's name finds it."""
        stated = {item.name: getattr(self.options, item.name) for item in fields(self.options)}
        options = [
            word
            for name, value in stated.items()
            if value is not None
            for word in (f"--{name.replace('_', '-')}", f"{value}")
        ]
        return shlex.join(
            ["timbrel", "import", self.family, source, "-o", str(self.installed), *options, *self.lacks]
        )

    @property
    def way_by_hand(self) -> str:
        """What to do where the files cannot be fetched, as the end of a sentence."""
        names = " and ".join(file.name for file in self.files)
        into, source = (" into one FOLDER", "FOLDER") if len(self.files) > 1 else ("", self.files[0].name)
        return f"get {names} by hand from {self.page}{into}, then run: {self.import_line(source)}"


@dataclass(frozen=True, slots=True)
class _List:
    """Layout of known.toml."""

    model: tuple[KnownModel, ...]


@cache
def known() -> tuple[KnownModel, ...]:
    """All published models in the order of the list."""
    return decode_config(read_toml(_LIST), _List, name=str(_LIST)).model


def find(name: str) -> KnownModel:
    """The published model of that name.

    Raises:
        DownloadError: the list does not have it; the message says which it has.
    """
    by_name = {model.name: model for model in known()}
    if name in by_name:
        return by_name[name]
    near = difflib.get_close_matches(name, by_name, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"those known are {', '.join(by_name)}."
    raise DownloadError(f'There is no published model "{name}" to pull: {hint}')


def byte_count(number: int) -> str:
    """A number of bytes in the unit that suits it."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number} bytes"
