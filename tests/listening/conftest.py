"""A small study of every test, made once; each test has a copy that nobody has rated yet."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from timbrel.listening import invitations
from timbrel.listening.building import build
from timbrel.listening.store import Store

from .making import Clock, material
from .taking import Listener

if TYPE_CHECKING:
    from starlette.testclient import TestClient

TESTS = ("mos", "smos", "smos4", "ab", "abx", "mushra")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the study; not to be changed."""
    folder = tmp_path_factory.mktemp("study")
    build(material(folder, TESTS, items=2, listeners=3, headphones="check", attention=1), folder / "study")
    return folder / "study"


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(made, tmp_path / "study")
    return tmp_path / "study"


@pytest.fixture
def clock() -> Clock:
    """The server's."""
    return Clock()


@pytest.fixture
def client(folder: Path, clock: Clock) -> Iterator[TestClient]:
    """Of the study server."""
    pytest.importorskip("fastapi")
    from starlette.testclient import TestClient

    from timbrel.listening import server

    with TestClient(server.application(folder, clock)) as opened:
        yield opened


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    """What the server has written."""
    with Store(folder / "ratings.sqlite") as opened:
        yield opened


@pytest.fixture
def listener(client: TestClient, folder: Path, clock: Clock) -> Listener:
    """Who has the first link."""
    return Listener(client, invitations.load(folder).personal[0], clock)


@pytest.fixture
def trial(listener: Listener, store: Store) -> dict[str, Any]:
    """The first one, before anything of it was heard."""
    return listener.pass_headphones(store)
