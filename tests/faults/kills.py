"""Kill a tenth of the units of a build, and sometimes its driver, and compare the index with that of one process.

    python -m tests.faults.kills 50 processes shares ray      # 50 runs each, and RESULTS.md

Each run indexes the same 20,000 drawn images. `processes`: the workers of one build. `shares`: seven builds with
--shard at a time, then a merge. `ray`: a Ray cluster of two nodes on this machine, which must be installed. In every
third run the driver is killed too, and started again. Finished runs are kept in .bench/kills, so that the runs may be
done a few at a time: `kills 5 ray`, then `kills 10 ray`, and so on.
"""

from __future__ import annotations

import io
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import imagenet_tools
from imagenet_tools.build import build
from imagenet_tools.build.unit_work import Task, UnitResult, work
from imagenet_tools.storage import executors

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
KEPT = HERE.parent.parent / ".bench" / "kills"  # the drawn images, their index by one process, and finished runs
CLASSES, IMAGES = 200, 100
SHARES = 7
LIMIT_SECONDS = 300.0


def work_or_die(task: Task) -> UnitResult:
    """Scan a unit; the first run of a tenth of the units kills its process and leaves a mark. The index is the seed."""
    marks = marks_of(task.parts.parent.with_suffix(""))
    mark = marks / str(task.unit.key)
    if random.Random(f"{marks.name} {task.unit.key}").random() < 0.1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return work(task)


def marks_of(index: Path) -> Path:
    """Return the folder with a file for each unit of a build that has killed its worker."""
    return index.with_suffix(".marks")


def draw(path: Path, classes: int = CLASSES, images: int = IMAGES, size: tuple[int, int] = (32, 24)) -> None:
    """Write a tar of class tars with plain images, all of the same bytes."""
    data = _photo(size)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as outer:
        for wnid in imagenet_tools.classes("ilsvrc2012").wnids[:classes]:
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w", format=tarfile.USTAR_FORMAT) as archive:
                for n in range(images):
                    _add(archive, f"{wnid}_{n + 1}.JPEG", data)
            _add(outer, f"{wnid}.tar", inner.getvalue())


def _photo(size: tuple[int, int]) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", size, (90, 120, 60)).save(out, "JPEG")
    return out.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def drive(backend: str, source: str, index: str, address: str) -> None:
    """Build an index in this process by one backend, or a share of it (shares:2)."""
    from tests.faults.kills import work_or_die as importable  # this module is __main__, which workers do not import

    build.work = importable
    if backend == "ray":
        with executors.RayExecutor(address) as executor:
            imagenet_tools.build_index(source, index, executor=executor)
    elif backend == "merge":
        imagenet_tools.merge(index, workers=2)
    elif backend.startswith("shares:"):
        shard = f"{backend.removeprefix('shares:')}/{SHARES}"
        imagenet_tools.build_index(source, index, shard=shard, workers=1 if int(backend[-1]) % 2 else 2)
    else:
        imagenet_tools.build_index(source, index, workers=2)


def start(backend: str, source: Path, index: Path, address: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.faults.kills", "drive", backend, source, index, address])


def finish(backend: str, source: Path, index: Path, address: str, *, kill_after: float | None) -> int:
    """Run a driver to its end; kill it once after some seconds, if it runs so long. Return how often it was started."""
    driver, starts = start(backend, source, index, address), 1
    with suppress(subprocess.TimeoutExpired):
        driver.wait(kill_after if kill_after is not None else LIMIT_SECONDS)
    if kill_after is not None and driver.poll() is None:
        driver.kill()
        driver.wait()
    while driver.poll() != 0:
        if driver.poll() is None:
            driver.kill()
            raise TimeoutError(f"{backend}: no end in {LIMIT_SECONDS:.0f} s")
        driver, starts = start(backend, source, index, address), starts + 1
        if starts > 10:
            raise RuntimeError(f"{backend}: {starts} starts were not enough")
        with suppress(subprocess.TimeoutExpired):
            driver.wait(LIMIT_SECONDS)
    return starts


def manifest(index: Path) -> object:
    tables = json.loads((index / "manifest.json").read_text())["tables"]
    return {name: entries for name, entries in tables.items() if name != "sources"}


def run(backend: str, number: int, source: Path, folder: Path, address: str) -> tuple[float, int, int]:
    """Build once, and return (seconds, units killed, starts of drivers)."""
    index = folder / f"{backend}-{number}.index"
    marks_of(index).mkdir()
    kill_after = random.Random(number).uniform(0.3, 1.5) if number % 3 == 0 else None
    begin = time.monotonic()
    if backend == "shares":
        drivers = [
            start(f"shares:{n}", source, index, address) for n in random.Random(number).sample(range(SHARES), SHARES)
        ]
        if kill_after is not None:
            time.sleep(kill_after)
            drivers[0].kill()
        for driver in drivers:
            driver.wait(LIMIT_SECONDS)
        starts = SHARES + finish("merge", source, index, address, kill_after=None)
    else:
        starts = finish(backend, source, index, address, kill_after=kill_after)
    seconds, killed = time.monotonic() - begin, len(list(marks_of(index).iterdir()))
    if not killed:
        raise AssertionError(f"{backend}, run {number}: no unit was killed")
    if manifest(index) != manifest(KEPT / "serial.index"):
        raise AssertionError(f"{backend}, run {number}: the index differs from that of one process")
    shutil.rmtree(index)
    return seconds, killed, starts


def main(runs: int, backends: list[str]) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    source, serial, records = KEPT / "ILSVRC2012_img_train.tar", KEPT / "serial.index", KEPT / "runs.jsonl"
    if not serial.exists():
        draw(source)
        imagenet_tools.build_index(source, serial, workers=1)
    done = [json.loads(line) for line in records.read_text().splitlines()] if records.exists() else []
    with tempfile.TemporaryDirectory() as name, ray_nodes("ray" in backends) as address:
        for backend in backends:
            for number in range(sum(record["backend"] == backend for record in done), runs):
                seconds, killed, starts = run(backend, number, source, Path(name), address)
                record = {"backend": backend, "seconds": round(seconds, 1), "killed": killed, "starts": starts}
                done.append(record)
                with records.open("a") as file:
                    file.write(json.dumps(record) + "\n")
    write_results(runs, backends, done)


@contextmanager
def ray_nodes(wanted: bool) -> Iterator[str]:
    """Start a Ray cluster of two nodes for the block, if it is wanted, and yield its address."""
    if not wanted:
        yield ""
        return
    from ray.cluster_utils import Cluster

    os.environ["PYTHONPATH"] = str(HERE.parent.parent)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster.address
    cluster.shutdown()


def write_results(runs: int, backends: list[str], done: list[dict[str, Any]]) -> None:
    """Write RESULTS.md. A hang, or an index of other bytes, ends the program before."""
    lines = []
    for backend in backends:
        some = [record for record in done if record["backend"] == backend]
        killed, starts, seconds = ([record[key] for record in some] for key in ("killed", "starts", "seconds"))
        lines.append(
            f"| {backend} | {len(some)} | {sum(killed) / len(some):.1f} | {sum(starts)} | "
            f"{sorted(seconds)[len(some) // 2]:.1f} | {max(seconds):.1f} | 0 | 0 |"
        )
    head = (
        "# Units and drivers that are killed\n\n"
        f"`python -m tests.faults.kills {runs} {' '.join(backends)}`: {CLASSES * IMAGES:,} images in {CLASSES + 1} "
        "units, a tenth of which kill their worker once; in every third run the driver is killed too. Python "
        f"{platform.python_version()}, {os.cpu_count()} cores. A hang is a run of more than {LIMIT_SECONDS:.0f} s.\n\n"
        "| backend | runs | units killed a run | drivers started | median s | longest s | hangs | other bytes |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    RESULTS.write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "drive":
        drive(*sys.argv[2:])
    else:
        main(int(sys.argv[1]), sys.argv[2:] or ["processes", "shares"])
