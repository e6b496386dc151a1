"""The study server: pages and JSON over `Session`, on the loopback address unless told otherwise.

    GET  /join/OPEN                        a page with a button; POST makes a listener and his own link
    GET  /l/LINK/                          the page of one listener; all below it is his
    GET  /l/LINK/welcome                   what its first screen says
    POST /l/LINK/begin                     takes part from now on, or goes on; says what to show next
    GET  /l/LINK/tones/N                   headphone check; POST answers it and says what to show next
    GET  /l/LINK/audio/POSITION/SLOT       a recording of the trial that comes next
    POST /l/LINK/ratings                   answers it and says what to show next
    GET  /static/NAME                      style and scripts

Nothing is logged: neither addresses nor browsers are kept anywhere.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

from timbrel.errors import ConfigError
from timbrel.listening import invitations, study
from timbrel.listening.guard import Guard
from timbrel.listening.session import Session
from timbrel.listening.store import Store


def serve(application: Any, host: str, port: int) -> None:
    """Serves what `application` gives until it is interrupted.

    Raises:
        ConfigError: uvicorn is not installed, or the address cannot be listened at.
    """
    if not host:
        # The system would take it for every address of this machine.
        raise ConfigError("Name the address to listen at: 127.0.0.1, or 0.0.0.0 to let other machines in.")
    try:
        import uvicorn
    except ImportError as error:
        raise _missing(error) from error
    settings = uvicorn.Config(
        application, host=host, port=port, log_level="error", access_log=False, server_header=False
    )
    try:
        listening = socket.create_server((host, port), family=_family(host), backlog=512)
    except OSError as error:
        # Python says once more which address it tried.
        why = str(error.strerror or error).partition(" (while")[0]
        raise ConfigError(f"{host}:{port} cannot be listened at: {why}.") from error
    except (UnicodeError, TypeError) as error:
        raise ConfigError(f"{host[:40]!r} is no address that could be listened at.") from error
    with listening:
        uvicorn.Server(settings).run([listening])


def open_session(folder: Path, clock: Callable[[], float] = time.time) -> Session:
    """The study in a folder, ready to take ratings.

    Raises:
        ConfigError: the folder is no study, or a recording of it is gone.
    """
    found = study.load(folder)
    needed = [study.audio_path(folder, identity) for identity in found.seconds()]
    if found.headphones != "off":
        needed += [study.tones_path(folder, *tones) for tones in permutations(range(3), 2)]
    for path in needed:
        if not path.is_file():
            raise ConfigError(f"{path} is gone: make the study again.")
    return Session(found, folder, Store(folder / "ratings.sqlite"), clock)


def application(folder: Path, clock: Callable[[], float] = time.time) -> Any:
    """The ASGI application of the study in a folder.

    Raises:
        ConfigError: the folder is no study, or FastAPI is not installed.
    """
    try:
        from fastapi import FastAPI

        from timbrel.listening import routes
    except ImportError as error:
        raise _missing(error) from error
    session, invited = open_session(folder, clock), invitations.load(folder)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    for router in (routes.pages(), routes.joining(session, invited), routes.listening(session, invited)):
        app.include_router(router)
    routes.refuse(app)
    return Guard(app)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _missing(error: ImportError) -> ConfigError:
    return ConfigError(f"Serving a study needs {error.name}: pip install 'timbrel[listen]'.")
