"""A full-size ImageNet of small photographs: every class tar of fall11, in one tar or each alone, and its boxes.

    fall11_whole.tar            a tar of n00004475.tar ... n15102894.tar, each a tar of n00004475_<number>.JPEG
    fall11/                     or the class tars themselves
    bboxes_annotations.tar.gz   a tar.gz of n00007846.tar.gz ..., each with Annotation/n00007846/*.xml

    python -m tests.benchmarks.full_imagenet FOLDER [--every 10] [--form whole|class_tars] [--boxes 1034908]

The classes, their names and the counts are ImageNet's: 21,841 classes, 14,197,122 images, at most 3,047 in a class. The
photographs are drawn (see photographs.py). The same arguments make the same bytes. 14.2 million images take some 18 GB.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import os
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagenet_tools.catalogue import labels
from imagenet_tools.progress import ProgressBar as Shown
from imagenet_tools.units import Progress
from tests.benchmarks.photographs import Photograph, stock

IMAGES = 14_197_122
MOST = 3_047  # images of the largest class
BOXED = 1_034_908  # images with boxes
WHOLE, BOXES = "fall11_whole.tar", "bboxes_annotations.tar.gz"
_BOXED_CLASSES = 3_000
_BLOCK = 512
_END = bytes(20 * _BLOCK)


class Class(NamedTuple):
    """A class of the set: how many images, and where its tar lies in the whole."""

    wnid: str
    images: int
    offset: int  # of its tar in the outer one, bytes
    size: int  # of its tar, bytes


def counts(n_classes: int, images: int) -> NDArray[np.int64]:
    """Images of each class: few classes are full, many small, as in ImageNet; the sum is exact."""
    shares = np.sort(np.random.default_rng(0).random(n_classes)) ** 2.2
    low, high = 0.0, 10.0 * MOST
    while high - low > 1e-6:
        scale = (low + high) / 2
        low, high = (scale, high) if np.clip(scale * shares, 1, MOST).sum() < images else (low, scale)
    found = np.clip(scale * shares, 1, MOST).astype(np.int64)
    found[np.argsort(-(MOST - found))[: images - int(found.sum())]] += 1
    return np.random.default_rng(1).permutation(found)


def chosen(wnid: str, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(the numbers in the names of a class's images, rising; which photograph of the stock each is)."""
    draw = np.random.default_rng(int(wnid[1:]))
    return np.cumsum(draw.integers(1, 24, n)), draw.integers(0, len(stock()), n)


@functools.cache
def layout(every: int) -> list[Class]:
    """The classes of the set, every n-th of fall11's, each with its place in the outer tar."""
    wnids = labels.fall11()[::every]
    padded = np.array([_BLOCK + len(one.data) + -len(one.data) % _BLOCK for one in stock()])
    found, offset = [], _BLOCK
    for wnid, n in zip(wnids, counts(len(wnids), IMAGES * len(wnids) // 21_841).tolist(), strict=True):
        size = int(padded[chosen(wnid, n)[1]].sum()) + len(_END)
        found.append(Class(wnid, n, offset, size))
        offset += size + _BLOCK
    return found


def header(name: str, size: int) -> bytes:
    """A USTAR header of a file."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, 1_300_000_000, 0o644
    return info.tobuf(tarfile.USTAR_FORMAT)


class Template(NamedTuple):
    """A photograph as a member of a tar, but for its name: what its header's checksum is besides, and the bytes."""

    checksum: int
    before: bytes  # of the header, between name and checksum
    after: bytes  # of the header behind the checksum, the data and their padding


def template(one: Photograph) -> Template:
    """The member that a photograph becomes."""
    block = header("", len(one.data))
    kept = block[100:148] + block[156:]
    return Template(sum(kept) + 8 * 32, block[100:148], block[156:] + one.data + bytes(-len(one.data) % _BLOCK))


def class_tar(wnid: str, n: int) -> bytes:
    """The tar of a class."""
    pieces: list[bytes] = []
    templates = _templates()
    for number, which in zip(*(array.tolist() for array in chosen(wnid, n)), strict=True):
        name = b"%s_%d.JPEG" % (wnid.encode(), number)
        checksum, before, after = templates[which]
        pieces += (name.ljust(100, b"\0"), before, b"%06o\0 " % (checksum + sum(name)), after)
    return b"".join([*pieces, _END])


_CACHE: list[Template] = []


def _templates() -> list[Template]:
    if not _CACHE:
        _CACHE.extend(map(template, stock()))
    return _CACHE


def _write_into(job: tuple[str, list[Class]]) -> int:
    path, classes = job
    fd = os.open(path, os.O_WRONLY)
    for one in classes:
        os.pwrite(fd, header(f"{one.wnid}.tar", one.size) + class_tar(one.wnid, one.images), one.offset - _BLOCK)
    os.close(fd)
    return len(classes)


def _write_alone(job: tuple[str, list[Class]]) -> int:
    folder, classes = job
    for one in classes:
        Path(folder, f"{one.wnid}.tar").write_bytes(class_tar(one.wnid, one.images))
    return len(classes)


def boxed(classes: list[Class], n: int) -> Iterator[tuple[Class, int]]:
    """The classes with boxes, and how many of the first images of each have them: some `n` in all, or all there are."""
    some = classes[:: max(1, len(classes) // min(_BOXED_CLASSES, len(classes)))]
    each, left = -(-n // len(some)), n
    for one in some:
        here = min(each * 2, one.images, left)
        left -= here
        yield one, here


def n_annotations(classes: list[Class], n: int) -> int:
    """How many XML files such a set of boxes holds."""
    return sum(here for _, here in boxed(classes, n))


def write_boxes(path: Path, classes: list[Class], n: int, progress: Progress) -> None:
    """Write bboxes_annotations.tar.gz of some `n` images."""
    some = list(boxed(classes, n))
    with path.open("wb") as file, gzip.GzipFile("", "wb", 1, file, 0) as packed:
        for number, (one, here) in enumerate(some):
            data = _class_boxes(one, here)
            packed.write(header(f"{one.wnid}.tar.gz", len(data)) + data + bytes(-len(data) % _BLOCK))
            progress("writing boxes", number + 1, len(some))
        packed.write(_END)


def _class_boxes(one: Class, n: int) -> bytes:
    pieces: list[bytes] = []
    draw = np.random.default_rng(int(one.wnid[1:]) + 1)
    numbers, which = chosen(one.wnid, one.images)
    for number, photograph in zip(numbers[:n].tolist(), which[:n].tolist(), strict=True):
        size = (stock()[photograph].width, stock()[photograph].height)
        data = annotation(f"{one.wnid}_{number}", one.wnid, *size, draw)
        pieces += (
            header(f"Annotation/{one.wnid}/{one.wnid}_{number}.xml", len(data)),
            data,
            bytes(-len(data) % _BLOCK),
        )
    return gzip.compress(b"".join([*pieces, _END]), 1, mtime=0)


def annotation(
    stem: str, wnid: str, width: int, height: int, draw: np.random.Generator, database: str = "ImageNet database"
) -> bytes:
    """The XML of an image's one or two boxes, as ImageNet writes it."""
    objects = "".join(
        f"\t<object>\n\t\t<name>{wnid}</name>\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n"
        f"\t\t<difficult>0</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>{left}</xmin>\n\t\t\t<ymin>{top}</ymin>\n"
        f"\t\t\t<xmax>{left + 20}</xmax>\n\t\t\t<ymax>{top + 20}</ymax>\n\t\t</bndbox>\n\t</object>\n"
        for left, top in draw.integers(0, 20, (int(draw.integers(1, 3)), 2)).tolist()
    )
    return (
        f"<annotation>\n\t<folder>{wnid}</folder>\n\t<filename>{stem}</filename>\n\t<source>\n"
        f"\t\t<database>{database}</database>\n\t</source>\n\t<size>\n\t\t<width>{width}</width>\n"
        f"\t\t<height>{height}</height>\n\t\t<depth>3</depth>\n\t</size>\n\t<segmented>0</segmented>\n"
        f"{objects}</annotation>\n"
    ).encode()


def whole_size(every: int) -> int:
    """Bytes of the whole, to the last but the boxes'."""
    last = layout(every)[-1]
    return last.offset + last.size + len(_END)


def make(
    folder: Path, *, every: int = 1, form: str = "whole", n_boxed: int | None = None, progress: Progress | None = None
) -> Path:
    """Make the set below a folder; gives the path to index. What is there already is left.

    `n_boxed` is how many images have boxes; if not given, as large a part of ImageNet's as the images are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (WHOLE if form == "whole" else "fall11")
    if path.exists():
        return path
    progress = progress or (lambda stage, done, total: None)
    classes = layout(every)
    partial = path.with_name(path.name + ".partial")
    if form == "whole":
        with partial.open("wb") as file:
            file.truncate(whole_size(every))
    else:
        partial.mkdir(exist_ok=True)
    chunks = [(str(partial), classes[start : start + 32]) for start in range(0, len(classes), 32)]
    with ProcessPoolExecutor() as pool:
        for number, _ in enumerate(pool.map(_write_into if form == "whole" else _write_alone, chunks)):
            progress("writing images", number + 1, len(chunks))
    write_boxes(folder / BOXES, classes, BOXED // every if n_boxed is None else n_boxed, progress)
    partial.rename(path)
    return path


def main() -> None:
    """Read the command line and make the set."""
    parser = argparse.ArgumentParser(description="Make a full-size ImageNet of small photographs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1, help="every n-th class alone (default 1: all 21,841)")
    parser.add_argument("--form", choices=["whole", "class_tars"], default="whole")
    parser.add_argument("--boxes", type=int, default=BOXED, help="images with boxes in the whole")
    asked = parser.parse_args()
    began = time.monotonic()
    path = make(asked.folder, every=asked.every, form=asked.form, n_boxed=asked.boxes // asked.every, progress=Shown())
    n_bytes = path.stat().st_size if path.is_file() else sum(one.stat().st_size for one in path.iterdir())
    print(f"{path}: {sum(one.images for one in layout(asked.every)):,} images, {n_bytes:,} bytes, "
          f"{time.monotonic() - began:.0f} s")  # fmt: skip


if __name__ == "__main__":
    main()
