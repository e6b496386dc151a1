"""The addresses of the study server; see `timbrel.listening.server` for the list of them.

Functions that wait for the disk are plain ones, which FastAPI runs on threads of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Cookie, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from timbrel.listening.invitations import Invitations, token
from timbrel.listening.session import RefusalError, Session

_PAGES = Path(__file__).with_name("pages")
#: All that /static/ has: no name from outside is looked up in the file system.
_STATIC = {
    "icon.svg": "image/svg+xml",
    "parts.js": "text/javascript",
    "study.css": "text/css",
    "study.js": "text/javascript",
}
_COOKIE = "timbrel-listener"
_COOKIE_SECONDS = 30 * 24 * 3600


class Tone(BaseModel):
    """Which tone was the quietest, 0 to 2."""

    model_config = ConfigDict(strict=True, extra="forbid")
    answer: int


class Submission(BaseModel):
    """The answers to one trial."""

    model_config = ConfigDict(strict=True, extra="forbid")
    position: int = Field(ge=0, lt=1_000_000)
    answers: list[int] = Field(min_length=1, max_length=64)
    heard_seconds: float = Field(ge=0, le=24 * 3600, allow_inf_nan=False)


def pages() -> APIRouter:
    """Style and scripts, the same for everyone."""
    router = APIRouter()

    @router.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in _STATIC:
            raise HTTPException(404)
        return FileResponse(_PAGES / name, media_type=_STATIC[name])

    return router


def joining(session: Session, invited: Invitations) -> APIRouter:
    """The link for everybody. Looking at it changes nothing: programs that preview links do so."""
    router = APIRouter()

    @router.get("/join/{opening}")
    def ask(opening: str) -> Response:
        _require_open(invited, opening)
        return _page("join.html")

    @router.post("/join/{opening}")
    def join(
        request: Request, opening: str, known: Annotated[str | None, Cookie(alias=_COOKIE)] = None
    ) -> Response:
        _require_open(invited, opening)
        link = known if known is not None and session.store.find(known) is not None else token()
        session.join(link)
        answer = RedirectResponse(f"/l/{link}/", 303)
        answer.set_cookie(
            _COOKIE,
            link,
            max_age=_COOKIE_SECONDS,
            path=f"/join/{opening}",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )
        return answer

    return router


def listening(session: Session, invited: Invitations) -> APIRouter:
    """What one listener sees and sends."""
    router, personal = APIRouter(prefix="/l/{link}"), frozenset(invited.personal)

    def listener(link: str) -> str:
        found = session.store.find(link)
        if found is None:
            raise HTTPException(404)
        return found

    @router.get("/")
    def page(link: str) -> Response:
        if link not in personal:
            listener(link)
        return _page("study.html")

    @router.get("/welcome")
    def welcome(link: str) -> dict[str, Any]:
        if link not in personal:
            listener(link)
        return session.welcome(session.store.find(link))

    @router.post("/begin")
    def begin(link: str) -> dict[str, Any]:
        if link not in personal:
            listener(link)
        return session.state(session.join(link))

    @router.get("/tones/{number}")
    def tones(link: str, number: int) -> Response:
        return FileResponse(session.tones(listener(link), number), media_type="audio/wav")

    @router.post("/tones/{number}")
    def answer(link: str, number: int, tone: Tone) -> dict[str, Any]:
        session.answer_tone(found := listener(link), number, tone.answer)
        return session.state(found)

    @router.get("/audio/{position}/{slot}")
    def audio(link: str, position: int, slot: int) -> Response:
        return FileResponse(session.recording(listener(link), position, slot), media_type="audio/flac")

    @router.post("/ratings")
    def rate(link: str, submission: Submission) -> dict[str, Any]:
        found = listener(link)
        session.rate(found, submission.position, submission.answers, submission.heard_seconds)
        return session.state(found)

    return router


def refuse(app: FastAPI) -> None:
    """Answers what is refused with one sentence, and never with what was sent."""

    @app.exception_handler(RefusalError)
    def refusal(_: Request, error: Exception) -> Response:
        return JSONResponse({"detail": str(error)}, error.status if isinstance(error, RefusalError) else 500)

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, __: Exception) -> Response:
        return JSONResponse({"detail": "That is no answer to this page."}, 422)

    @app.exception_handler(404)
    def unknown(_: Request, __: Exception) -> Response:
        return _page("unknown.html", 404)


def _require_open(invited: Invitations, opening: str) -> None:
    if opening != invited.open:
        raise HTTPException(404)


def _page(name: str, status: int = 200) -> Response:
    return FileResponse(_PAGES / name, status, media_type="text/html; charset=utf-8")
