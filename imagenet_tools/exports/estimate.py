"""Describe a plan in plain values, and estimate what the export takes: bytes, inodes, shards, ways to link files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenet_tools.storage.buckets import is_remote
from imagenet_tools.storage.links import can_link
from imagenet_tools.text import are, count_of

if TYPE_CHECKING:
    from imagenet_tools.exports.plan import Counts, Plan

_MAX_NAMED = 3  # sources that a note names
_DESCRIBING_FILES = 5  # classes.json, manifest.json, recipe.toml, lock.toml, lock.ids


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


def costs(plans: Sequence[Plan], dest: Path) -> dict[str, Any]:
    """Return what an export to `dest` takes and what the file system there has: inodes, shards, bytes, ways to link."""
    from imagenet_tools.exports.pieces import count, shard_bytes  # 10 ms, which a build, too, would pay

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
    sources = plans[0].sources
    first_files: dict[str, str] = {}
    for counts in sources:
        first_files[counts.source] = min(counts.first_file, first_files.get(counts.source, counts.first_file))
    sources_with_files = {counts.source for counts in sources if counts.files}
    missing, unreadable = [], []
    image_file: Path | None = None  # a readable image that is a file of its own
    for source, file in sorted(first_files.items()):
        path = plans[0].index.place(source, file)
        if is_remote(path):
            continue
        if not path.exists():
            missing.append(str(path))
        elif not os.access(path, os.R_OK):
            unreadable.append(str(path))
        elif image_file is None and source in sources_with_files:
            image_file = path
    links = {}
    if image_file is not None and any(plan.writes.files_per_image for plan in plans):
        links = can_link(image_file, parent)
    return {
        "inodes": inodes,
        "shards": shards,
        "free_bytes": space.f_bavail * space.f_frsize,
        "free_inodes": space.f_favail,
        "images_that_are_files": sum(counts.files for counts in sources),
        "links": links,
        "sources_missing": missing,
        "sources_unreadable": unreadable,
    }


def notes_on(plans: Sequence[Plan], cost: Mapping[str, Any]) -> Iterator[str]:
    """Yield the reasons in costs() why the export may fail."""
    for paths, problem in (
        (cost["sources_missing"], f"{are(len(cost['sources_missing']))} not there: give --root NAME=PATH"),
        (cost["sources_unreadable"], "cannot be read"),
    ):
        if paths:
            yield f"{count_of(len(paths), 'source')} {problem}; files such as {', '.join(paths[:_MAX_NAMED])}"
    needed_bytes = sum(plan.bytes() for plan in plans if plan.writes.holds_bytes)
    if cost["free_bytes"] < needed_bytes and not any(cost["links"].values()):
        yield f"{count_of(needed_bytes, 'byte')} of images are more than the {cost['free_bytes']:,} bytes that are free"
    if 0 < cost["free_inodes"] < cost["inodes"]:
        yield f"{cost['inodes']:,} files are more than the {cost['free_inodes']:,} inodes that are free"
    link = plans[0].options.link
    if link in ("hard", "reflink") and cost["images_that_are_files"] and not cost["links"].get(link):
        yield f"--link {link} is not possible between the sources and this place"
    yield from dict.fromkeys(text for plan in plans for text in notes_on_links(plan))


def notes_on_links(plan: Plan) -> Iterator[str]:
    """Yield how many images --link cannot place, because they are not files of their own.

    These notes are not in the manifest: an export has the same bytes, however its images are placed.
    """
    link = plan.options.link
    if link in ("auto", "copy") or not plan.writes.files_per_image:
        return
    packed = plan.images() - sum(counts.files for counts in plan.sources)
    if packed:
        part = "all" if packed == plan.images() else f"{packed:,} of"
        images, verb = count_of(plan.images(), "image"), are(packed)
        yield f"--link {link}: {part} {images} {verb} in archives, and {verb} copied"
