"""Demands of Ultralytics that both YOLO targets share, and a copy of an export that its loaders may change."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagenet_tools.errors import ExportError
from imagenet_tools.exports.plan import Plan
from imagenet_tools.images.probe import ends_whole

# Ultralytics opens no image with a side of less than 10 pixels.
DEMANDS = (("small", "least(images.width, images.height) >= 10"),)


def require_splits(plan: Plan, reader: str, needed: tuple[str, ...], advice: str = "") -> None:
    """Raise ExportError unless the plan has the splits that `reader` needs."""
    missing = [split for split in needed if split not in plan.splits]
    if missing:
        message = (
            f"The selection has no {' and no '.join(missing)} split, and {reader} needs {' and '.join(needed)}. "
            "Choose --split train=0.9,val=0.1 or --split val=50/class, or more with --from."
        )
        raise ExportError(f"{message} {advice}".rstrip())


@contextmanager
def linked_copy(root: Path) -> Iterator[Path]:
    """Yield a temporary copy of an export that is made of links, for loaders that write caches beside images.

    A file without the end marker of a JPEG is copied: Ultralytics rewrites such images, and would write through a link.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(root.absolute(), f"{folder}/export", copy_function=_link_or_copy))


def _link_or_copy(source: str, dest: str) -> None:
    with Path(source).open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 2))
        whole = ends_whole(file.read())
    if whole:
        Path(dest).symlink_to(source)
    else:
        shutil.copyfile(source, dest)
