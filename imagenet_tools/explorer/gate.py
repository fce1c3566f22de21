"""The gate of the website: only this user's browser gets past it, whatever another page or program sends.

A website on loopback can be reached by every page that the user opens elsewhere, and by every user of the machine. So
each request needs the random token of this run, its Host must be this server, and what changes something must come
from one of its own pages. The address that the command prints sets the token as a cookie.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; object-src 'none'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
_MAX_TARGET_BYTES = 16_384
_TOKEN = "token"


class Gate:
    """An ASGI application that passes on only requests of this user's browser."""

    def __init__(self, app: ASGIApp, *, port: int, token: str | None = None) -> None:
        self._app = app
        self.port = port
        self.token = token or secrets.token_urlsafe(32)
        self._cookie = f"imagenet-tools-{port}"  # cookies are shared by all ports of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no WebSockets
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name.lower() for name, _ in message["headers"]}
                extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *(pair for pair in extra if pair[0] not in known)]
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that is not passed on; None for one that is."""
        hosts = self._values(scope, b"host")
        own = {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}
        if len(hosts) != 1 or hosts[0] not in own:
            return PlainTextResponse("The Host of the request is not this server.", 400)
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > _MAX_TARGET_BYTES:
            return PlainTextResponse("The address is too long.", 400)
        sites = self._values(scope, b"sec-fetch-site")
        origins = self._values(scope, b"origin")
        is_safe = scope["method"] in ("GET", "HEAD")
        origin_is_own = all(origin in {f"http://{host}" for host in own} for origin in origins)
        if any(site not in ("same-origin", "none") for site in sites) or not origin_is_own:
            return PlainTextResponse("The request comes from another site.", 403)
        if not is_safe and not origins:
            return PlainTextResponse("The request names no Origin.", 403)
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = query.pop(_TOKEN, [])
        if given and is_safe:
            if not self._is_token(given[0]):
                return self._locked()
            rest = urlencode(query, doseq=True)
            answer = RedirectResponse(scope["path"] + (f"?{rest}" if rest else ""), 303)
            if not scope["path"].startswith("/") or scope["path"].startswith("//"):
                return PlainTextResponse("Not found", 404)
            answer.set_cookie(self._cookie, self.token, httponly=True, samesite="strict", path="/")
            return answer
        cookies = [part.strip() for value in self._values(scope, b"cookie") for part in value.split(";")]
        if not any(self._is_token(value) for name, _, value in (c.partition("=") for c in cookies)
                   if name == self._cookie):  # fmt: skip
            return self._locked()
        return None

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.token.encode())

    @staticmethod
    def _locked() -> Response:
        return PlainTextResponse("Open the address with ?token=... that `imagenet-tools explore` printed.", 403)

    @staticmethod
    def _values(scope: Scope, name: bytes) -> list[str]:
        return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
