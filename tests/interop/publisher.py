"""A publisher's server on this machine, https, that behaves as well or as badly as a test wants."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme

#: Answers one request for a file of these bytes.
Way = Callable[["Handler", bytes], None]


@dataclass(slots=True)
class Publisher:
    """What the server has, how it sends it, and what it was asked.

    Fields:
        authority: PEM file of whoever signed its certificate, for SSL_CERT_FILE.
        files: by path.
        ways: by path; `whole` where nothing is said.
        asked: method, path, Range and If-Range of each request.
    """

    url: str
    authority: Path
    files: dict[str, bytes] = field(default_factory=dict)
    ways: dict[str, Way] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)

    def ranges(self) -> list[str | None]:
        """The ranges of the files fetched, in turn."""
        return [asked[2] for asked in self.asked if asked[0] == "GET"]


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP/1.1, one request a connection."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        publisher: Publisher = self.server.publisher
        sent = self.headers.get("Range"), self.headers.get("If-Range")
        publisher.asked.append((self.command, self.path, *sent))
        self.close_connection = True
        body = publisher.files.get(self.path)
        if body is None and self.path not in publisher.ways:
            self.head(404, {"Content-Length": "0"})
            return
        publisher.ways.get(self.path, whole)(self, body or b"")

    do_HEAD = do_GET  # noqa: N815

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def body(self, data: bytes) -> None:
        if self.command == "HEAD":
            return
        try:
            self.wfile.write(data)
            self.wfile.flush()
        except OSError:
            pass  # the client has had enough

    def log_message(self, *_arguments: object) -> None:
        """Keeps quiet."""


def whole(handler: Handler, body: bytes, *, etag: str = '"one"', sent: int | None = None) -> None:
    """Sends the file, or the part asked for; breaks off after `sent` bytes of it."""
    start = 0
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    headers = {"ETag": etag}
    if asked and handler.headers.get("If-Range", etag) == etag:
        start = int(asked[1])
        if start >= len(body):
            handler.head(416, {"Content-Range": f"bytes */{len(body)}", "Content-Length": "0"})
            return
        headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
    headers["Content-Length"] = f"{len(body) - start}"
    handler.head(206 if "Content-Range" in headers else 200, headers)
    handler.body(body[start:] if sent is None else body[start : start + sent])


def breaking(*stops: int) -> Way:
    """Breaks off after so many bytes of the first answer, of the second, and so on; then sends the rest."""
    left = list(stops)

    def way(handler: Handler, body: bytes) -> None:
        whole(handler, body, sent=left.pop(0) if left else None)

    return way


def always_breaking(handler: Handler, body: bytes) -> None:
    """Half of what is asked for never comes."""
    whole(handler, body, sent=0 if handler.headers.get("Range") else len(body) // 2)


def ignoring_ranges(*stops: int) -> Way:
    """As `breaking`, but sends the file from its beginning every time."""
    left = list(stops)

    def way(handler: Handler, body: bytes) -> None:
        handler.head(200, {"Content-Length": f"{len(body)}"})
        handler.body(body[: left.pop(0)] if left else body)

    return way


def plain(headers: dict[str, str], status: int = 200) -> Way:
    """Sends the file with these headers, whatever they say."""

    def way(handler: Handler, body: bytes) -> None:
        handler.head(status, headers)
        handler.body(body)

    return way


def chunks(number: int) -> Way:
    """Sends the file so many times over without saying how long that will be."""

    def way(handler: Handler, body: bytes) -> None:
        handler.head(200, {"Transfer-Encoding": "chunked"})
        for _ in range(number):
            handler.body(f"{len(body):x}\r\n".encode() + body + b"\r\n")
        handler.body(b"0\r\n\r\n")

    return way


def slow(seconds: float, pieces: int = 20) -> Way:
    """Sends the file, or the part asked for, in pieces with pauses that add up to so much."""

    def way(handler: Handler, body: bytes) -> None:
        start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
        length, size = len(body) - start, -(-len(body) // pieces)
        headers = {"ETag": '"one"', "Content-Length": f"{length}"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        handler.head(206 if start else 200, headers)
        for at in range(start, len(body), size):
            handler.body(body[at : at + size])
            time.sleep(seconds / pieces if handler.command == "GET" else 0)

    return way


def silent(handler: Handler, body: bytes) -> None:
    """Takes the request and says nothing for longer than a test waits."""
    time.sleep(0.5)
    whole(handler, body)


def hub(way: Way, *, etag: str, commit: str = "c" * 40) -> Way:
    """What the Hugging Face hub says of a file when asked for its head; `way` sends it."""

    def answer(handler: Handler, body: bytes) -> None:
        if handler.command == "HEAD":
            stated = {"X-Repo-Commit": commit, "X-Linked-Etag": f'"{etag}"', "X-Linked-Size": f"{len(body)}"}
            handler.head(200, {**stated, "Content-Length": f"{len(body)}"})
        else:
            way(handler, body)

    return answer


@contextmanager
def opened(folder: Path) -> Iterator[Publisher]:
    """A server with a certificate for localhost, until the end of the block."""
    import ssl

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server: Any = _Quiet(("localhost", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.publisher = Publisher(f"https://localhost:{server.server_port}", folder / "authority.pem")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.publisher
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_arguments: object) -> None:
        """A client that hangs up or mistrusts is no news."""
