"""The paths of the page: all are there to read, and nothing can be changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from importlib.resources import files
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from edge_ecg.health import Health
from edge_ecg.web.desk import Desk
from edge_ecg.web.guard import COOKIE, STREAM, Access, Guard, abort
from edge_ecg.web.metrics import checkup
from edge_ecg.web.viewers import Viewer, Viewers

__all__ = ["page_app"]

STUCK_S = 10.0
"""A page that takes nothing for so long is cut off."""
_FORM_BYTES = 1024
_COOKIE_S = 30 * 86400
_REFUSED_AFTER_S = 0.3

_FILES = {
    "/": ("index.html", "text/html"),
    "/login": ("login.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/strip.js": ("strip.js", "text/javascript"),
    "/charts.js": ("charts.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/uPlot.iife.min.js": ("uPlot.iife.min.js", "text/javascript"),
    "/uPlot.min.css": ("uPlot.min.css", "text/css"),
    "/uPlot.LICENSE": ("uPlot.LICENSE", "text/plain"),
}


def page_app(desk: Desk, viewers: Viewers, health: Callable[[], Health], access: Access) -> ASGIApp:
    """All of it, behind its guard."""
    pages = _Pages(desk, viewers, health, access)
    routes = [
        *(Route(path, _file(name, kind)) for path, (name, kind) in _FILES.items()),
        Route("/login", pages.login, methods=["POST"]),
        Route("/state", pages.state),
        Route("/metrics", pages.metrics),
        Route("/healthz", pages.healthz),
        Route(STREAM, pages.stream),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return Guard(app, access)


def _file(name: str, kind: str) -> Callable[[Request], Response]:
    content = _static(name)

    def answer(request: Request) -> Response:
        return Response(content, media_type=f"{kind}; charset=utf-8")

    return _at_once(answer)


def _static(name: str) -> bytes:
    return (files("edge_ecg.web") / "static" / name).read_bytes()


def _at_once(answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """Answer in the loop itself: a plain function would get a thread of a pool."""

    async def endpoint(request: Request) -> Response:
        return answer(request)

    return endpoint  # type: ignore[return-value]


class _Pages:
    def __init__(self, desk: Desk, viewers: Viewers, health: Callable[[], Health], access: Access) -> None:
        self._desk = desk
        self._viewers = viewers
        self._health = health
        self._access = access

    async def state(self, request: Request) -> Response:
        """The figures, for `edge-ecg top` and other programs."""
        return JSONResponse({**self._desk.state(), "viewers": len(self._viewers)})

    async def metrics(self, request: Request) -> Response:
        """The figures, for Prometheus."""
        text = self._desk.metrics(len(self._viewers))
        return PlainTextResponse(text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def healthz(self, request: Request) -> Response:
        """Whether it is well."""
        ok, told = checkup(self._health(), time.time())
        return JSONResponse(told, 200 if ok else 503)

    async def login(self, request: Request) -> Response:
        """The form: the right token gives the cookie."""
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _FORM_BYTES:
                return PlainTextResponse("Too long.\n", 413, {"Connection": "close"})
        token = parse_qs(body.decode("latin-1")).get("token", [""])[0]
        if not self._access.is_token(token.strip().encode()):
            await asyncio.sleep(_REFUSED_AFTER_S)
            return Response(_static("login.html").replace(b" hidden", b""), 403, media_type="text/html; charset=utf-8")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE,
            self._access.session,
            max_age=_COOKIE_S,
            httponly=True,
            samesite="strict",
            secure=request.headers.get("x-forwarded-proto") == "https",
        )
        return answer

    async def stream(self, request: Request) -> Response:
        """What happens, as server-sent events."""
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        viewer = self._viewers.join()
        if viewer is None:
            return PlainTextResponse("There are too many viewers.\n", 503, {"Retry-After": "10"})
        viewer.put(self._desk.hello())
        return _Stream(viewer, self._viewers)


class _Stream(Response):
    """An answer that goes on until its viewer leaves, hangs, or the daemon ends."""

    def __init__(self, viewer: Viewer, viewers: Viewers) -> None:
        super().__init__()
        self._viewer = viewer
        self._viewers = viewers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(self._wait_until_gone(receive))
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while piece := await self._viewer.next():
                async with asyncio.timeout(STUCK_S):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            if not gone.done():
                async with asyncio.timeout(STUCK_S):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            abort(scope)
        finally:
            self._viewers.leave(self._viewer)
            gone.cancel()

    async def _wait_until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._viewer.end()
