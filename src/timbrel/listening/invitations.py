"""Links to a study that nobody guesses: one for each planned listener, and one for whoever is given it."""

from __future__ import annotations

import csv
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from timbrel.errors import ConfigError

_FILE = "invitations.csv"
_FIELDS = ["kind", "token"]
#: Bytes of randomness in a token.
_BYTES = 16


@dataclass(frozen=True, slots=True)
class Invitations:
    """Tokens of links.

    Fields:
        open: anyone who has it may join, and gets a token of his own.
        personal: each is one listener, who comes back by it.
    """

    open: str
    personal: tuple[str, ...]

    def links(self, url: str) -> Iterator[str]:
        """The personal links, below the address of the server."""
        return (f"{url.rstrip('/')}/l/{token}/" for token in self.personal)

    def open_link(self, url: str) -> str:
        """The link for everybody."""
        return f"{url.rstrip('/')}/join/{self.open}"


def token() -> str:
    """A fresh one: 128 random bits."""
    return secrets.token_urlsafe(_BYTES)


def create(folder: Path, listeners: int) -> Invitations:
    """Makes invitations for so many listeners and writes them where only the owner reads them."""
    made = Invitations(token(), tuple(token() for _ in range(listeners)))
    descriptor = os.open(folder / _FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_FIELDS)
        writer.writerow(["open", made.open])
        writer.writerows(["personal", one] for one in made.personal)
    return made


def load(folder: Path) -> Invitations:
    """Reads them.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    path = folder / _FILE
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(row["kind"], row["token"]) for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read: {error}; make the study again.") from error
    opening = [token for kind, token in rows if kind == "open"]
    personal = tuple(token for kind, token in rows if kind == "personal")
    if len(opening) != 1 or any(len(token or "") < _BYTES for _, token in rows):
        raise ConfigError(f"{path} is damaged: it must have one open token, and none that is short.")
    return Invitations(opening[0], personal)
