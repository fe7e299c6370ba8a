"""What stands before the page: who may ask, how long an answer may take, what the headers of each say."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from dataclasses import dataclass

from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["COOKIE", "OPEN_PATHS", "Access", "Guard", "abort"]

COOKIE = "edge-ecg"
OPEN_PATHS = frozenset({"/login", "/page.css", "/icon.svg"})
"""What a viewer without a token may see: the form, and what it looks like."""
STREAM = "/stream"
ANSWER_S = 20.0
_HEADERS = [
    (b"content-security-policy", b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask.

    Attributes
    ----------
    token
        What viewers need; None: nothing.
    hosts
        What the header Host may say; None: anything. Without a token it is what keeps out a foreign site whose name
        was made to point here (DNS rebinding).
    """

    token: str | None
    hosts: frozenset[str] | None

    @property
    def session(self) -> str:
        """What the cookie holds: it follows from the token, but does not tell it."""
        return hmac.new((self.token or "").encode(), b"edge-ecg live page", hashlib.sha256).hexdigest()

    def knows_host(self, scope: Scope) -> bool:
        """Whether the request was sent to a name of ours."""
        named = [value for key, value in scope["headers"] if key == b"host"]
        return self.hosts is None or (len(named) == 1 and named[0].decode("latin-1").lower() in self.hosts)

    def is_token(self, text: bytes) -> bool:
        """Whether this is the token, in a time that tells nothing of it."""
        return self.token is not None and hmac.compare_digest(text, self.token.encode())

    def admits(self, scope: Scope) -> bool:
        """Whether a request may see what there is: it shows the token, or the cookie that the form set."""
        if self.token is None:
            return True
        session = self.session.encode()
        for key, value in scope["headers"]:
            if key == b"authorization" and value[:7].lower() == b"bearer ":
                if self.is_token(value[7:].strip()):
                    return True
            elif key == b"cookie":
                for part in value.split(b";"):
                    name, _, text = part.strip().partition(b"=")
                    if name == COOKIE.encode() and hmac.compare_digest(text, session):
                        return True
        return False


class Guard:
    """Lets through to an application what may be asked."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        answer = self._refusal(scope) or self._app
        # A stream has a deadline for each piece instead.
        limit_s = None if answer is self._app and scope["path"] == STREAM else ANSWER_S
        try:
            async with asyncio.timeout(limit_s):
                await answer(scope, receive, send_with_headers)
        except TimeoutError:
            abort(scope)

    def _refusal(self, scope: Scope) -> Response | None:
        if not self._access.knows_host(scope):
            return PlainTextResponse("Ask for this page as localhost or 127.0.0.1, with its port.\n", 421)
        if scope["path"] in OPEN_PATHS or self._access.admits(scope):
            return None
        if scope["path"] == "/":
            return RedirectResponse("/login", 303)
        return PlainTextResponse("A token is needed.\n", 401, {"WWW-Authenticate": "Bearer"})


def abort(scope: Scope) -> None:
    """Cut the connection of a viewer that does not read."""
    scope["state"]["transport"].abort()
