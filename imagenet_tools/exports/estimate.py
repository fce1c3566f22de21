"""Describe a plan in plain values, and estimate what the export takes: bytes, inodes, shards, ways to link files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.exports.pieces import count, shard_bytes
from imagenet_tools.storage.links import can_link

if TYPE_CHECKING:
    from imagenet_tools.exports.plan import Counts, Plan

_MAX_NAMED = 3  # sources that a note names
_DESCRIBING_FILES = 5  # classes.json, manifest.json, recipe.toml, lock.toml, lock.parquet


def describe(plan: Plan, counts: Counts | None = None) -> dict[str, object]:
    """Return a plan as plain values, for --json and manifest.json; with the counts of a Result, what was written."""
    counts = counts or plan
    content: dict[str, object] = {
        "target": plan.target,
        "images": counts.images(),
        "images_by_split": {split: counts.images(split) for split in counts.splits},
        "boxes": counts.boxes(),
        "classes": len(plan.classes),
        "bytes": counts.bytes(),
        "bytes_are": "about, for images are resized" if plan.options.resize else "of the images, exact",
        "left_out": counts.left_out,
        "boxes_left_out": plan.boxes_left_out,
        "hazards": counts.hazards,
    }
    if plan.writes.boxes:
        turned = plan.writes.turned or "exif" in plan.options.repair
        frame = "the image as turned by its EXIF orientation" if turned else "the raster as stored"
        content["frame_of_boxes"] = frame
        content["boxes_are"] = f"partial: only objects of the image's own class are boxed; fractions of {frame}"
    return content


def costs(plans: Sequence[Plan], dest: Path) -> dict[str, object]:
    """Return what an export to `dest` takes and what the file system there has: inodes, shards, bytes, ways to link."""
    shards = sum(count(plans).values()) if shard_bytes(plans) is not None else 0
    inodes = 0
    for plan in plans:
        folders = len(plan.splits) * (len(plan.classes) + 1) if plan.writes.by_folder else len(plan.splits) + 1
        own_shards = shards if plan.writes.shard_bytes is not None else 0
        inodes += plan.images() * plan.writes.files_per_image + folders + own_shards + _DESCRIBING_FILES
    parent = dest.absolute()
    while not parent.exists():
        parent = parent.parent
    space = os.statvfs(parent)
    sources = _look_at_sources(plans[0])
    links = {}
    if sources.image_file is not None and any(plan.writes.files_per_image for plan in plans):
        links = can_link(sources.image_file, parent)
    return {
        "inodes": inodes,
        "shards": shards,
        "free_bytes": space.f_bavail * space.f_frsize,
        "free_inodes": space.f_favail,
        "images_that_are_files": sources.image_files,
        "links": links,
        "sources_missing": sources.missing,
        "sources_unreadable": sources.unreadable,
    }


class _Sources(NamedTuple):
    """The sources of the chosen images; each is judged by its first file."""

    image_file: Path | None  # a readable image that is a file of its own
    image_files: int  # images that are files of their own
    missing: list[str]
    unreadable: list[str]


def _look_at_sources(plan: Plan) -> _Sources:
    rows = plan.selection.run(
        """SELECT source, min(file), count(*) FILTER ("offset" = 0 AND compression IS NULL)
           FROM made WHERE left_out IS NULL GROUP BY source ORDER BY source"""
    ).fetchall()
    image_file: Path | None = None
    missing, unreadable = [], []
    for source, file, image_files in rows:
        path = plan.index.place(source, file)
        if not path.exists():
            missing.append(str(path))
        elif not os.access(path, os.R_OK):
            unreadable.append(str(path))
        elif image_files and image_file is None:
            image_file = path
    return _Sources(image_file, sum(n for _, _, n in rows), missing, unreadable)


def notes_on(plans: Sequence[Plan], cost: dict[str, object]) -> Iterator[str]:
    """Yield the reasons in costs() why the export may fail."""
    problems = {
        "sources_missing": "are not there: give --root NAME=PATH",
        "sources_unreadable": "cannot be read",
    }
    for key, problem in problems.items():
        paths = cost[key]
        if isinstance(paths, list) and paths:
            yield f"{len(paths):,} sources {problem}; files such as {', '.join(paths[:_MAX_NAMED])}"
    free_bytes = cost["free_bytes"]
    needed_bytes = sum(plan.bytes() for plan in plans if plan.writes.holds_bytes)
    links = cost["links"]
    if isinstance(free_bytes, int) and free_bytes < needed_bytes and not links:
        yield f"{needed_bytes:,} bytes of images are more than the {free_bytes:,} bytes that are free"
    inodes = cost["inodes"]
    if isinstance(inodes, int) and 0 < int(str(cost["free_inodes"])) < inodes:
        yield f"{inodes:,} files are more than the {cost['free_inodes']:,} inodes that are free"
    link = plans[0].options.link
    if (
        link in ("hard", "reflink")
        and cost["images_that_are_files"]
        and isinstance(links, dict)
        and not links.get(link)
    ):
        yield f"--link {link} is not possible between the sources and this place"
    yield from dict.fromkeys(text for plan in plans for text in notes_on_links(plan))


def notes_on_links(plan: Plan) -> Iterator[str]:
    """Yield how many images --link cannot place, because they are not files of their own.

    These notes are not in the manifest: an export has the same bytes, however its images are placed.
    """
    link = plan.options.link
    if link in ("auto", "copy") or not plan.writes.files_per_image:
        return
    packed_sql = '("offset" = 0 AND compression IS NULL) IS NOT TRUE'
    ((packed,),) = plan.selection.run(f"SELECT count(*) FROM made WHERE left_out IS NULL AND {packed_sql}").fetchall()
    if packed:
        part = "all" if packed == plan.images() else f"{packed:,} of"
        yield f"--link {link}: {part} {plan.images():,} images lie in archives, and are copied"
