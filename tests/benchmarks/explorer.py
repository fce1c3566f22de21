"""The explorer on an index: its first page from the command, its pages, thumbnails and memory, and hostile input.

    python -m tests.benchmarks.explorer INDEX [--rounds 5]

`make bench-full` calls it for the index of the whole ImageNet. It writes its part of RESULTS.md beside this, if the
index is that one. Times are those of a client on loopback that keeps its connection, as a browser does.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import NamedTuple

from imagenet_tools.containers.payload import Place
from imagenet_tools.errors import FormatError
from imagenet_tools.explorer.children import PictureMakers
from imagenet_tools.index import Index
from tests.benchmarks import full_imagenet
from tests.benchmarks.environments import CHECKOUT
from tests.benchmarks.results import about, write
from tests.benchmarks.table import cell, megabytes, seconds
from tests.explorer.bombs import BOMBS
from tests.explorer.hostile_images import jpeg, slow_jpeg, with_scans

_CLI = (sys.executable, "-m", "imagenet_tools")
_CONNECTIONS = 6  # of a browser to one host
_THUMBNAILS = 50
_PATIENCE_SECONDS = 120.0
_SYNSETS = (
    "entity", "whole.n.02", "artifact.n.01", "living_thing.n.01", "animal.n.01", "mammal.n.01", "carnivore.n.01",
    "dog.n.01", "bird.n.01", "plant.n.02", "person.n.01", "food.n.01", "vehicle.n.01", "instrumentality.n.03",
    "tool.n.01", "tree.n.01", "fish.n.01", "insect.n.01", "building.n.01", "clothing.n.01", "sport.n.01",
    "tabby.n.01", "pekinese.n.01", "tench.n.01", "school_bus.n.01",
)  # fmt: skip


class Line(NamedTuple):
    """A line of the table: a work, what it took, and whether the aim is reached."""

    work: str
    taken: str
    aim: str


class Server:
    """A running explorer, and a browser's connection to it."""

    def __init__(self, process: subprocess.Popen[str], port: int, token: str) -> None:
        self.process, self.port = process, port
        self._cookie = {"Cookie": f"imagenet-tools-{port}={token}", "Accept": "text/html"}
        self._kept = threading.local()

    def get(self, path: str) -> bytes:
        """Return the body of a page, after its redirects."""
        connection = getattr(self._kept, "connection", None)
        if connection is None:
            connection = self._kept.connection = HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_SECONDS)
        connection.request("GET", path, headers=self._cookie)
        answer = connection.getresponse()
        body: bytes = answer.read()
        if answer.status == 303:
            return self.get(answer.headers["location"])
        if answer.status not in (200, 422):
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
        return body

    def timed(self, path: str) -> float:
        """Return the seconds that a page takes."""
        start = time.perf_counter()
        self.get(path)
        return time.perf_counter() - start

    def memory(self) -> tuple[int, int]:
        """Return the most bytes that the server held, and what it and its children hold now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        pids = [self.process.pid]
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        pids += [int(pid) for path in children for pid in path.read_text().split()]
        resident = [re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()) for pid in pids]
        return int(peak[1]) << 10 if peak else 0, sum(int(match[1]) << 10 for match in resident if match)


@contextmanager
def explorer(index: Path) -> Iterator[Server]:
    """Run the explorer of an index."""
    command = [*_CLI, "explore", str(index), "--no-browser"]
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        address = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)\n", process.stdout.readline())
        if address is None:
            raise RuntimeError(f"`{' '.join(command)}` printed no address")
        yield Server(process, int(address[1]), address[2])
    finally:
        process.terminate()
        process.wait(_PATIENCE_SECONDS)


def measure(index: Path, rounds: int) -> list[Line]:
    """Return every line of the table."""
    lines = [*_first_page(index, rounds)]
    with explorer(index) as server:
        lines += _pages(server)
        lines += _thumbnails(server)
        lines += _bombs(server)
        peak, together = server.memory()
        lines.append(_line("memory of the server, at most", peak, 1e9, megabytes))
        lines.append(Line("the same with its child processes, at the end", megabytes(together), ""))
    with Index.open(index) as opened, TemporaryDirectory() as scratch:
        lines += _hostile_images(opened, Path(scratch))
    return lines


def _line(work: str, value: float, aim: float, told: Callable[[float], str] = seconds, more: str = "") -> Line:
    reached = "reached" if value < aim else "**not reached**"
    return Line(work, told(value) + more, f"under {told(aim)}: {reached}")


def _spread(times: Sequence[float]) -> str:
    return f" ({seconds(min(times))} to {seconds(max(times))})"


def _first_page(index: Path, rounds: int) -> Iterator[Line]:
    announced, shown = [], []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        with explorer(index) as server:
            announced.append(time.perf_counter() - start)
            page = server.get("/")
            shown.append(time.perf_counter() - start)
            if b'class="tile' not in page:
                raise RuntimeError("The first page shows no image.")
    # The first round fills the page cache with what the command imports.
    yield _line("the first page, from the start of the command", median(shown[1:]), 1.0, more=_spread(shown[1:]))
    yield Line("the address, from the start of the command", seconds(median(announced[1:])), "")


def _pages(server: Server) -> Iterator[Line]:
    start = time.perf_counter()
    while b"being counted" in server.get("/"):
        time.sleep(0.05)
    yield Line("filters and histograms of every synset counted, after the first page",
               seconds(time.perf_counter() - start), "")  # fmt: skip
    wnids = [json.loads(server.get(f"/synset/{name}.json"))["wnid"] for name in _SYNSETS[:2]]
    wnids += [json.loads(server.get(f"/search.json?q={name}"))["found"][0]["wnid"] for name in _SYNSETS[2:]]
    plain = [server.timed(f"/synset/{wnid}") for wnid in wnids]
    yield _line(f"the page of a synset, the median of {len(wnids)}", median(plain), 0.1, more=_spread(plain))
    trees = [server.timed(f"/tree/{wnid}") for wnid in wnids]
    yield _line("a branch of the tree, the slowest of them", max(trees), 0.05)
    level = [server.timed(f"/synset/{wnid}?level=8") for wnid in wnids]
    yield Line("the page of a synset at level 8", seconds(median(level)) + _spread(level), "")
    first = server.timed("/synset/n02084071?side=64-96")
    again = [server.timed(f"/synset/{wnid}?side=64-96") for wnid in wnids]
    yield Line("the first page with a new filter, which counts all images", seconds(first), "")
    yield Line("later pages with it", seconds(median(again)) + _spread(again), "")
    ordered = [server.timed(f"/synset/{wnid}?sort=side") for wnid in wnids]
    yield Line("the page of a synset, its images by size", seconds(median(ordered)) + _spread(ordered), "")


def _thumbnails(server: Server) -> Iterator[Line]:
    def listed(synset: str) -> list[int]:
        pages = (json.loads(server.get(f"/synset/{synset}.json?page={page}"))["shown"] for page in (1, 2))
        return [image["number"] for image in itertools.chain.from_iterable(pages)][:_THUMBNAILS]

    def fetch(numbers: list[int]) -> float:
        start = time.perf_counter()
        list(pool.map(server.get, [f"/image/{number}/thumbnail" for number in numbers]))
        return time.perf_counter() - start

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        fetch(listed("n02121808"))  # starts the child processes
        numbers = listed("n02084071")
        first = fetch(numbers)
        again = [fetch(numbers) for _ in range(5)]
    yield Line(f"{_THUMBNAILS} thumbnails, the first time", seconds(first), "")
    yield _line(f"{_THUMBNAILS} thumbnails, warm", median(again), 0.5, more=_spread(again))


def _bombs(server: Server) -> Iterator[Line]:
    from urllib.parse import quote

    server.get("/sql?sql=SELECT+1")
    times, after = [], []
    for bomb in BOMBS:
        address = f"/sql?sql={quote(bomb)}"
        if len(address) < 16_000:  # longer ones are refused before they reach SQL
            times.append(server.timed(address))
            after.append(server.timed("/sql?sql=SELECT+1"))
    yield _line(f"SQL that asks for too much, {len(times)} queries: the slowest answer", max(times), 5.5)
    yield _line("the query after each, the slowest", max(after), 1.0, more=f", median {seconds(median(after))}")


def _hostile_images(opened: Index, scratch: Path) -> Iterator[Line]:
    """Measure how fast images with too many scans or pixels are refused, and pages while others are decoded."""
    bombs = {"scans": with_scans(jpeg((2000, 2000), progressive=True), 150), "pixels": jpeg((13_000, 13_000))}
    makers, times = PictureMakers(opened, 1), []
    try:
        for name, data in [("warm", jpeg((64, 64))), *bombs.items()]:
            path = scratch / name
            path.write_bytes(data)
            start = time.perf_counter()
            with suppress(FormatError):
                makers.picture(Place(path, 0, len(data), encoding=""), [], fit=256, labels=False)
            times.append(time.perf_counter() - start)
    finally:
        makers.close()
    yield _line("a JPEG of over 150 scans, and one of 169 million pixels, refused: the slower", max(times[1:]), 0.05)
    folder = scratch / "n02084071"
    folder.mkdir()
    for n in range(8):
        (folder / f"n02084071_{n}.JPEG").write_bytes(slow_jpeg(n))
    index = scratch / "slow.index"
    command = [*_CLI, "build-index", str(folder), "-o", str(index)]
    subprocess.run(command, cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with explorer(index) as server, ThreadPoolExecutor(4) as pool:
        while b"being counted" in server.get("/synset/dog"):
            time.sleep(0.05)
        slow = [pool.submit(server.get, f"/image/{n % 8}/thumbnail") for n in range(8)]
        pages = []
        while not all(one.done() for one in slow):
            pages.append(server.timed("/synset/dog"))
        yield _line(f"pages while images are decoded for seconds: 99 of 100 of {len(pages)}",
                    quantiles(pages, n=100)[98], 0.3, more=f", median {seconds(median(pages))}")  # fmt: skip


def report(lines: Sequence[Line], images: int, rounds: int) -> str:
    """Return the table as Markdown, with a sentence that says how it was measured."""
    rows = "".join(f"| {cell(line.work)} | {line.taken} | {line.aim} |\n" for line in lines)
    return (
        f"`imagenet-tools explore` on an index of {images:,} images in a tar of class tars, drawn and small. Medians, "
        f"with the least and the most in brackets; the first page {rounds} times from a new process. The page cache is "
        "warm; the client is on loopback and keeps its connections, six for thumbnails.\n\n"
        f"| work | taken | aim |\n|---|---|---|\n{rows}"
    )


def hold(index: Path, rounds: int, *, is_whole: bool) -> None:
    """Measure the explorer on an index, print the table, and write it into RESULTS.md if the index is the whole."""
    with Index.open(index) as opened:
        images = opened.n_images
    lines = measure(index, rounds)
    text = report(lines, images, rounds)
    print(about(), text, sep="\n")
    if is_whole:
        short = [f"| explore {images:,} images: {line.work} | {line.taken} |  |" for line in lines if line.aim]
        write("explorer", text, short)


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description="Measure the explorer on an index.")
    parser.add_argument("index", type=Path)
    parser.add_argument("--rounds", type=int, default=5, help="of the first page")
    asked = parser.parse_args()
    with Index.open(asked.index) as opened:
        is_whole = opened.n_images >= full_imagenet.IMAGES
    hold(asked.index.resolve(), asked.rounds, is_whole=is_whole)
    return 0


if __name__ == "__main__":
    sys.exit(main())
