"""A real server: who may speak to its socket, and that no address of a picture reads a file outside the index."""

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from imagenet_tools.index import Index
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.long  # starts a server, and 200 requests

COMMAND = [sys.executable, "-m", "imagenet_tools", "explore", "--no-browser"]


class Server(NamedTuple):
    """A running server: its port and token, its process, and the log of the files that it opened, if it is traced."""

    port: int
    token: str
    process: int
    log: Path | None

    def send(self, request: str) -> str:
        """Return the beginning of what the server answers to bytes on its socket."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as browser:
            browser.sendall(request.encode("latin-1"))
            answer = b""
            while b"\r\n\r\n" not in answer and (part := browser.recv(1 << 16)):
                answer += part
            return answer.decode("latin-1")

    def get(self, path: str, *headers: str, host: str | None = None) -> int:
        """Return the status of the answer to a GET of the user's browser."""
        host = f"127.0.0.1:{self.port}" if host is None else host
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", f"Cookie: imagenet-tools-{self.port}={self.token}"]
        return status(self.send("\r\n".join([*lines, *headers, "Connection: close", "", ""])))


def status(answer: str) -> int:
    return int(answer.split(" ", 2)[1]) if answer.startswith("HTTP/1.1 ") else 400  # closed without an answer


def started(index: Index, prefix: list[str], log: Path | None) -> Iterator[Server]:
    command = [*prefix, *COMMAND, str(index.path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        address = process.stdout.readline()
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)\n", address)
        assert found, address
        yield Server(int(found[1]), found[2], process.pid, log)
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.fixture(scope="module")
def server(index: Index) -> Iterator[Server]:
    yield from started(index, [], None)


# ---- who may speak to it


def test_it_listens_on_loopback_only(server: Server) -> None:
    port = f"{server.port:04X}"
    listening = [
        line.split()[1]
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port}") and line.split()[3] == "0A"
    ]
    assert listening == [f"0100007F:{port}"]


def test_the_users_browser_is_answered(server: Server) -> None:
    assert server.get("/synset/dog") == 200
    assert server.get("/synset/dog", host=f"localhost:{server.port}") == 200


REQUESTS = {
    "no Host": "GET / HTTP/1.1\r\n{cookie}\r\n\r\n",
    "no Host in HTTP/1.0": "GET / HTTP/1.0\r\n{cookie}\r\n\r\n",
    "another Host": "GET / HTTP/1.1\r\nHost: evil.example\r\n{cookie}\r\n\r\n",
    "a name that means loopback": "GET / HTTP/1.1\r\nHost: 127.0.0.1.nip.io:{port}\r\n{cookie}\r\n\r\n",
    "two Hosts": "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.example\r\n{cookie}\r\n\r\n",
    "the same Host twice": "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: 127.0.0.1:{port}\r\n{cookie}\r\n\r\n",
    "a folded Host": "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n evil.example\r\n{cookie}\r\n\r\n",
    "a Host with a path": "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}/evil\r\n{cookie}\r\n\r\n",
    "a Host with a user": "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}@evil.example\r\n{cookie}\r\n\r\n",
    "half an IPv6 address": "GET / HTTP/1.1\r\nHost: [::1\r\n{cookie}\r\n\r\n",
    "a Host of one bracket": "GET / HTTP/1.1\r\nHost: [\r\n{cookie}\r\n\r\n",
    "a Host with a bad port": "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}x\r\n{cookie}\r\n\r\n",
    "a Host with a NUL": "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\0\r\n{cookie}\r\n\r\n",
    "a Host beyond ASCII": "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\xe9\r\n{cookie}\r\n\r\n",
    "a space before the colon": "GET / HTTP/1.1\r\nHost : 127.0.0.1:{port}\r\n{cookie}\r\n\r\n",
    "an address of another host": "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n{cookie}\r\n\r\n",
    "a proxy's CONNECT": "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
    "no token": "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
    "a wrong token": "GET /?token=x HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
    "the token of another port": "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: imagenet-tools-1={token}\r\n\r\n",
    "a POST without a token":
        "POST /export HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
        "Content-Length: 0\r\n\r\n",
    "a POST of another site":
        "POST /export HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://evil.example\r\n{cookie}\r\n"
        "Content-Length: 0\r\n\r\n",
    "a POST without an Origin":
        "POST /export HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{cookie}\r\nContent-Length: 0\r\n\r\n",
    "another site's picture":
        "GET /image/1/full HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nSec-Fetch-Site: cross-site\r\n{cookie}\r\n\r\n",
    "another port's page":
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nSec-Fetch-Site: same-site\r\n{cookie}\r\n\r\n",
    "a WebSocket":
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://evil.example\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "{cookie}\r\n\r\n",
    "no HTTP": "nonsense\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_any_other_request_is_refused(server: Server, name: str) -> None:
    cookie = f"Cookie: imagenet-tools-{server.port}={server.token}"
    answer = server.send(REQUESTS[name].format(port=server.port, token=server.token, cookie=cookie))
    assert status(answer) in (400, 403, 405), answer[:200]
    assert "<html" not in answer and server.token not in answer


# ---- no address reads a file


SECRETS = (
    "/etc/passwd", "etc/shadow", "//etc/hostname", "C:\\Windows\\win.ini", "\\\\evil\\share\\x", "secret\u202e.txt",
)  # fmt: skip
WAYS = (
    "", "../", "../" * 8, "..%2f" * 8, "%2e%2e/" * 8, "..%252f" * 8, "....//" * 4, "..%5c" * 8, "%00", "./",
    "%c0%ae/",
)  # fmt: skip
PLACES = ("/image/{}", "/image/{}/thumbnail", "/static/{}", "/image/1/{}")
FUZZ = (
    "/image/" + "9" * 10_000, "/image/" + "a" * 10_000 + "/full", "/image/1%00/full", "/image/1/full/../../x", "//",
    "/image/%ef%bc%90/full", "/image/1e9/full", "/image/-1/full", "/image/+1/full", "/image/%201/full",
    "/image/0x1/full", "/image/1;/full", "/image/1%0a/full", "/export/..%2f", "/static/", "/static/..",
    "/%5c%5cevil%5cshare", "/image//full",
)  # fmt: skip


def paths(canary: Path) -> list[str]:
    names = [*SECRETS, str(canary)]
    known = [place.format(way + quote(name)) for name in names for way in WAYS for place in PLACES]
    return [*known, *FUZZ]


@pytest.fixture(scope="module")
def traced(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if shutil.which("strace") is None:
        pytest.skip("found no strace; expected it, to see which files the server opens")
    log = tmp_path_factory.mktemp("strace") / "opened"
    command = ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-e", "trace=open,openat,openat2", "-o", str(log)]
    yield from started(index, command, log)


def test_two_hundred_paths_read_no_file_outside_the_index(
    traced: Server, index: Index, sample: Path, tmp_path: Path
) -> None:
    canary = tmp_path / "secret.txt"
    canary.write_text("secret")
    for path in ("/synset/dog", "/image/3/thumbnail", "/image/3/full", "/image/3", "/static/style.css", "/nothing"):
        traced.get(path)  # what is imported and compiled once
    # The child that makes pictures keeps the archives open: the log has them once.
    assert until(lambda: "ILSVRC2012_img_train.tar" in opened(traced.log), 60)
    time.sleep(5)  # what is counted
    before = len(opened(traced.log))
    tried = paths(canary)
    assert len(tried) >= 200
    statuses = {traced.get(path) for path in tried}
    assert not statuses & {200, 500}, statuses
    assert {traced.get(f"/images{suffix}?image=../../etc/passwd&image=%00&image=-1") for suffix in ("", ".txt")} == {
        200
    }
    assert traced.get("/image/4/full") == 200
    known = re.findall(r'open(?:at2?)?\([^"]*"([^"]*)"', opened(traced.log)[before:])
    package = Path(sys.modules["imagenet_tools"].__file__ or "").parent
    allowed = tuple(map(str, (index.path, sample, package, "/proc/self", "/sys/fs/cgroup", "/dev/null")))
    assert {path for path in known if path.startswith("/") and not path.startswith(allowed)} == set()


def opened(log: Path | None) -> str:
    """Return what strace has written."""
    return log.read_text(errors="replace") if log is not None else ""
