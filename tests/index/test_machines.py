"""Builds and exports on several machines: shards that are merged, executors, and workers that are killed."""

import os
import pickle
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import imagenet_tools
from imagenet_tools.errors import ExistsError, ImagenetToolsError, SourceError, UsageError
from imagenet_tools.index import Index
from imagenet_tools.storage import executors
from imagenet_tools.storage.executors import in_executor
from imagenet_tools.storage.shares import parse
from tests.conftest import OFFICIAL
from tests.index.test_build import tables
from tests.parameters import short_list


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- shards


def test_shards_in_any_order_give_the_bytes_of_one_build(sample: Path, index: Index, tmp_path: Path) -> None:
    paths = [sample / name for name in OFFICIAL]
    done = [imagenet_tools.build_index(paths, tmp_path / "x.index", shard=f"{n}/3") for n in (2, 0, 1)]
    assert not (tmp_path / "x.index").exists()
    assert sum(report.units["scanned"] for report in done) == 18
    assert sum(report.rows["images"] for report in done) == 182
    merged = imagenet_tools.merge(tmp_path / "x.index")
    assert merged.units == {"scanned": 0, "resumed": 18, "unchanged": 0, "removed": 0}  # type: ignore[union-attr]
    assert tables(tmp_path / "x.index") == tables(index.path)
    assert not (tmp_path / "x.index.partial").exists()


def test_a_merge_does_what_a_lost_shard_has_not(sample: Path, index: Index, tmp_path: Path) -> None:
    paths = [sample / name for name in OFFICIAL]
    imagenet_tools.build_index(paths, tmp_path / "x.index", shard="1/3")
    merged = imagenet_tools.merge(tmp_path / "x.index")
    assert merged.units == {"scanned": 12, "resumed": 6, "unchanged": 0, "removed": 0}  # type: ignore[union-attr]
    assert tables(tmp_path / "x.index") == tables(index.path)


def test_shards_add_to_an_index(sample: Path, index: Index, tmp_path: Path) -> None:
    paths = [sample / name for name in OFFICIAL]
    imagenet_tools.build_index(paths[:2], tmp_path / "x.index")
    for shard in ("0/2", "1/2"):
        imagenet_tools.build_index(paths, tmp_path / "x.index", shard=shard)
    imagenet_tools.merge(tmp_path / "x.index")
    assert Index.open(tmp_path / "x.index").sql("SELECT count(*) FROM images").fetchall() == [(182,)]


def test_shards_of_two_builds_are_kept_apart(sample: Path, tmp_path: Path) -> None:
    imagenet_tools.build_index(sample / OFFICIAL[0], tmp_path / "x.index", shard="0/2")
    with pytest.raises(ExistsError, match="Give all shards the same arguments"):
        imagenet_tools.build_index(sample / OFFICIAL[1], tmp_path / "x.index", shard="1/2")


def test_a_merge_waits_for_no_shard_that_runs(sample: Path, tmp_path: Path) -> None:
    imagenet_tools.build_index(sample / OFFICIAL[0], tmp_path / "x.index", shard="0/2")
    with parse("1/2").locked(tmp_path / "x.index.partial"):
        with pytest.raises(ExistsError, match=f"process {os.getpid()}"):
            imagenet_tools.merge(tmp_path / "x.index")
        with pytest.raises(ExistsError, match=f"process {os.getpid()}"):
            imagenet_tools.build_index(sample / OFFICIAL[0], tmp_path / "x.index", shard="1/2")


EXPORTS: dict[str, dict[str, Any]] = {
    "webdataset": {"to": "webdataset", "shard_size": "20KB", "shuffle": "block"},
    "image_folder": {"to": "image_folder", "names": "names.txt"},
    "two targets": {"to": "csv,yolo_classify"},
}


@pytest.mark.parametrize("name", short_list(EXPORTS, "webdataset"))
def test_shards_of_an_export_give_its_bytes(
    name: str, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = dict(EXPORTS[name])
    chosen = index.select(under="dog.n.01", per_class=5)
    if "names" in options:
        rows = [f"{wnid} class {n}" for n, wnid in enumerate(chosen.classes_of())]
        Path("names.txt").write_text("\n".join(rows) + "\n")
    imagenet_tools.export(chosen, "whole", **options)
    done = [imagenet_tools.export_shard(chosen, "x", f"{n}/3", **options) for n in (1, 2, 0)]
    assert sum(images for images, _ in done) == done[0][1] == len(chosen)
    assert not Path("x").exists()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = imagenet_tools.merge(tmp_path / "x")
    assert result.images() == len(chosen)  # type: ignore[union-attr]
    assert bytes_of(tmp_path / "x") == bytes_of(tmp_path / "whole")


def test_a_locked_selection_is_exported_by_shards(index: Index, tmp_path: Path) -> None:
    index.select(under="dog.n.01", per_class=3).lock(tmp_path / "dogs.lock.toml")
    chosen = imagenet_tools.subset(tmp_path / "dogs.lock.toml", index)
    imagenet_tools.export(chosen, tmp_path / "whole", to="csv")
    imagenet_tools.export_shard(chosen, tmp_path / "x", "0/2", to="csv")
    (tmp_path / "dogs.lock.toml").unlink()
    imagenet_tools.merge(tmp_path / "x")
    assert bytes_of(tmp_path / "x") == bytes_of(tmp_path / "whole")


def test_shards_of_two_exports_are_kept_apart(index: Index, tmp_path: Path) -> None:
    imagenet_tools.export_shard(index.select(under="dog.n.01"), tmp_path / "x", "0/2", to="csv")
    with pytest.raises(ExistsError, match="Give all shards the same arguments"):
        imagenet_tools.export_shard(index.select(under="cat.n.01"), tmp_path / "x", "1/2", to="csv")


@pytest.mark.parametrize("text", ["3/3", "-1/3", "1", "1/0", "a/b", ""])
def test_a_wrong_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected I/N"):
        parse(text)


def test_there_is_nothing_to_merge(index: Index, tmp_path: Path) -> None:
    for path in (index.path, tmp_path / "nothing"):
        with pytest.raises(SourceError, match="found no shards"):
            imagenet_tools.merge(path)


# ---- executors


def die(task: tuple[Path, int, int]) -> int:
    """Kill the worker at task 5, as often as the task says."""
    folder, number, times = task
    if number == 5 and len(list(folder.iterdir())) < times:
        (folder / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def pool() -> Executor:
    return ProcessPoolExecutor(2, get_context("spawn"))


@pytest.mark.long
def test_an_executor_whose_workers_are_killed_is_helped_out(tmp_path: Path) -> None:
    with pool() as executor:
        tasks = [(tmp_path, number, 1) for number in range(20)]
        assert list(in_executor(die, tasks, executor)) == list(range(20))


@pytest.mark.long
def test_a_task_that_kills_everybody_is_lost(tmp_path: Path) -> None:
    with pool() as executor:
        tasks = [(tmp_path, number, 100) for number in range(20)]
        results = in_executor(die, tasks, executor, lost=lambda task: -task[1])
        assert list(results) == [*range(5), -5, *range(6, 20)]


class Unreliable(Executor):
    """Does the work in this process; kills, or never ends, the first run of some tasks."""

    def __init__(self, kills: Sequence[int] = (), forgets: Sequence[int] = (), times: int = 1):
        self.kills, self.forgets, self.times = kills, forgets, times
        self.runs: dict[int, int] = {}

    def submit(self, function: Callable[..., Any], /, task: Any) -> Future[Any]:  # type: ignore[override]
        future: Future[Any] = Future()
        run = self.runs[task] = self.runs.get(task, 0) + 1
        if task in self.kills and run <= self.times:
            future.set_exception(BrokenExecutor("the node is gone"))
        elif task not in self.forgets or run > self.times:
            future.set_result(function(task))
        return future


def test_what_a_cluster_loses_is_submitted_again() -> None:
    executor = Unreliable(kills=[3, 4])
    assert list(in_executor(abs, range(8), executor)) == list(range(8))
    assert executor.runs == {n: 2 if n in {3, 4} else 1 for n in range(8)}
    with pytest.raises(ImagenetToolsError, match="killed 3 times"):
        list(in_executor(abs, range(8), Unreliable(kills=[3], times=100)))


def test_a_cluster_that_says_nothing_any_more_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "STALL_SECONDS", 0.05)
    executor = Unreliable(forgets=[3, 4])
    assert list(in_executor(abs, range(8), executor, repeatable=True)) == list(range(8))
    with pytest.raises(ImagenetToolsError, match="No unit of work ended"):
        list(in_executor(abs, range(8), Unreliable(forgets=[3], times=100), repeatable=True))


def test_an_executor_gives_the_bytes_of_worker_processes(sample: Path, index: Index, tmp_path: Path) -> None:
    paths = [sample / name for name in OFFICIAL]
    chosen = index.select(under="dog.n.01")
    whole = partial(imagenet_tools.export, chosen, to="webdataset", shard_size="20KB")
    whole(tmp_path / "whole")
    with ThreadPoolExecutor(2) as executor:
        imagenet_tools.build_index(paths, tmp_path / "x.index", executor=executor)
        whole(tmp_path / "x", executor=executor)
    assert tables(tmp_path / "x.index") == tables(index.path)
    assert bytes_of(tmp_path / "x") == bytes_of(tmp_path / "whole")


def test_a_unit_that_kills_every_process_is_a_problem_and_the_next_build_reads_it(
    sample: Path, index: Index, tmp_path: Path
) -> None:
    paths = [sample / name for name in OFFICIAL]

    class Killing(ThreadPoolExecutor):
        def submit(self, function: Callable[..., Any], /, task: Any) -> Future[Any]:  # type: ignore[override]
            if task.unit.member == "n02085620.tar":
                broken: Future[Any] = Future()
                broken.set_exception(BrokenExecutor())
                return broken
            assert pickle.loads(pickle.dumps(task)) == task
            return super().submit(function, task)

    with Killing(1) as executor:
        report = imagenet_tools.build_index(paths, tmp_path / "x.index", executor=executor)
    assert report.problems["unit_killed"] == 1
    assert imagenet_tools.build_index(paths, tmp_path / "x.index").units["scanned"] == 1
    assert tables(tmp_path / "x.index") == tables(index.path)
