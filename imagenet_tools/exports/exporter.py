"""Making an export: a plan's images go to their places, whole or absent, never over something that exists.

The work is done in a sibling, <dest>.partial, which remembers what it is half of; the same command goes on with it.
Only when everything is there, and described in classes.json and manifest.json, does it get its name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools import __version__
from imagenet_tools.annotations import bbox
from imagenet_tools.class_lists.export_classes import classes_json
from imagenet_tools.containers import blob
from imagenet_tools.errors import ExistsError, ExportError
from imagenet_tools.exports.plan import Plan, describe
from imagenet_tools.files import link_or_copy, lock, publish_folder, whole, write_range
from imagenet_tools.images.probe import ends_whole
from imagenet_tools.index.layout import MANIFEST, read_manifest

if TYPE_CHECKING:
    from imagenet_tools.units import Progress

_STATE = "export.json"  # in <dest>.partial: what it is half of

# Images handed to the threads at a time: enough to keep them busy, few enough to hold.
_AHEAD = 4096

_NAMED = 5  # how many images a note names

_TERMS = (
    "The images are ImageNet's: their use is bound by ImageNet's terms of access (https://image-net.org/download), "
    "for non-commercial research and education."
)


class Box(NamedTuple):
    """A box of an image: its class's index, and its edges as fractions of the image, 0 to 1."""

    class_index: int
    left: float
    top: float
    right: float
    bottom: float


class Row(NamedTuple):
    """An image of an export."""

    dataset: str
    image_id: str
    wnid: str
    class_index: int
    split: str
    path: Path  # the file that holds its bytes
    offset: int  # bytes
    length: int  # bytes
    orientation: int | None
    boxes: tuple[Box, ...]

    @property
    def alone(self) -> bool:
        """Whether it is a file of its own, and can be linked; in a tar, a header comes before it."""
        return self.offset == 0

    @property
    def name(self) -> str:
        """Its file name: the id, and the suffix it has in ImageNet or in its own file."""
        suffix = self.path.suffix if self.alone else ".JPEG"
        return self.image_id.replace("/", "_") + suffix


class Place(NamedTuple):
    """Where an image goes below the export, and the side files that go with it."""

    row: Row
    path: str
    beside: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True)
class Job:
    """What a writer is given: the plan, the folder to write in, and the way to put things there."""

    plan: Plan
    out: Path
    workers: int = 1
    progress: Progress | None = None
    sources: blob.Descriptors = field(default_factory=blob.Descriptors)
    endless: list[str] = field(default_factory=list)  # images without the end mark that a JPEG has

    def rows(self) -> Iterator[Row]:
        """The images, ordered by split, wnid, data set and id, with the boxes in the frame that the loader reads."""
        plan = self.plan
        index_of = {one.wnid: one.index for one in plan.classes}
        boxes = (
            plan.usable_boxes() if plan.writer.DETECTION else "SELECT NULL AS dataset, NULL AS image_id, [] AS found"
        )
        found = plan.selection.run(
            f"""SELECT dataset, image_id, wnid, split, source, file, "offset", length, orientation, member, found
                FROM made LEFT JOIN ({boxes}) USING (dataset, image_id)
                WHERE left_out IS NULL ORDER BY split, wnid, dataset, image_id""",
            {"_classes": list(index_of)},
        )
        while rows := found.fetchmany(_AHEAD):
            for dataset, image_id, wnid, split, source, file, offset, length, orientation, member, edges in rows:
                path = plan.index.place(source, file)
                if offset is None:
                    message = (
                        f"{dataset}/{image_id} is {member} in the compressed {path}: gunzip it and index it again."
                    )
                    raise ExportError(message)
                kept = tuple(self._box(index_of[name], orientation, *sides) for name, *sides in edges or ())
                place = (path, offset, length, orientation)
                yield Row(dataset, image_id, wnid, index_of[wnid], split, *place, kept)

    def _box(self, index: int, orientation: int | None, left: float, top: float, right: float, bottom: float) -> Box:
        edges: Iterable[float] = (left, top, right, bottom)
        if self.plan.writer.TURNED and orientation is not None and 1 < orientation <= 8:
            edges = (float(edge) for edge in bbox.turn(left, top, right, bottom, orientation))
        return Box(index, *edges)

    def place(self, places: Iterable[Place]) -> None:
        """Put images, and what goes beside them, in their places; those that are there already are left."""
        seen: dict[str, Row] = {}
        total, done = self.plan.images(), 0
        with ThreadPoolExecutor(self.workers) as pool:
            waiting = iter(places)
            while chunk := list(islice(waiting, _AHEAD)):
                for place in chunk:
                    other = seen.setdefault(place.path.casefold(), place.row)
                    if other is not place.row:
                        ids = f"{other.dataset}/{other.image_id} and {place.row.dataset}/{place.row.image_id}"
                        message = f"{ids} would both be {place.path}. Choose one data set: --dataset NAME."
                        raise ExportError(message)
                for folder in sorted({(self.out / name).parent for one in chunk for name in _names(one)}):
                    folder.mkdir(parents=True, exist_ok=True)
                for _ in pool.map(self._put, chunk):
                    done += 1
                    if self.progress and done % 64 == 0:
                        self.progress("writing", done, total)
        if self.progress:
            self.progress("writing", total, total)

    def place_in_class_folders(self) -> None:
        """<split>/<folder of the class>/<image>; every class has its folder in every split, so that none shifts."""
        for split in self.plan.splits:
            for one in self.plan.classes:
                (self.out / split / one.folder).mkdir(parents=True, exist_ok=True)
        folders = [one.folder for one in self.plan.classes]
        self.place(Place(row, f"{row.split}/{folders[row.class_index]}/{row.name}") for row in self.rows())

    def _put(self, place: Place) -> None:
        for name, data in place.beside:
            if not (self.out / name).exists():
                with whole(self.out / name) as file:
                    file.write(data)
        row, dest = place.row, self.out / place.path
        tail = self.sources.read(row.path, row.offset + max(0, row.length - 2), min(row.length, 2))
        if not ends_whole(tail):
            self.endless.append(row.image_id)
        if dest.exists() and dest.stat().st_size == row.length:
            return
        dest.unlink(missing_ok=True)
        link = self.plan.options.link
        # A trainer that finds a JPEG without its end mark writes it anew: never through a link to the only copy.
        if row.alone and ends_whole(tail):
            link_or_copy(row.path, dest, how=link, sources=self.sources)
        else:
            write_range(dest, row.path, row.offset, row.length, sources=self.sources)

    def write(self, name: str, data: bytes) -> None:
        """Write a file of the export, whole; the same bytes again where it is there already."""
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with whole(path) as file:
            file.write(data)


def _names(place: Place) -> Iterator[str]:
    yield place.path
    for name, _ in place.beside:
        yield name


def make_export(plan: Plan, dest: Path, *, workers: int = 1, progress: Progress | None = None) -> Path:
    """Make an export as planned. ExistsError: something is at dest, or another export is half made there."""
    if dest.exists() or dest.is_symlink():
        message = f"{dest} exists; an export is never written over something. Remove it, or name another place."
        raise ExistsError(message)
    partial = dest.with_name(dest.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    with lock(partial / ".lock"):
        state = _state(plan)
        _begin(partial, state)
        job = Job(plan, partial, workers, progress)
        plan.writer.write(job)
        if job.endless:
            named = ", ".join(sorted(job.endless)[:_NAMED]) + (" ..." if len(job.endless) > _NAMED else "")
            plan.hazards.append(
                f"{len(job.endless):,} images do not end with FF D9, and were copied, not linked ({named}): "
                "Ultralytics writes such files anew, or drops them where Pillow finds them cut short"
            )
        job.write(
            "classes.json", classes_json(plan.classes, plan.counts(), "folder" if plan.writer.BY_FOLDER else "wnid")
        )
        job.write("manifest.json", _manifest(plan, partial, state))
        (partial / _STATE).unlink()
    publish_folder(partial, dest)
    return dest


def _state(plan: Plan) -> dict[str, object]:
    """What an export depends on, as plain values: with the same, the same bytes come out."""
    recipe = {
        "target": plan.target,
        "options": {"names": plan.options.names, "unboxed": plan.options.unboxed, "bad_boxes": plan.options.bad_boxes},
        "selection": plan.selection.words(),
    }
    tables = read_manifest(plan.index.path).tables
    digests = {table: [entry.sha256 for entry in entries] for table, entries in sorted(tables.items())}
    del digests["sources"]  # machine-dependent
    return {
        "recipe": recipe,
        "classes": [one.display for one in plan.classes],
        "index": hashlib.sha256(json.dumps(digests).encode()).hexdigest(),
        "software": {"imagenet-tools": __version__},
    }


def _begin(partial: Path, state: dict[str, object]) -> None:
    """Take over the half that is there if it is of this very export; refuse another's."""
    path = partial / _STATE
    text = json.dumps(state, indent=1, ensure_ascii=False)
    if path.exists():
        if path.read_text() != text:
            message = f"{partial} is half of another export. Remove it if nobody needs it, or name another place."
            raise ExistsError(message)
        return
    if any(name for name in partial.iterdir() if name.name != ".lock"):
        message = f"{partial} exists and is not half of an export. Remove it, or name another place."
        raise ExistsError(message)
    with whole(path) as file:
        file.write(text.encode())


def _manifest(plan: Plan, out: Path, state: dict[str, object]) -> bytes:
    """manifest.json: what was asked, what was made of it, and where every image that is not here went."""
    lock_digest, chosen = (
        hashlib.sha256(),
        plan.selection.run(
            "SELECT dataset, image_id, wnid, split FROM made WHERE left_out IS NULL ORDER BY dataset, image_id"
        ),
    )
    while rows := chosen.fetchmany(_AHEAD):
        for dataset, image_id, wnid, split in rows:
            lock_digest.update(f"{dataset}/{image_id}\t{wnid}\t{split}\n".encode())
    used = plan.selection.run(
        """SELECT source, sources.dataset, forms, count(*) FROM made JOIN sources USING (source)
           WHERE left_out IS NULL GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    content = {
        "format": 1,
        **state,
        **describe(plan),
        "sha256_of_lock_lines": lock_digest.hexdigest(),
        "sources": [
            {"source": source, "dataset": dataset, "forms": forms, "images": n} for source, dataset, forms, n in used
        ],
        "sha256": {
            name.relative_to(out).as_posix(): hashlib.sha256(name.read_bytes()).hexdigest()
            for name in sorted(out.iterdir())
            if name.is_file() and name.name not in (_STATE, ".lock", MANIFEST)
        },
        "terms": _TERMS,
    }
    if plan.writer.DETECTION:
        frame = "the image as turned by its EXIF orientation" if plan.writer.TURNED else "the raster as stored"
        content["boxes_are"] = f"partial: only objects of the image's own class are boxed; fractions of {frame}"
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
