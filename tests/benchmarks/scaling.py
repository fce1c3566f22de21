"""Measure requests in flight against latency, and what a unit of work costs on each backend.

    python -m tests.benchmarks.scaling reads     # images by range, from a server that waits before an answer
    python -m tests.benchmarks.scaling index     # the headers of tars, from the same server
    python -m tests.benchmarks.scaling units     # units that do nothing, and shares of a build; Ray if it is there

`make bench` has units and shares in short. The tables of docs/recipes/buckets.md and docs/recipes/cluster.md are these
lines, and what follows from them.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import multiprocessing
import re
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagenet_tools
from imagenet_tools.containers import payload
from imagenet_tools.storage import buckets
from imagenet_tools.storage.blob import Descriptors
from imagenet_tools.storage.executors import RayExecutor, in_executor
from imagenet_tools.storage.processes import in_processes
from tests.faults.kills import draw

LATENCIES_MS = (5, 20, 100)
IN_FLIGHT = (1, 8, 48, 192)
IMAGE_BYTES = 115_000  # the mean of ILSVRC2012 train
IMAGES = 400  # more than are in flight
SECONDS = 3.0  # that a line should take
UNITS = 20_000

CLASS_TARS = 64
CLASS_TARS_AT_ONCE = 32  # that a build reads, on any number of cores
CLASS_IMAGES = (20, 200)


# ---- a server that waits


class _Slow(asyncio.Protocol):
    """Answers HEAD and GET of one file by byte range, each after a while."""

    def __init__(self, data: bytes, delay: float):
        self._data, self._delay, self._asked = data, delay, b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._asked += data
        while b"\r\n\r\n" in self._asked:
            request, _, self._asked = self._asked.partition(b"\r\n\r\n")
            asyncio.get_running_loop().call_later(self._delay, self._answer, request)

    def _answer(self, request: bytes) -> None:
        match = re.search(rb"range: bytes=(\d+)-(\d+)", request, re.IGNORECASE)
        whole = b'Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nETag: "1"\r\n'
        if match:
            first, last = int(match[1]), min(int(match[2]), len(self._data) - 1)
            part = self._data[first : last + 1]
            head = b"HTTP/1.1 206 P\r\n%sContent-Range: bytes %d-%d/%d\r\n" % (whole, first, last, len(self._data))
        else:
            part = b""
            head = b"HTTP/1.1 200 OK\r\n" + whole
        length = len(part) if match else len(self._data)
        self._transport.write(head + b"Content-Length: %d\r\n\r\n" % length + part)


def serve(data: bytes, delay: float, port: Any) -> None:
    """Serve a file until the process is ended; `port` is sent the port."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Slow(data, delay), "127.0.0.1", 0, backlog=512)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def served(data: bytes, delay: float) -> tuple[multiprocessing.Process, str]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=serve, args=(data, delay, there), daemon=True)
    process.start()
    return process, f"http://127.0.0.1:{here.recv()}/x.tar"


def read_images(url: str, at_once: int, n: int) -> float:
    """Return the seconds in which `n` images are read by range."""
    payload.IN_FLIGHT = buckets.IN_FLIGHT = at_once
    buckets._threads.cache_clear()
    path = buckets.place_of(url)
    places = [payload.Place(path, IMAGE_BYTES * (k % IMAGES + 1), IMAGE_BYTES) for k in range(n)]
    with Descriptors() as files:
        begin = time.monotonic()
        for place in payload.read_ahead(places, files):
            payload.read(place, files)
        return time.monotonic() - begin


def reads() -> None:
    data = bytes((IMAGES + 1) * IMAGE_BYTES)
    print("| latency | in flight | images/s | ideal |\n|---|---|---|---|")
    for latency in LATENCIES_MS:
        process, url = served(data, latency / 1000)
        read_images(url, 8, 8)
        for at_once in IN_FLIGHT:
            ideal = at_once * 1000 / latency
            n = max(int(min(ideal, 1_500) * SECONDS), at_once * 4)
            print(f"| {latency} ms | {at_once} | {n / read_images(url, at_once, n):,.0f} | {ideal:,.0f} |", flush=True)
        process.kill()


def index() -> None:
    """Build an index of 64 class tars of few images, and of many: the difference is the scan, the rest the chain."""
    print("| latency | chain of 64 class tars, s | images/s, 32 class tars at once | ideal |\n|---|---|---|---|")
    tars = [nested_tar(n) for n in CLASS_IMAGES]
    _index_seconds(tars[0], 0)  # imports, and the start of the server of worker processes
    for latency in (0, *LATENCIES_MS):
        seconds = [_index_seconds(data, latency / 1000) for data in tars]
        image = (seconds[1] - seconds[0]) / (CLASS_TARS * (CLASS_IMAGES[1] - CLASS_IMAGES[0]))
        chain = seconds[0] - image * CLASS_TARS * CLASS_IMAGES[0]
        ideal = f"{CLASS_TARS_AT_ONCE * 1000 / latency:,.0f}" if latency else ""
        print(f"| {latency} ms | {chain:.1f} | {1 / image:,.0f} | {ideal} |", flush=True)


def _index_seconds(data: bytes, delay: float) -> float:
    process, url = served(data, delay)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        imagenet_tools.build_index(url, Path(folder, "x.index"))
        seconds = time.monotonic() - begin
    process.kill()
    return seconds


def nested_tar(n_images: int) -> bytes:
    """Return a tar of class tars of small images, whose facts are in their first kilobyte."""
    with tempfile.TemporaryDirectory() as folder:
        draw(path := Path(folder, "whole.tar"), CLASS_TARS, n_images, size=(500, 375))
        return path.read_bytes()


# ---- units


def nothing(unit: int) -> int:
    return unit


def backends() -> Generator[tuple[str, Callable[[Sequence[int]], Iterator[int]]], None, None]:
    """Yield the name of each backend, and a function that does units on it, started and warm."""
    from tests.benchmarks.scaling import nothing as importable  # this module is __main__, which workers do not import

    yield "this process", lambda units: map(importable, units)
    yield "worker processes", functools.partial(_processes, importable)
    with ThreadPoolExecutor(2) as threads:
        yield "executor: threads", lambda units: in_executor(importable, units, threads)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield "executor: processes", lambda units: in_executor(importable, units, pool)
    if importlib.util.find_spec("ray"):
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        try:
            with RayExecutor(cluster.address) as ray:
                yield "Ray", lambda units: in_executor(importable, units, ray)
        finally:
            cluster.shutdown()


def _processes(work: Callable[[int], int], units: Sequence[int]) -> Iterator[int]:
    return in_processes(work, units, 2)


def units() -> None:
    print(f"| backend | first unit, s | a unit of {UNITS:,}, ms |\n|---|---|---|")
    for name, do in backends():
        begin = time.monotonic()
        assert [*do([0, 1])] == [0, 1]
        first = time.monotonic() - begin
        begin = time.monotonic()
        assert [*do(range(UNITS))] == [*range(UNITS)]
        seconds = time.monotonic() - begin
        print(
            f"| {name} | {first:.2f} | {(seconds - (first if name == 'worker processes' else 0)) / UNITS * 1000:.3f} |"
        )
    with tempfile.TemporaryDirectory() as name:
        source, index = Path(name, "ILSVRC2012_img_train.tar"), Path(name, "x.index")
        source.write_bytes(nested_tar(CLASS_IMAGES[0]))
        begin = time.monotonic()
        shares = 8
        for n in range(shares):
            imagenet_tools.build_index(source, index, shard=f"{n}/{shares}", workers=1)
        shards = time.monotonic() - begin
        begin = time.monotonic()
        imagenet_tools.merge(index, workers=1)
        merge = time.monotonic() - begin
        print(f"\n{shares} shares: {shards / shares:.3f} s each; merge of {CLASS_TARS + 1} parts {merge:.3f} s")


if __name__ == "__main__":
    {"reads": reads, "index": index, "units": units}[sys.argv[1]]()
