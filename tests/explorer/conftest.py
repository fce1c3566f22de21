"""The website of the sample's index, as an application that is called without a socket, with real child processes."""

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

pytest.importorskip("starlette", reason="the explorer needs its extra: pip install 'imagenet-tools[explore]'")

from imagenet_tools.explorer.children import children
from imagenet_tools.explorer.gate import Gate
from imagenet_tools.explorer.pages import Pages, application
from imagenet_tools.explorer.subsets import Exports
from imagenet_tools.explorer.views import Site
from imagenet_tools.index import Index

PORT = 8000
TOKEN = "t" * 43


class Answer(NamedTuple):
    """An answer of the website."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Web:
    """A browser that sends what it is told to."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def get(self, path: str, **headers: str) -> Answer:
        """Send what the user's browser sends."""
        sent = {"host": f"127.0.0.1:{PORT}", "cookie": f"imagenet-tools-{PORT}={TOKEN}", "accept": "text/html"}
        return self.send("GET", path, list({**sent, **headers}.items()))

    def post(self, path: str, body: str = "", **headers: str) -> Answer:
        sent = {"host": f"127.0.0.1:{PORT}", "cookie": f"imagenet-tools-{PORT}={TOKEN}", "accept": "text/html"}
        sent |= {"origin": f"http://127.0.0.1:{PORT}", "content-type": "application/x-www-form-urlencoded"}
        return self.send("POST", path, list({**sent, **headers}.items()), body.encode())

    def send(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes = b"") -> Answer:
        return asyncio.run(self._send(method, path, headers, body))

    async def _send(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> Answer:
        from urllib.parse import unquote

        raw, _, query = path.partition("?")
        scope = {
            "type": "http", "method": method, "path": unquote(raw), "raw_path": raw.encode(), "root_path": "",
            "query_string": query.encode(), "http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", PORT),
            "headers": [(name.encode(), value.encode()) for name, value in headers], "client": ("127.0.0.1", 1),
        }  # fmt: skip
        parts: list[dict[str, Any]] = []

        bodies = [body]

        async def receive() -> dict[str, Any]:
            if not bodies:
                await asyncio.Event().wait()  # the browser stays connected
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            parts.append(message)

        await self.app(scope, receive, send)
        known = {name.decode(): value.decode() for name, value in parts[0]["headers"]}
        return Answer(parts[0]["status"], known, b"".join(part.get("body", b"") for part in parts[1:]))


@pytest.fixture(scope="session")
def site(index: Index) -> Site:
    return Site(index)


@pytest.fixture(scope="session")
def web(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with children(site.index) as (makers, questioners):
        exports = Exports(site.index.path, {}, tmp_path_factory.mktemp("exports"), ["csv", "yolo", "image_folder"])
        pages = Pages(site, makers, questioners, exports)
        yield Web(Gate(application(pages), port=PORT, token=TOKEN))
