"""Only this user's browser gets past the gate."""

import pytest

from imagenet_tools.explorer.gate import HEADERS
from tests.explorer.conftest import PORT, TOKEN, Web

COOKIE = ("cookie", f"imagenet-tools-{PORT}={TOKEN}")
HOST = ("host", f"127.0.0.1:{PORT}")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("host", "evil.example")],
        [("host", f"evil.example:{PORT}")],
        [("host", f"127.0.0.1.nip.io:{PORT}")],
        [("host", "127.0.0.1")],
        [("host", f"127.0.0.1:{PORT + 1}")],
        [("host", f"[::1]:{PORT}")],
        [("host", f"0.0.0.0:{PORT}")],
        [("host", f"127.0.0.1:{PORT}@evil.example")],
        [("host", f"127.0.0.1:{PORT}/evil")],
        [("host", f"127.0.0.1:{PORT}?x")],
        [("host", f" 127.0.0.1:{PORT}")],
        [("host", "")],
        [HOST, ("host", "evil.example")],
        [("host", "evil.example"), HOST],
        [HOST, HOST],
    ],
)
def test_another_host_is_refused(web: Web, headers: list[tuple[str, str]]) -> None:
    assert web.send("GET", "/", [*headers, COOKIE]).status == 400


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", [("sec-fetch-site", "cross-site")]),
        ("GET", [("sec-fetch-site", "same-site")]),
        ("GET", [("origin", "http://evil.example")]),
        ("GET", [("origin", "null")]),
        ("GET", [("origin", f"https://127.0.0.1:{PORT}")]),
        ("GET", [("origin", f"http://127.0.0.1:{PORT}"), ("origin", "http://evil.example")]),
        ("POST", []),
        ("POST", [("origin", "http://evil.example")]),
        ("POST", [("origin", f"http://127.0.0.1:{PORT + 1}")]),
        ("PUT", []),
        ("DELETE", []),
        ("POST", [("origin", f"http://127.0.0.1:{PORT}"), ("sec-fetch-site", "cross-site")]),
    ],
)
def test_another_site_is_refused(web: Web, method: str, headers: list[tuple[str, str]]) -> None:
    assert web.send(method, "/", [HOST, COOKIE, *headers]).status == 403


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("cookie", f"imagenet-tools-{PORT}=")],
        [("cookie", f"imagenet-tools-{PORT}={TOKEN[:-1]}")],
        [("cookie", f"imagenet-tools-{PORT}={TOKEN}x")],
        [("cookie", f"imagenet-tools-{PORT + 1}={TOKEN}")],
        [("cookie", f"token={TOKEN}")],
        [("authorization", f"token {TOKEN}")],
    ],
)
def test_without_the_token_nothing_is_shown(web: Web, headers: list[tuple[str, str]]) -> None:
    for method, path in (
        ("GET", "/"),
        ("GET", "/static/style.css"),
        ("GET", "/image/1/thumbnail"),
        ("POST", "/export"),
    ):
        own = [("origin", f"http://127.0.0.1:{PORT}")]
        assert web.send(method, path, [HOST, *own, *headers]).status == 403
    assert web.send("GET", "/?token=wrong", [HOST]).status == 403
    assert web.send("POST", f"/?token={TOKEN}", [HOST, ("origin", f"http://127.0.0.1:{PORT}")]).status == 403


def test_the_token_becomes_a_cookie_and_leaves_the_address(web: Web) -> None:
    answer = web.send("GET", f"/synset/dog?split=val&token={TOKEN}", [HOST])
    assert (answer.status, answer.headers["location"]) == (303, "/synset/dog?split=val")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert web.send("GET", f"//evil.example/?token={TOKEN}", [HOST]).status == 404


def test_every_answer_has_the_headers(web: Web) -> None:
    for path in ("/", "/synset/dog", "/image/1/thumbnail", "/static/style.css", "/nothing", "/synset/dog.csv"):
        answer = web.get(path)
        assert all(answer.headers[name] == value for name, value in HEADERS.items()), path
    assert "unsafe" not in HEADERS["content-security-policy"]
    assert web.send("GET", "/", [HOST]).headers["x-content-type-options"] == "nosniff"


def test_a_websocket_and_a_long_address_are_refused(web: Web) -> None:
    import asyncio

    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    asyncio.run(web.app({"type": "websocket", "headers": [], "path": "/"}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert web.get("/synset/dog?x=" + "x" * 20_000).status == 400
