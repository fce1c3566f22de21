"""Build an index: detect sources, cut them into units, scan the units in worker processes, merge the parts.

Finished work is on disk: an interrupted build leaves its parts in <index>.partial, and the same command continues from
there. A unit whose bytes have not changed since the index was built is not read again.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenet_tools import system
from imagenet_tools.build.find import find_sources, units_of
from imagenet_tools.build.like import borrow
from imagenet_tools.build.merge import merge
from imagenet_tools.build.parts import Counts, open_part
from imagenet_tools.build.stage import Stage
from imagenet_tools.build.unit_work import Task, UnitResult, killed, work
from imagenet_tools.containers.tar import is_gzip
from imagenet_tools.containers.tar_ahead import TarRange, TarsAhead
from imagenet_tools.containers.tar_header import BLOCK
from imagenet_tools.errors import ExistsError, NoIndexError
from imagenet_tools.images.image_rows import HEAD
from imagenet_tools.schema import arrow_schema
from imagenet_tools.storage.buckets import Remote, is_remote, on_disk, place_of, url_of
from imagenet_tools.storage.executors import in_executor
from imagenet_tools.storage.files import clear_locked, explain_full_disk, lock, publish_folder
from imagenet_tools.storage.processes import in_processes
from imagenet_tools.storage.shares import Share, write_command
from imagenet_tools.store import layout
from imagenet_tools.store.in_bucket import copy, upload
from imagenet_tools.store.layout import MANIFEST, Manifest
from imagenet_tools.store.sources import Source, UnitRecord, read_sources, rooted, write_sources
from imagenet_tools.text import count_of
from imagenet_tools.units import Forecast
from imagenet_tools.wordnet import nltk_bridge

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping, Sequence
    from concurrent.futures import Executor

    from imagenet_tools.store.layout import FileEntry
    from imagenet_tools.units import Progress, Reader, Unit

# Seconds of one core that merging takes for each row, for the forecast.
_MERGE_IMAGE_SECONDS = 3e-6
_MERGE_BOX_SECONDS = 6e-6

# With fewer units, starting worker processes takes longer than scanning in this one.
_MIN_UNITS_FOR_WORKERS = 4

# Units that are read at once at most, if a disk or a network is slow to answer: each core's worker has its share.
_MAX_UNITS_AT_ONCE = 32

# A build of few units, of at most _SMALL_UNIT_BYTES each, starts workers if the rest of them takes longer than this:
# starting two workers takes 0.5 s of CPU.
_START_SECONDS = 0.5
_MANY_UNITS = 200
_SMALL_UNIT_BYTES = 8 << 20
_SMALL_GZIP_BYTES = 128 << 10

# Imported when a worker first reads images or writes a table; in the fork server once for all workers.
_WORKER_MODULES = ("numpy.char", "numpy.ma", "numpy.strings", "pyarrow.compute", "pyarrow.parquet")


@dataclass(repr=False)
class Report:
    """Result of a build.

    Attributes:
        index: Folder of the index.
        sources: The sources of this build.
        units: Number of units by state: scanned, resumed, unchanged, removed, and borrowed with `like`.
        rows: Rows of the whole index by table.
        problems: Rows of the table problems by code.
    """

    index: Path
    sources: list[Source] = field(default_factory=list)
    units: Counts = field(default_factory=dict)
    rows: Counts = field(default_factory=dict)
    problems: Counts = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Report: {url_of(self.index)}; {self.content()}; {count_of(sum(self.problems.values()), 'problem')}"

    def content(self) -> str:
        """Return the number of images, boxes and labels in words."""
        totals = (("images", "image"), ("boxes", "box"), ("labels", "label"))
        return ", ".join(count_of(self.rows.get(table, 0), noun) for table, noun in totals)


def build_index(
    paths: Sequence[Path],
    index: Path,
    *,
    readers: Mapping[str, Reader],
    dataset: str | None = None,
    class_names: str | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    fresh: bool = False,
    glosses: str | None = None,
    like: Path | None = None,
    by_hash: bool = False,
    probe: bool = True,
    roots: Mapping[str, Path] | None = None,
    shard: Share | None = None,
    progress: Progress | None = None,
) -> Report:
    """Build an index of sources, or add them to an existing one: see imagenet_tools.build_index."""
    exists = _index_exists(index)
    with explain_full_disk(index), layout.staged(index.absolute(), shard) as staging:
        old = layout.read_manifest(index) if exists and not fresh else Manifest({})
        for problem in layout.wrong_files(index, old):
            raise layout.damaged(index, problem)
        known = read_sources(index, old)
        moved = rooted(known, roots or {})
        if old.tables:
            layout.remove_unlisted(index, old)
        found_sources = find_sources(paths, readers, dataset=dataset, known=moved, class_names=class_names)
        units = [unit._replace(probed=probe) for source in found_sources for unit in units_of(source, readers)]
        if shard is not None:
            command = {
                "paths": [url_of(place_of(path)) for path in paths],
                "dataset": dataset,
                "class_names": _absolute(class_names),
                "fresh": fresh,
                "glosses": _absolute(glosses),
                "like": like and str(like.absolute()),
                "by_hash": by_hash,
                "probe": probe,
                "roots": {name: url_of(root) for name, root in (roots or {}).items()},
            }
            write_command(staging, command)
            units = [*shard.take(units)]
        if like:
            borrow(units, staging / "parts", like)
        old_units = {record.unit: record for source in known for record in source.units}
        (staging / "parts").mkdir(exist_ok=True)
        tasks = [Task(unit, staging / "parts", old_units.get(unit.key), by_hash) for unit in units]
        results = _scan(tasks, readers, workers, executor, progress)
        if shard is not None:
            return Report(index, found_sources, _count_states(results, like=like is not None), _rows(results), {})
        sources = _next_sources(known, found_sources, results)
        new = {result.unit.key: open_part(result.part) for result in results if result.state != "unchanged"}
        unit_keys = {record.unit for source in sources for record in source.units}
        home = index if exists else staging / "index"
        if not exists:
            layout.remove_unlisted(home, old)  # of a merge that was interrupted, perhaps of other sources
        if progress:
            progress("merging", 0, 1)
        stage = Stage(
            home,
            old,
            new,
            tuple(sorted(key for key in old_units if key in new or key not in unit_keys)),
            threads=workers or system.cores(),
            aside=staging / "aside",
            roots={source.name: source.root for source in (*moved, *found_sources)},
            n_images={source.name: sum(unit.n_images for unit in source.units) for source in sources},
            by_hash=by_hash,
        )
        with closing(stage):
            manifest, problems = merge(stage)
        manifest.tables["glosses"] = _write_glosses(home, glosses) if glosses else stage.old_entries("glosses")
        manifest = write_sources(home, manifest, sources)
        layout.write_manifest(home, manifest)
        if not exists:
            publish_folder(home, index)
        clear_locked(staging)
        if progress:
            progress("merging", 1, 1)
    n_units = _count_states(results, like=like is not None) | {"removed": len(old_units.keys() - unit_keys)}
    return Report(index, found_sources, n_units, manifest.rows, problems)


def build_in_bucket(
    paths: Sequence[Path], index: Path, *, fresh: bool = False, shard: Share | None = None, **keywords: Any
) -> Report:
    """Build an index of sources at a URL, or add them to the one that is there: see imagenet_tools.build_index.

    The shards of a build work in one folder: $IMAGENET_CACHE must be on a disk that all their machines see.

    Raises:
        ExistsError: Another build has written the index meanwhile, or is writing it on this machine.
    """
    folder = on_disk(index)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with lock(folder.with_name(f"{folder.name}.lock"), waits=shard is not None):
        etag = _copy_old(index, folder, fresh=fresh)
        if shard is None:
            report = build_index(paths, folder, fresh=fresh, **keywords)
            upload(folder, index, etag)
            shutil.rmtree(folder)
            return replace(report, index=index)
    return replace(build_index(paths, folder, fresh=fresh, shard=shard, **keywords), index=index)


def _copy_old(index: Path, folder: Path, *, fresh: bool) -> str | None:
    """Copy the index that is at a URL, unless it is to be discarded, and return its ETag, or None if there is none.

    An index in the folder, of which the upload was interrupted, stays if the one in the bucket has not changed since.
    """
    there = Remote(str(index / MANIFEST)).etag()
    if there and not fresh:
        try:
            return copy(index, folder)
        except NoIndexError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return there


def _index_exists(index: Path) -> bool:
    """Return True if there is an index. Raise ExistsError if there is anything else."""
    exists = layout.is_index(index)
    if not exists and os.path.lexists(index):
        kind = "a folder that is no index" if index.is_dir() else "something else"
        raise ExistsError(
            f"{index} exists: found {kind}, expected an index or nothing there. Name another, or remove it."
        )
    return exists


def _count_states(results: Sequence[UnitResult], *, like: bool) -> Counts:
    """Return the number of units by state. Without `like`, borrowed units are from an interrupted build: resumed."""
    counts = Counter(result.state if like or result.state != "borrowed" else "resumed" for result in results)
    return {state: counts[state] for state in ("scanned", "resumed", "unchanged", *(["borrowed"] if like else []))}


def _absolute(text: str | None) -> str | None:
    """Return the absolute path that a text names if it is a path, else the text."""
    return str(Path(text).absolute()) if text and os.path.lexists(text) else text


def _rows(results: Sequence[UnitResult]) -> Counts:
    """Return the number of rows by table of units that are not merged yet."""
    records = [result.record for result in results]
    return {
        "images": sum(record.n_images for record in records),
        "boxes": sum(record.n_boxes for record in records),
        "labels": sum(record.n_labels for record in records),
    }


def _next_sources(known: Sequence[Source], new: Sequence[Source], results: Sequence[UnitResult]) -> list[Source]:
    """Return the sources of the next index: the old ones that are not in this build, then those of this build."""
    records: dict[str, list[UnitRecord]] = {source.name: [] for source in new}
    for result in results:
        records[result.unit.source].append(result.record)
    kept = [source for source in known if source.name not in records]
    return kept + [replace(source, units=tuple(records[source.name])) for source in new]


def _scan(
    tasks: Sequence[Task],
    readers: Mapping[str, Reader],
    workers: int | None,
    executor: Executor | None,
    progress: Progress | None,
) -> list[UnitResult]:
    """Scan the units in worker processes and return the results in order of the tasks.

    Units without images go first. Annotations are read whole, images only for their headers, so an archive of
    annotations is the longest unit. At the end, all other workers would wait for it. Units of whole files go next: in
    a bucket, a flat tar, and the tar around class tars, are chains of headers that one request reads after the other.
    """
    cores = system.cores()
    light = {name for name, reader in readers.items() if "images" not in reader.READS.holds}
    order = sorted(range(len(tasks)), key=lambda n: (tasks[n].unit.form not in light, tasks[n].unit.length >= 0))
    ordered = [tasks[n] for n in order]
    stage, weights = _weights([task.unit for task in ordered], light)
    scanned, total, merge_seconds = 0, sum(weights), 0.0
    if progress:
        progress(stage, 0, total)
    results: dict[int, UnitResult] = {}
    with closing(_results(ordered, workers, executor, cores)) as pending:
        for n, weight, result in zip(order, weights, pending, strict=True):
            results[n] = result
            scanned += weight
            if result.state != "unchanged":
                merge_seconds += result.record.n_images * _MERGE_IMAGE_SECONDS
                merge_seconds += result.record.n_boxes * _MERGE_BOX_SECONDS
            if isinstance(progress, Forecast):
                progress.then(merge_seconds * total / max(scanned, 1) / (workers or cores))
            if progress:
                progress(stage, scanned, total)
    return [results[n] for n in range(len(tasks))]


def _results(
    tasks: Sequence[Task], workers: int | None, executor: Executor | None, cores: int
) -> Generator[UnitResult, None, None]:
    """Yield the results of tasks in their order: from the executor, or from this process and worker processes.

    Workers take 0.3 s to start, and a small build is done by then. Without a number of workers, this process works on
    small units as long as the rest seems to take less than _START_SECONDS, unless there are many units. It also does so
    while the workers start.
    """
    if executor is not None:
        yield from in_executor(work, tasks, executor, lost=killed, repeatable=True)
        return
    n, start, first, left = 0, time.monotonic(), 0.0, 0.0
    if workers is None and len(tasks) < _MANY_UNITS:
        while n < len(tasks) and left < _START_SECONDS and _is_small(tasks[n].unit):
            yield work(tasks[n])
            n += 1
            seconds = time.monotonic() - start
            first = first or seconds  # of the first unit, which takes 0.2 s of imports too
            left = (seconds - first) / (n - 1) * (len(tasks) - n) if n > 1 else first
    rest = tasks[n:]
    few = len(rest) < _MIN_UNITS_FOR_WORKERS and (len(rest) < 2 or all(_is_small(task.unit) for task in rest))
    if workers == 1 or few:
        yield from map(work, rest)
        return
    modules = (*_WORKER_MODULES, *sorted({f"imagenet_tools.formats.{task.unit.form}" for task in rest}))
    with TarsAhead([_tar_range(task.unit) for task in rest] if _are_new(rest) else ()) as ahead:
        pending = in_processes(
            work,
            rest,
            workers or cores,
            threads=1 if workers else max(_MAX_UNITS_AT_ONCE // cores, 1),
            may_kill=True,  # a unit may take an hour, and its part appears whole or not at all
            modules=modules,
            meanwhile=lambda task: workers is None and _is_small(task.unit),
            wait_for=ahead.wait_for,
            lost=killed,
        )
        with closing(pending) as results:
            yield from results


def _are_new(tasks: Sequence[Task]) -> bool:
    """Return True if all tasks will be scanned: none is in the old index, or was finished by an interrupted build."""
    return not any(task.known for task in tasks) and not any(os.scandir(tasks[0].parts))


def _tar_range(unit: Unit) -> TarRange:
    return TarRange(unit.path, unit.offset, unit.length, BLOCK + (HEAD if unit.probed else 0))


def _is_small(unit: Unit) -> bool:
    """Return True if a unit is a folder, or a file of few bytes on a disk.

    A compressed archive is read whole, so it may have fewer.
    """
    if not unit.path.is_file():
        return not is_remote(unit.path)
    length = unit.length if unit.length >= 0 else unit.path.stat().st_size
    return length <= _SMALL_GZIP_BYTES or (length <= _SMALL_UNIT_BYTES and not is_gzip(unit.path))


def _weights(units: Sequence[Unit], light: Collection[str] = ()) -> tuple[str, list[int]]:
    """Return (stage of the progress, weight of each unit): kilobytes, or 1 each if some units are folders.

    Units of a whole file share the bytes that no other unit has of that file: the scan of a tar of class tars reads
    only its headers. Units of `light` forms weigh 0 beside others: annotations are few bytes that take long and
    go first, so the pace must be that of the images.
    """
    paths = [unit.path for unit in units]
    ranges, wholes = Counter[Path](), Counter[Path]()  # by file: bytes in units of a part of it, units of all of it
    for path, unit in zip(paths, units, strict=True):
        ranges[path] += max(unit.length, 0)
        wholes[path] += unit.length < 0
    if not all(path.is_file() for path in ranges):
        return "reading", [1] * len(units)
    shares = {path: max(path.stat().st_size - ranges[path], 0) // max(wholes[path], 1) for path in ranges}
    sizes = [unit.length if unit.length >= 0 else shares[path] for path, unit in zip(paths, units, strict=True)]
    only_light = all(unit.form in light for unit in units)
    weights = [
        (size >> 10) + 1 if only_light or unit.form not in light else 0 for size, unit in zip(sizes, units, strict=True)
    ]
    return "reading (KB)", weights


def _write_glosses(home: Path, origin: str) -> list[FileEntry]:
    """Write the table glosses, read through NLTK ("nltk") or from a WordNet dict folder."""
    import pyarrow as pa

    rows = nltk_bridge.glosses_from_nltk() if origin == "nltk" else nltk_bridge.glosses_from_dict(Path(origin))
    pairs = [{"wnid": wnid, "gloss": gloss} for wnid, gloss in sorted(rows)]
    return layout.write_table(home, "glosses", "all", [pa.RecordBatch.from_pylist(pairs, arrow_schema("glosses"))])
