"""Child processes that do what may go wrong: decode pictures, and run SQL of the user. Each can be killed at any time.

A child is a new interpreter: the server has threads of DuckDB, so it is never forked. A child limits its own address
space before it imports anything large, and answers on a pipe with a length and plain bytes, which are never unpickled.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from imagenet_tools.errors import FormatError, QueryError
from imagenet_tools.storage.processes import without_pandas
from imagenet_tools.system import cores, limit_address_space

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from imagenet_tools.containers.payload import Place
    from imagenet_tools.display.pictures import ShownBox
    from imagenet_tools.store.store import Store

PICTURE_MEMORY_BYTES = 1 << 30
PICTURE_SECONDS = 3.0
QUERY_MEMORY_BYTES = 2 << 30
QUERY_SECONDS = 5.0
_CHILD_NICENESS = 5  # pages come before pictures that take seconds
_START_SECONDS = 30.0
_LOOK_SECONDS = 1.0  # between two looks of a child for its server
_MAX_ANSWER_BYTES = 64 << 20

HEAD = struct.Struct(">BI")  # of an answer: 0 or the kind of error, and the number of bytes that follow
DONE = 0
FAILED = 1
READY = 2


class Child:
    """A child process that answers requests, one at a time."""

    def __init__(self, module: str, settings: object) -> None:
        # Arrow's default allocator reserves a gigabyte of addresses; the child has not more than that.
        environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the server
        )
        self._is_ready = False
        self._send(settings)

    def start(self) -> None:
        """Wait until the child has imported what it needs.

        Raises:
            TimeoutError: It takes too long.
            EOFError: The child ended.
        """
        if not self._is_ready:
            self._receive(_START_SECONDS)
            self._is_ready = True

    def ask(self, request: object, seconds: float) -> tuple[int, bytes]:
        """Send a request and return the answer: its kind and its bytes.

        Raises:
            TimeoutError: There is no answer in time; the child has been killed.
            EOFError: The child ended without an answer.
        """
        try:
            self.start()
            self._send(request)
            return self._receive(seconds)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> int:
        """Kill the child and return its exit code."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        return self._process.wait()

    def _send(self, message: object) -> None:
        data = pickle.dumps(message)
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - Popen was asked for a pipe
        try:
            stdin.write(struct.pack(">I", len(data)) + data)
            stdin.flush()
        except BrokenPipeError:
            raise EOFError from None

    def _receive(self, seconds: float) -> tuple[int, bytes]:
        deadline = time.monotonic() + seconds
        kind, size = HEAD.unpack(self._read(HEAD.size, deadline))
        if size > _MAX_ANSWER_BYTES:
            raise EOFError
        return kind, self._read(size, deadline)

    def _read(self, size: int, deadline: float) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - Popen was asked for a pipe
        parts: list[bytes] = []
        while size:
            if not select.select([stdout], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError
            part = os.read(stdout.fileno(), min(size, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


# ---- the side of the child


def requests() -> Iterator[Any]:
    """Yield the messages of the server: the settings, then requests. Runs in a child.

    The child ends with the server. The parent-death signal would follow the thread that started the child instead.
    """
    threading.Thread(target=_end_without, args=(os.getppid(),), daemon=True).start()
    while len(head := sys.stdin.buffer.read(4)) == 4:
        yield pickle.loads(sys.stdin.buffer.read(struct.unpack(">I", head)[0]))


def _end_without(server: int) -> None:
    """End this process once its parent is another one."""
    while os.getppid() == server:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def confine(memory_bytes: int) -> None:
    """Limit this process in memory, let pages come before it, and import no pandas. Runs in a child."""
    limit_address_space(memory_bytes, memory_bytes)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(_CHILD_NICENESS)
    without_pandas()


def answer(kind: int, data: bytes = b"") -> None:
    """Answer a request. Runs in a child."""
    sys.stdout.buffer.write(HEAD.pack(kind, len(data)) + data)
    sys.stdout.buffer.flush()


# ---- pictures


class PictureMakers:
    """Children that read images from their archives and make JPEG pictures of them."""

    def __init__(self, index: Store, n: int | None = None) -> None:
        self._index = index
        self._n = n or max(2, cores())
        self._free: queue.LifoQueue[Child | None] = queue.LifoQueue()
        for _ in range(self._n):
            self._free.put(None)  # started by the first picture, so that the first page has the cores

    def picture(self, place: Place, boxes: Sequence[ShownBox], *, fit: int | None, labels: bool) -> bytes:
        """Return an image as JPEG, upright and with boxes; `fit` is its longest side in pixels, None its own size.

        Raises:
            FormatError: The image cannot be read or decoded within the limits; the message says why.
        """
        child: Child | None = self._free.get()
        try:
            child = child or self._start()
            kind, data = child.ask((place, [tuple(box) for box in boxes], fit, labels), PICTURE_SECONDS)
        except TimeoutError:
            child = None
            message = f"It was not decoded in {PICTURE_SECONDS:g} s, so its process was ended."
            raise FormatError(message, code="damaged") from None
        except EOFError:
            child = None
            message = f"Its process ended: it may use {PICTURE_MEMORY_BYTES >> 30} GiB."
            raise FormatError(message, code="damaged") from None
        finally:
            self._free.put(child)
        if kind != DONE:
            raise FormatError(data.decode(errors="replace"), code="damaged")
        return data

    def close(self) -> None:
        """End the children."""
        for _ in range(self._n):
            child = self._free.get()
            if child is not None:
                child.kill()

    def _start(self) -> Child:
        return Child("imagenet_tools.explorer.picture_child", self._index.stamps)


# ---- SQL and selections


class Questioners:
    """Children that answer one question each about an index: user SQL never runs in the server."""

    def __init__(self, index: Path) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._spare: Child | None = None
        self._slots = threading.BoundedSemaphore(2)

    def ask(self, what: str, question: Mapping[str, object], seconds: float = QUERY_SECONDS) -> dict[str, Any]:
        """Return the answer to a question: see query_child.

        Raises:
            QueryError: The child reports an error, or ended: it had more time or memory than it may.
        """
        with self._slots:
            with self._lock:
                child, self._spare = self._spare or self._start(), None
            try:
                child.start()
                self.warm()  # the next question has its child even if this one takes all its time
                kind, data = child.ask((what, dict(question)), seconds)
            except TimeoutError:
                raise QueryError(f"It was ended after {seconds:g} s. Ask for less.") from None
            except EOFError:
                raise QueryError(_ended(child.kill())) from None
            finally:
                child.kill()
        if kind != DONE:
            raise QueryError(data.decode(errors="replace"))
        result: dict[str, Any] = json.loads(data)
        return result

    def warm(self) -> None:
        """Start the child that answers the next question, which then does not wait for its imports."""
        with self._lock:
            self._spare = self._spare or self._start()

    def close(self) -> None:
        """End the child that waits."""
        with self._lock:
            if self._spare is not None:
                self._spare.kill()
            self._spare = None

    def _start(self) -> Child:
        return Child("imagenet_tools.explorer.query_child", str(self._index))


def _ended(code: int) -> str:
    how = f" by {signal.Signals(-code).name}" if code < 0 else ""
    return f"Its process ended{how}: it may use {QUERY_MEMORY_BYTES >> 30} GiB. Ask for fewer rows or columns."


@contextmanager
def children(index: Store) -> Iterator[tuple[PictureMakers, Questioners]]:
    """Provide the children, which start when they are needed, and end them when the block ends."""
    makers, questioners = PictureMakers(index), Questioners(index.folder)
    try:
        yield makers, questioners
    finally:
        makers.close()
        questioners.close()
