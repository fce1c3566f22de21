"""A sink for formats of a file an image: each image at its place, and what stands beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.exports.digest import ALL_BYTES, LABEL_BYTES, has_bytes
from imagenet_tools.exports.writer import ImageFile, Written
from imagenet_tools.files import half_made, inside

if TYPE_CHECKING:
    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.pictures import Picture
    from imagenet_tools.exports.writer import Row

Beside = Callable[["Row"], Iterable[tuple[str, bytes]]]


class FilePerImage:
    """Puts every image at `path_of(row)` below the export, with the files (path, bytes) that `beside(row)` gives."""

    def __init__(self, job: Job, path_of: Callable[[Row], str], *, beside: Beside | None = None):
        self._job, self._path_of, self._beside = job, path_of, beside
        self._folders: set[str] = set()
        self._made: list[ImageFile] = []
        self._ways: dict[str, int] = {}
        self._of = ALL_BYTES if job.plan.options.hash else LABEL_BYTES

    def add(self, row: Row, picture: Picture) -> None:
        """Put an image in its place."""
        path = self._path_of(row)
        dest = self._ready(path)
        way = picture.put(dest, self._job.plan.options.link)
        self._ways[way] = self._ways.get(way, 0) + 1
        digest = ""
        if has_bytes(self._of, path):
            with Path(dest).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._made.append(ImageFile(path, picture.length, digest))
        for name, data in self._beside(row) if self._beside else ():
            where = self._ready(name)
            Path(where).unlink(missing_ok=True)
            with half_made(where) as fd, open(fd, "wb", closefd=False) as out:
                out.write(data)
            digest = hashlib.sha256(data).hexdigest() if has_bytes(self._of, name) else ""
            self._made.append(ImageFile(name, len(data), digest))

    def _ready(self, path: str) -> str:
        where = inside(self._job.out, path)
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            (self._job.out / folder).mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        return where

    def close(self) -> Written:
        """The files that were made."""
        return Written(images=tuple(self._made), note={"placed": self._ways})
