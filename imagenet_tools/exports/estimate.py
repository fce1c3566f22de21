"""A plan in plain values, and what making it costs: bytes, inodes, shards, and whether files can be linked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.exports.pieces import count, shard_bytes
from imagenet_tools.storage.links import can_link

if TYPE_CHECKING:
    from imagenet_tools.exports.plan import Plan

_NAMED = 3  # how many sources a note names
_ASIDE = 5  # classes.json, manifest.json, recipe.toml, lock.toml, lock.parquet


def describe(plan: Plan) -> dict[str, object]:
    """A plan as plain values, for --json and for manifest.json."""
    content: dict[str, object] = {
        "target": plan.target,
        "images": plan.images(),
        "images_by_split": {split: plan.images(split) for split in plan.splits},
        "boxes": plan.boxes(),
        "classes": len(plan.classes),
        "bytes": plan.bytes(),
        "bytes_are": "about, for images are resized" if plan.options.resize else "of the images, exact",
        "left_out": plan.left_out,
        "boxes_left_out": plan.boxes_left_out,
        "hazards": plan.hazards,
    }
    if plan.writes.boxes:
        baked = "exif" in plan.options.repair
        frame = "the image as turned by its EXIF orientation" if plan.writes.turned or baked else "the raster as stored"
        content["frame_of_boxes"] = frame
        content["boxes_are"] = f"partial: only objects of the image's own class are boxed; fractions of {frame}"
    return content


def costs(plans: Sequence[Plan], dest: Path) -> dict[str, object]:
    """What making an export will take: inodes, shards, bytes, the room there is, and how files can be placed."""
    shards = sum(count(plans).values()) if shard_bytes(plans) is not None else 0
    inodes = 0
    for plan in plans:
        writer = plan.writer
        folders = len(plan.splits) * (len(plan.classes) + 1) if writer.WRITES.by_folder else len(plan.splits) + 1
        own = shards if writer.WRITES.shard_bytes is not None else 0
        inodes += plan.images() * writer.WRITES.files_per_image + folders + own + _ASIDE
    there = dest.absolute()
    while not there.exists():
        there = there.parent
    room = os.statvfs(there)
    alone, files, missing, unreadable = _alone(plans)
    ways = can_link(alone, there) if alone is not None and any(plan.writes.files_per_image for plan in plans) else {}
    return {
        "inodes": inodes,
        "shards": shards,
        "free_bytes": room.f_bavail * room.f_frsize,
        "free_inodes": room.f_favail,
        "images_that_are_files": files,
        "links": ways,
        "sources_missing": missing,
        "sources_unreadable": unreadable,
    }


def _alone(plans: Sequence[Plan]) -> tuple[Path | None, int, list[str], list[str]]:
    """(an image that is a file of its own, how many are, sources' files that are not there, that cannot be read)."""
    plan = plans[0]
    rows = plan.selection.run(
        """SELECT source, min(file), count(*) FILTER ("offset" = 0 AND compression IS NULL)
           FROM made WHERE left_out IS NULL GROUP BY source ORDER BY source"""
    ).fetchall()
    first, missing, unreadable = None, [], []
    for source, file, alone in rows:
        path = plan.index.place(source, file)
        if not path.exists():
            missing.append(str(path))
        elif not os.access(path, os.R_OK):
            unreadable.append(str(path))
        elif alone and first is None:
            first = path
    return first, sum(alone for _, _, alone in rows), missing, unreadable


def notes_on(plans: Sequence[Plan], found: dict[str, object]) -> Iterator[str]:
    """What of the costs may stand in the way."""
    missing, unreadable = found["sources_missing"], found["sources_unreadable"]
    for paths, what in ((missing, "are not there: give --root NAME=PATH"), (unreadable, "cannot be read")):
        if isinstance(paths, list) and paths:
            yield f"{len(paths):,} sources {what}; files such as {', '.join(paths[:_NAMED])}"
    free, needed = found["free_bytes"], sum(plan.bytes() for plan in plans if plan.writes.holds_bytes)
    if isinstance(free, int) and free < needed and not found["links"]:
        yield f"{needed:,} bytes of images are more than the {free:,} bytes that are free"
    inodes = found["inodes"]
    if isinstance(inodes, int) and 0 < int(str(found["free_inodes"])) < inodes:
        yield f"{inodes:,} files are more than the {found['free_inodes']:,} inodes that are free"
    link = plans[0].options.link
    ways = found["links"]
    if link in ("hard", "reflink") and found["images_that_are_files"] and isinstance(ways, dict) and not ways.get(link):
        yield f"--link {link} is not possible between the sources and this place"
    yield from dict.fromkeys(text for plan in plans for text in notes_on_links(plan))


def notes_on_links(plan: Plan) -> Iterator[str]:
    """Say how many images --link cannot place, because they are no files of their own.

    No part of the manifest: the bytes of an export are the same however its images are placed.
    """
    link = plan.options.link
    if link in ("auto", "copy") or not plan.writes.files_per_image:
        return
    alone = '("offset" = 0 AND compression IS NULL) IS NOT TRUE'
    ((packed,),) = plan.selection.run(f"SELECT count(*) FROM made WHERE left_out IS NULL AND {alone}").fetchall()
    if packed:
        part = "all" if packed == plan.images() else f"{packed:,} of"
        yield f"--link {link}: {part} {plan.images():,} images lie in archives, and are copied"
