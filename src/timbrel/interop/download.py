"""One file over https: taken up where it broke off, checked, and whole or not there at all.

The bytes so far lie in FILE.part; FILE.part.json says of what they are the beginning. `httpx2` does the
talking: `huggingface_hub` brings it along, so it costs nothing, and it takes the system's certificates,
SSL_CERT_FILE and the proxies of the environment into account.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from timbrel import __version__
from timbrel.errors import DownloadError
from timbrel.files import content_hash

#: Called with the bytes that are there and those there will be, None while nobody has said.
Progress = Callable[[int, int | None], None]

#: Bytes after which a file that nobody states the size of is taken for an endless one.
MOST = 8 << 30
#: How often in a row it is tried again without getting further.
_RETRIES = 4
_TIMEOUT = httpx2.Timeout(30.0, connect=15.0)
_TRY_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a file is and what its publisher states of it: None and empty where nothing."""

    url: str
    bytes: int | None = None
    sha256: str = ""


class LineError(Exception):
    """The line broke; it may hold the next time. `reached` tells whether there was a line at all."""

    def __init__(self, reason: str, *, reached: bool = True) -> None:
        super().__init__(reason)
        self.reached = reached


@dataclass(frozen=True, slots=True)
class _Part:
    """The beginning of a file on the disk, next to where the whole will lie."""

    target: Path

    @property
    def path(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def note(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def validator(self, remote: Remote) -> str | None:
        """What the server called the version begun here; None if it must be begun anew.

        An empty one will do where the whole is checked against a stated hash.
        """
        try:
            found = json.loads(self.note.read_text(encoding="utf-8"))
            said = str(found["validator"]) if found["url"] == remote.url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return said if said or remote.sha256 else None

    def begin(self, remote: Remote, response: httpx2.Response) -> None:
        """Notes which version of the file is coming, before its first byte is written."""
        etag = response.headers.get("etag", "")
        strong = "" if etag.startswith("W/") else etag
        found = {"url": remote.url, "validator": strong or response.headers.get("last-modified", "")}
        self.path.unlink(missing_ok=True)
        self.note.write_text(json.dumps(found), encoding="utf-8")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def download(remote: Remote, target: Path, progress: Progress, *, pause: float = 1.0) -> str:
    """Fetches a file, or the rest of it, and puts it at `target` when all of it is there and right.

    Args:
        pause: seconds before the next attempt after the line broke; each further one waits twice as long.

    Returns:
        its SHA-256 in hexadecimal.

    Raises:
        DownloadError: it cannot be had, or is not what is stated; what has come so far is kept where it
            can be taken up again, and removed where it is wrong.
    """
    part = _Part(target)
    failures = furthest = 0
    with _said_in_words(target), _client() as client:
        target.parent.mkdir(parents=True, exist_ok=True)
        begun_with = part.size
        while True:
            try:
                _fetch_rest(client, remote, part, progress)
                return _settle(remote, part)
            except LineError as trouble:
                failures = 1 if part.size > furthest else failures + 1
                furthest = max(furthest, part.size)
                if failures > _RETRIES or not (trouble.reached or part.size > begun_with):
                    kept = f", and the same command goes on from byte {part.size}" if part.size else ""
                    raise DownloadError(f"{trouble}{kept}.") from trouble
            time.sleep(pause * 2 ** (failures - 1))


def in_a_clause(error: BaseException) -> str:
    """What a library says, as a part of a sentence."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


@contextmanager
def line_troubles(url: str) -> Iterator[None]:
    """Turns what the network says into sentences, and tells what may work the next time from what will not.

    Raises:
        LineError: it may.
        DownloadError: it will not.
    """
    host = httpx2.URL(url).host
    try:
        yield
    except httpx2.ConnectError as error:
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLError):
                raise DownloadError(
                    f"{host} cannot be trusted ({in_a_clause(cause)}); behind a proxy that opens https, "
                    "set SSL_CERT_FILE to its certificate."
                ) from error
        lost = any(isinstance(cause, socket.gaierror) for cause in causes)
        reason = "nobody knows that name" if lost else in_a_clause(error)
        raise LineError(
            f"{host} cannot be reached ({reason}), so this machine may be offline", reached=False
        ) from error
    except httpx2.TooManyRedirects as error:
        raise DownloadError(f"{host} only points from one address to the next.") from error
    except httpx2.ProxyError as error:
        raise DownloadError(f"the proxy of the environment refuses {host} ({in_a_clause(error)}).") from error
    except httpx2.TimeoutException as error:
        reached = not isinstance(error, httpx2.ConnectTimeout)
        raise LineError(f"{host} says nothing for too long", reached=reached) from error
    except httpx2.TransportError as error:
        raise LineError(f"the line to {host} breaks off ({in_a_clause(error)})") from error


def _client() -> httpx2.Client:
    return httpx2.Client(
        follow_redirects=True,
        timeout=_TIMEOUT,
        headers={"User-Agent": f"timbrel/{__version__}", "Accept-Encoding": "identity"},
        event_hooks={"request": [_refuse_plain_http]},
    )


def _refuse_plain_http(request: httpx2.Request) -> None:
    if request.url.scheme != "https":
        raise DownloadError(
            f"the way leads to {request.url.copy_with(query=None)}, which is not https and could be altered."
        )


@contextmanager
def _said_in_words(target: Path) -> Iterator[None]:
    """Turns what the disk says into an error with one sentence."""
    try:
        yield
    except OSError as error:
        raise DownloadError(
            f"{error.filename or target} cannot be written: {error.strerror or error}."
        ) from error


def _fetch_rest(client: httpx2.Client, remote: Remote, part: _Part, progress: Progress) -> None:
    validator = part.validator(remote)
    start = part.size if validator is not None else 0
    if start and start == remote.bytes:
        return
    headers = {}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator:
            headers["If-Range"] = validator
    with line_troubles(remote.url), client.stream("GET", remote.url, headers=headers) as response:
        if start and _content_range(response) == (None, start):
            return  # killed between the last byte and the check
        start = _beginning(response, start, part)
        total = _total(response, start, remote)
        if not start:
            part.begin(remote, response)
        _check_room(part, (total or 0) - start)
        progress(start, total)
        _receive(response, part, start, total, progress)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _beginning(response: httpx2.Response, start: int, part: _Part) -> int:
    """The byte that the answer begins with: `start`, or 0 where the server sends all of it again."""
    url = response.request.url.copy_with(query=None)
    status = response.status_code
    if status == 416 and start:
        part.discard()
        raise LineError(f"{url} has no byte {start} any more")
    if status in _TRY_LATER:
        raise LineError(f"{url} answers {status} {response.reason_phrase}")
    if status in {401, 403}:
        raise DownloadError(f"{url} answers {status}: it is not for everyone, or not now.")
    if status not in {200, 206}:
        raise DownloadError(f"{url} answers {status} {response.reason_phrase}.")
    if response.headers.get("content-type", "").startswith("text/html"):
        raise DownloadError(f"{url} sends a web page in place of the file.")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise DownloadError(f"{url} sends the file in another encoding than it has.")
    if status == 200:
        return 0
    if not start or _content_range(response)[0] != start:
        part.discard()
        raise DownloadError(f"{url} sends another part of the file than it was asked for; try again.")
    return start


def _content_range(response: httpx2.Response) -> tuple[int | None, int | None]:
    """First byte and total of the header; None where it does not say."""
    said = response.headers.get("content-range", "").strip()
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", said)
    if found is None:
        return None, None
    first, total = found.groups()
    return int(first) if first else None, int(total) if total != "*" else None


def _total(response: httpx2.Response, start: int, remote: Remote) -> int | None:
    """How long the file will be; None where nobody knows and the end of it will show all the same."""
    length = response.headers.get("content-length", "")
    total = _content_range(response)[1] if start else None
    if total is None and length.isdecimal():
        total = start + int(length)
    if remote.bytes is not None and total not in {None, remote.bytes}:
        raise DownloadError(f"{remote.url} has {total} bytes, but its publisher states {remote.bytes}.")
    if total is not None and total > MOST:
        raise DownloadError(f"{remote.url} has {total} bytes, which is more than a model has.")
    chunked = "chunked" in response.headers.get("transfer-encoding", "")
    if total is None and not chunked and remote.bytes is None and not remote.sha256:
        raise DownloadError(
            "the server does not say how long it is, so that nobody could tell when it is whole."
        )
    return remote.bytes if total is None else total


def _check_room(part: _Part, wanted: int) -> None:
    free = shutil.disk_usage(part.path.parent).free
    if wanted > free:
        raise DownloadError(f"{part.path.parent} has room for {free} bytes, and {wanted} are to come.")


def _receive(
    response: httpx2.Response, part: _Part, start: int, total: int | None, progress: Progress
) -> None:
    there, most = start, MOST if total is None else total
    with part.path.open("ab") as file:
        for chunk in response.iter_raw():
            there += len(chunk)
            if there > most:
                part.discard()
                raise DownloadError(
                    f"{response.request.url.host} sends more than the {most} bytes there should be."
                )
            file.write(chunk)
            progress(there, total)
    if total is not None and there < total:
        raise LineError(f"{response.request.url.host} sends only {there} of {total} bytes")


def _settle(remote: Remote, part: _Part) -> str:
    """Puts the part in its place if it is the file that was wanted; its hash."""
    found = content_hash(part.path)
    if remote.sha256 and found != remote.sha256.lower():
        part.discard()
        raise DownloadError(
            f"what came from {remote.url} has the SHA-256 {found}, not {remote.sha256.lower()} as it should."
        )
    with part.path.open("rb") as file:
        os.fsync(file.fileno())
    part.path.replace(part.target)
    part.note.unlink(missing_ok=True)
    return found
