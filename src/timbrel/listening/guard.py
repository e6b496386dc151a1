"""What every answer of the study server carries, and what no request may have.

A middleware of plain ASGI: it sees the bytes before anything else does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

#: Bytes of the largest form: the answers to a MUSHRA trial take a few hundred.
LARGEST_BODY = 8192

_HEADERS = {
    # Scripts, styles and audio of this server only; no inline script, no other site may frame it.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; media-src 'self'; "
    "connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    # The address of a page is what lets a listener in: it goes to nobody else.
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
}


class _TooLargeError(Exception):
    """A body went on beyond what its header said, or had no such header."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Refuses oversized bodies with 413 and adds the security headers."""

    application: Application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", []), *_ENCODED]
            await send(message)

        if _announced(scope) > LARGEST_BODY:
            await _refuse(send_guarded)
            return
        try:
            await self.application(scope, _counted(receive), send_guarded)
        except _TooLargeError:
            if started:
                raise
            await _refuse(send_guarded)


def _announced(scope: Message) -> int:
    """What the header says the body has; a nonsensical header counts as too much."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return max((int(one) if one.isdigit() else LARGEST_BODY + 1 for one in lengths), default=0)


def _counted(receive: Receive) -> Receive:
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > LARGEST_BODY:
            raise _TooLargeError
        return message

    return counted


async def _refuse(send: Send) -> None:
    body = b'{"detail":"That is more than any answer has."}'
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    # The rest of the body is not waited for.
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})


_ENCODED = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
