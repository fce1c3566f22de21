"""A stand-in for an export, for loaders that leave caches beside what they read, or write images anew."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagenet_tools.images.probe import ends_whole


@contextmanager
def stand_in(root: Path) -> Iterator[Path]:
    """A folder as `root` is, of links to its files; gone when the block ends.

    A file that does not end as a JPEG does is copied: some loaders write such images anew, through a link too.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(root.absolute(), f"{folder}/export", copy_function=_link))


def _link(source: str, dest: str) -> None:
    with Path(source).open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 2))
        whole = ends_whole(file.read())
    if whole:
        Path(dest).symlink_to(source)
    else:
        shutil.copyfile(source, dest)
