"""Building an index: sources are detected, cut into units, scanned into parts by many processes, and merged.

What is finished is what is on disk: an interrupted build leaves its parts in <index>.partial, and the same command
goes on from there. A unit whose bytes have not changed since the index was made is not read again.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools import system
from imagenet_tools.build.find import find_sources, units_of
from imagenet_tools.build.like import borrow
from imagenet_tools.build.merge import merge
from imagenet_tools.build.parts import Counts
from imagenet_tools.build.stage import Stage
from imagenet_tools.build.unit_work import Task, UnitResult, work
from imagenet_tools.errors import ExistsError
from imagenet_tools.schema import arrow_schema
from imagenet_tools.storage.files import named_when_full, publish_folder
from imagenet_tools.storage.processes import in_processes, prepare_workers
from imagenet_tools.store.layout import (
    Manifest,
    check_sums,
    is_index,
    read_manifest,
    remove_unlisted,
    staged,
    write_manifest,
    write_table,
)
from imagenet_tools.store.sources import Source, UnitRecord, read_sources, rooted, write_sources
from imagenet_tools.units import Forecast
from imagenet_tools.wordnet import nltk_bridge

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from concurrent.futures import Executor

    from imagenet_tools.store.layout import FileEntry
    from imagenet_tools.units import Progress, Reader, Unit

# Seconds of a core that merging takes for each row, about: what is left when all is read.
_MERGED = {"images": 3e-6, "boxes": 6e-6}

# Below this many units, other processes cost more than they bring.
_FEW = 4

# Processes that read, at most, where a disk or a network is slow to answer: some 10 MB of memory each, and as many
# requests at once as a disk of any kind has a use for.
_MOST = 32


@dataclass
class Report:
    """What a build found and did."""

    index: Path
    sources: list[Source] = field(default_factory=list)
    units: Counts = field(default_factory=dict)  # by what became of them: scanned, resumed, unchanged, removed
    rows: Counts = field(default_factory=dict)  # rows of the whole index, by table
    problems: Counts = field(default_factory=dict)  # rows of the table problems, by code


def build_index(
    paths: Sequence[Path],
    index: Path,
    *,
    readers: Mapping[str, Reader],
    dataset: str | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    fresh: bool = False,
    glosses: str | None = None,
    like: Path | None = None,
    by_hash: bool = False,
    probe: bool = True,
    roots: Mapping[str, Path] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Make an index of these sources, or add them to the one that is there: see imagenet_tools.build_index."""
    cores = system.cores()
    there = is_index(index)
    if not there and os.path.lexists(index):
        what = "a folder that is no index" if index.is_dir() else "something else"
        message = f"{index} exists: found {what}, expected an index or nothing there. Name another, or remove it."
        raise ExistsError(message)
    with named_when_full(index, index.with_name(index.name + ".partial")), staged(index) as staging:
        old = read_manifest(index) if there and not fresh else Manifest({})
        check_sums(index, old)
        known = read_sources(index, old)
        moved = rooted(known, roots or {})
        if old.tables:
            remove_unlisted(index, old)
        crew = (workers, workers) if workers else (cores, max(cores, _MOST))
        if executor is None and crew != (1, 1):
            prepare_workers(work.__module__, "pyarrow.compute")
        found = find_sources(paths, readers, dataset=dataset, known=moved)
        units_found = [unit._replace(probed=probe) for source in found for unit in units_of(source, readers)]
        borrowed = borrow(units_found, staging / "parts", like) if like else set()
        turns = _turns(units_found, readers)
        weights = _weights(
            units_found, {name for name, reader in readers.items() if "images" not in reader.READS.holds}
        )
        done = _scan(units_found, turns, weights, known, staging / "parts", by_hash, crew, executor, progress)

        sources, dropped = _remember(known, found, done)
        home = index if there else staging / "index"
        home.mkdir(exist_ok=True)
        if progress:
            progress("merging", 0, 1)
        new = {one.unit.key: one.part for one in done if one.state != "unchanged"}
        stage = Stage(
            home,
            old,
            new,
            dropped,
            threads=workers or cores,
            aside=staging / "aside",
            roots={source.name: source.root for source in (*moved, *found)},
            n_images={source.name: sum(unit.n_images for unit in source.units) for source in sources},
            by_hash=by_hash,
        )
        manifest, problems = merge(stage)
        manifest.tables["glosses"] = _glosses(home, glosses) if glosses else old.tables.get("glosses", [])
        manifest = write_sources(home, manifest, sources)
        write_manifest(home, manifest)
        if home != index:
            publish_folder(home, index)
        shutil.rmtree(staging)
        if progress:
            progress("merging", 1, 1)
    states = ["borrowed" if one.state == "resumed" and one.unit.key in borrowed else one.state for one in done]
    units = {state: states.count(state) for state in ("scanned", "resumed", "unchanged")}
    units |= {"borrowed": states.count("borrowed")} if like else {}
    gone = {one.unit for source in known for one in source.units} - {
        one.unit for source in sources for one in source.units
    }
    rows = {table: sum(entry.rows for entry in entries) for table, entries in manifest.tables.items()}
    return Report(index, found, units | {"removed": len(gone)}, rows, problems)


def _turns(units_found: Sequence[Unit], readers: Mapping[str, Reader]) -> list[int]:
    """The units by their places, in the order in which they are begun.

    Annotations are read whole, and images for their headers alone: an archive of annotations is the longest unit of a
    build, and would be waited for if it came last.
    """
    return sorted(range(len(units_found)), key=lambda n: "images" in readers[units_found[n].form].READS.holds)


def _scan(
    units_found: Sequence[Unit],
    turns: Sequence[int],
    weighed: tuple[str, list[int]],
    known: Sequence[Source],
    parts: Path,
    by_hash: bool,
    crew: tuple[int, int],
    executor: Executor | None,
    progress: Progress | None,
) -> list[UnitResult]:
    """Every unit of the sources, in their order, with its part on the disk or the word that nothing changed.

    The turns: their places in the order in which they are begun. The crew: how many processes work where they compute,
    and up to how many where they wait for the disk.
    """
    parts.mkdir(exist_ok=True)
    before = {one.unit: one for source in known for one in source.units}
    tasks = [Task(units_found[n], parts, before.get(units_found[n].key), by_hash) for n in turns]
    workers, most = crew
    ending = ExitStack()
    if executor is not None:
        results: Iterable[UnitResult] = executor.map(work, tasks)
    elif most == 1 or len(tasks) < _FEW:
        results = map(work, tasks)
    else:
        results = ending.enter_context(closing(in_processes(work, tasks, workers, most=most)))
    stage, weights = weighed
    read, total = 0, sum(weights)
    if progress:
        progress(stage, 0, total)
    done: dict[int, UnitResult] = {}
    merging = 0.0
    with ending:
        for n, one in zip(turns, results, strict=True):
            done[n] = one
            read += weights[n]
            merging += sum(_MERGED.get(table, 0) * rows for table, rows in one.counts.items())
            if isinstance(progress, Forecast):
                progress.then(merging * total / max(read, 1) / workers)
            if progress:
                progress(stage, read, total)
    return [done[n] for n in range(len(units_found))]


def _weights(units_found: Sequence[Unit], light: Collection[str] = ()) -> tuple[str, list[int]]:
    """(what is done, how much of it each unit is): bytes, as classes differ in size; units where some are folders.

    What a unit of a whole file has is what other units have not of that file: a tar of class tars is read for its
    headers alone. Several units of a whole file have a share of it each. Light forms count nothing beside others:
    annotations are few bytes that take long, and come first, so that the pace is that of the images.
    """
    parts: dict[tuple[str, str], int] = {}  # by root and file: a path of each unit would cost more than all the rest
    wholes: dict[tuple[str, str], int] = {}
    places = [(unit.root, unit.file) for unit in units_found]
    for place, unit in zip(places, units_found, strict=True):
        parts[place] = parts.get(place, 0) + max(unit.length, 0)
        wholes[place] = wholes.get(place, 0) + (unit.length < 0)
    paths = {place: Path(*place) for place in parts}
    if any(not path.is_file() for path in paths.values()):
        return "reading", [1] * len(units_found)
    shares = {place: max(path.stat().st_size - parts[place], 0) for place, path in paths.items()}
    sizes = [
        unit.length if unit.length >= 0 else shares[place] // wholes[place]
        for place, unit in zip(places, units_found, strict=True)
    ]
    all_light = all(unit.form in light for unit in units_found)
    counted = [all_light or unit.form not in light for unit in units_found]
    return "reading (KB)", [((size >> 10) + 1) * counts for size, counts in zip(sizes, counted, strict=True)]


def _remember(
    known: Sequence[Source], found: Sequence[Source], done: Sequence[UnitResult]
) -> tuple[list[Source], set[int]]:
    """(the sources of the new index, the units of the old one whose rows go)."""
    old = {one.unit: one for source in known for one in source.units}
    records: dict[str, list[UnitRecord]] = {source.name: [] for source in found}
    kept: set[int] = {one.unit for source in known if source.name not in records for one in source.units}
    for one in done:
        unit = one.unit
        if one.state == "unchanged":
            kept.add(unit.key)
            now = {name: getattr(one, name) for name in ("fingerprint", "digest", "size", "mtime_ns")}
            records[unit.source].append(old[unit.key]._replace(**now))
        else:
            n_images, n_boxes, n_labels, n_problems = (
                one.counts.get(table, 0) for table in ("images", "boxes", "labels", "problems")
            )
            place = (unit.key, unit.form, unit.file, unit.member, one.fingerprint)
            counts = (n_images, n_boxes, n_labels, n_problems)
            record = UnitRecord(*place, *counts, one.size, one.digest, one.mtime_ns)
            records[unit.source].append(record)
    sources = [source for source in known if source.name not in records]
    sources += [replace(source, units=tuple(records[source.name])) for source in found]
    return sources, set(old) - kept


def _glosses(home: Path, origin: str) -> list[FileEntry]:
    """The table glosses, read through NLTK ("nltk") or from a WordNet dict folder."""
    import pyarrow as pa

    rows = nltk_bridge.glosses_from_nltk() if origin == "nltk" else nltk_bridge.glosses_from_dict(Path(origin))
    pairs = sorted(rows)
    columns = [pa.array([pair[n] for pair in pairs], pa.string()) for n in (0, 1)]
    batch = pa.RecordBatch.from_arrays(columns, schema=arrow_schema("glosses"))
    entry = write_table(home, "glosses", "all", [batch])
    return [entry] if entry else []
