"""A small S3 server in memory, and a proxy before a true one: both count what passes, and answer some of it wrongly."""

from __future__ import annotations

import hashlib
import http.client
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from imagenet_tools.storage import buckets


class Request(NamedTuple):
    method: str
    path: str  # with the query
    headers: Mapping[str, str]  # by name in lower case
    body: bytes


class Answer(NamedTuple):
    code: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


@dataclass
class Faults:
    """Every nth request is answered 503 or cut in the middle of its answer, and each one is delayed."""

    refused: int = 0
    cut: int = 0
    delay_seconds: float = 0.0


class Gate(ThreadingHTTPServer):
    """A server that asks `answer` for every answer, and counts requests, bytes of bodies and requests at once."""

    request_queue_size = 512

    def __init__(self, answer: Callable[[Request], Answer]):
        super().__init__(("127.0.0.1", 0), partial(_Handler, self))
        self.answer, self.faults = answer, Faults()
        self.lock = threading.Lock()
        self.forget()
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"

    def forget(self) -> None:
        """Count from 0."""
        self.requests: list[str] = []
        self.sent = self.received = self.at_once = self.most_at_once = self.n_faults = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one packet: the rest of one in two would wait 40 ms

    def __init__(self, gate: Gate, *arguments: object):
        self.gate = gate
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        gate = self.gate
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with gate.lock:
            gate.requests.append(f"{self.command} {self.path}")
            number = len(gate.requests)
            gate.received += len(body)
            gate.at_once += 1
            gate.most_at_once = max(gate.most_at_once, gate.at_once)
        faults = gate.faults
        time.sleep(faults.delay_seconds)
        refused = bool(faults.refused) and number % faults.refused == 0
        cut = bool(faults.cut) and number % faults.cut == 0 and not refused
        request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        answer = Answer(503) if refused else gate.answer(request)
        with gate.lock:
            gate.at_once -= 1
            gate.n_faults += refused or cut
            gate.sent += len(answer.body)
        self.send_response(answer.code)
        for name, value in ({"Content-Length": str(len(answer.body))} | dict(answer.headers)).items():
            self.send_header(name, value)
        if cut and not answer.body:  # the answer is lost
            self.close_connection = True
            self._headers_buffer: list[bytes] = []
            return
        self.end_headers()
        self.wfile.write(answer.body[: len(answer.body) // 2] if cut else answer.body)
        self.close_connection = cut or self.close_connection

    do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815 - the names that http.server asks for

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running(answer: Callable[[Request], Answer]) -> Iterator[Gate]:
    with Gate(answer) as gate:
        thread = threading.Thread(target=gate.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield gate
        gate.shutdown()


def environment(gate: Gate, key: str = "a-key", secret: str = "a-secret") -> dict[str, str]:
    """Return what obstore takes from the environment."""
    return {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_ENDPOINT_URL": gate.endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
    }


@contextmanager
def bucket(folder: Path) -> Iterator[dict[str, str]]:
    """Serve the files of a folder in the bucket lab, and yield the environment that reaches it."""
    memory = Memory({f"/lab/{path.name}": path.read_bytes() for path in folder.iterdir() if path.is_file()})
    with running(memory) as gate:
        buckets._store.cache_clear()
        yield environment(gate)
        buckets._store.cache_clear()


def forward(endpoint: str) -> Callable[[Request], Answer]:
    """Return a function that asks a server, and returns its answer."""
    host = urlsplit(endpoint).netloc
    threads = threading.local()

    def answer(request: Request) -> Answer:
        for _ in range(2):  # a connection that waited too long is made again
            connection = getattr(threads, "connection", None) or http.client.HTTPConnection(host, timeout=60)
            threads.connection = connection
            try:
                connection.request(request.method, request.path, request.body, dict(request.headers))
                answered = connection.getresponse()
                body = answered.read()
                break
            except (http.client.HTTPException, OSError):
                threads.connection = None
        else:
            return Answer(503)  # the server is not there yet
        hidden = {"transfer-encoding", "connection", "date", "server"}
        headers = {name: value for name, value in answered.getheaders() if name.lower() not in hidden}
        return Answer(answered.status, body, headers)

    return answer


@dataclass
class Memory:
    """Buckets in memory: whole objects, and parts of those that are not complete."""

    objects: dict[str, bytes] = field(default_factory=dict)  # by /bucket/key
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)  # by upload
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request) -> Answer:
        url = urlsplit(request.path)
        path, query = unquote(url.path), {name: values[0] for name, values in parse_qs(url.query, True).items()}
        with self.lock:
            if "list-type" in query:
                return self._list(path.strip("/"), query.get("prefix", ""))
            return getattr(self, f"_{request.method.lower()}")(path, query, request)

    def _list(self, bucket: str, prefix: str) -> Answer:
        rows = "".join(
            f"<Contents><Key>{escape(path.split('/', 2)[2])}</Key><Size>{len(data)}</Size><ETag>{etag_of(data)}</ETag>"
            "<LastModified>2024-01-01T00:00:00.000Z</LastModified></Contents>"
            for path, data in sorted(self.objects.items())
            if path.startswith(f"/{bucket}/{prefix}")
        )
        return Answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>".encode())

    def _get(self, path: str, _: Mapping[str, str], request: Request) -> Answer:
        data = self.objects.get(path)
        if data is None:
            return Answer(404)
        headers = {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "ETag": etag_of(data)}
        if request.headers.get("if-none-match") == etag_of(data):
            return Answer(304, b"", headers)
        if match := re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", "")):
            part = data[int(match[1]) : int(match[2]) + 1]
            content_range = f"bytes {match[1]}-{int(match[1]) + len(part) - 1}/{len(data)}"
            return Answer(206, part, headers | {"Content-Range": content_range})
        return Answer(200, data, headers)

    def _head(self, path: str, query: Mapping[str, str], request: Request) -> Answer:
        whole = self._get(path, query, request)
        return Answer(whole.code, b"", dict(whole.headers) | {"Content-Length": str(len(whole.body))})

    def _put(self, path: str, query: Mapping[str, str], request: Request) -> Answer:
        if "partNumber" in query:
            self.parts[query["uploadId"]][int(query["partNumber"])] = request.body
            return Answer(200, b"", {"ETag": etag_of(request.body)})
        there = self.objects.get(path)
        if request.headers.get("if-none-match") == "*" and there is not None:
            return Answer(412)
        wanted = request.headers.get("if-match")
        if wanted and (there is None or wanted != etag_of(there)):
            return Answer(412)
        self.objects[path] = request.body
        return Answer(200, b"", {"ETag": etag_of(request.body)})

    def _post(self, path: str, query: Mapping[str, str], request: Request) -> Answer:
        if "uploads" in query:
            upload = str(len(self.parts))
            self.parts[upload] = {}
            return Answer(200, f"<R><UploadId>{upload}</UploadId></R>".encode())
        if "delete" in query:
            keys = re.findall(r"<Key>(.*?)</Key>", request.body.decode())
            for key in keys:
                self.objects.pop(f"{path.rstrip('/')}/{key}", None)
            rows = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            return Answer(200, f"<DeleteResult>{rows}</DeleteResult>".encode())
        parts = self.parts[query["uploadId"]]
        data = b"".join(parts[number] for number in sorted(parts))
        self.objects[path] = data
        return Answer(200, f"<R><ETag>{escape(etag_of(data))}</ETag></R>".encode())


def etag_of(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'
