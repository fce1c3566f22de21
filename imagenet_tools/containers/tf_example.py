"""An image of ImageNet in a tf.train.Example: where its bytes lie, and what is said of it, in either of two spellings.

image/encoded, image/filename           by build_imagenet_data.py and its kin
image/class/label, image/class/synset   the class number, and the wnid
image/object/bbox/xmin, ymin, xmax, ymax    fractions of the image, a list each
image/object/bbox/label                 the class number of each box; elsewhere image/object/class/text

image, file_name, label                 by TensorFlow Datasets; original_label in its imagenet2012_real
"""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.containers import tfrecords
from imagenet_tools.wnid import without_label

if TYPE_CHECKING:
    from imagenet_tools.containers.tfrecords import Range, Record

_IMAGES, _NAMES = ("image/encoded", "image"), ("image/filename", "file_name", "image/source_id")
_NUMBERS, _SYNSET = ("image/class/label", "label", "original_label"), "image/class/synset"
_EDGES = tuple(f"image/object/bbox/{edge}" for edge in ("xmin", "ymin", "xmax", "ymax"))
_BOX_NUMBERS, _BOX_TEXTS = "image/object/bbox/label", "image/object/class/text"
_WANTED = frozenset({*_IMAGES, *_NAMES, *_NUMBERS, *_EDGES, _SYNSET, _BOX_NUMBERS, _BOX_TEXTS})

# Bytes of a name that are read.
_LONGEST = 4096


class Boxed(NamedTuple):
    """A box: its edges as fractions of the image, and its class as it is named, a number or a text."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float
    name: str | None


class Example(NamedTuple):
    """What an Example holds of an image; None and "" for what it has not."""

    image: Range | None
    name: str  # of its file
    number: int | None
    synset: str | None
    boxes: list[Boxed]
    problem: str  # what is wrong with its boxes

    @property
    def told(self) -> tuple[str, str | None]:
        """(the stem as ImageNet spells it, the class put behind it)."""
        return without_label(PurePosixPath(self.name).stem)


def read_example(fd: int, record: Record, label: str) -> Example:
    """The Example in a record of an open file; FormatError, with the code example_damaged, where there is none."""
    found = tfrecords.features(fd, record, label, wanted=_WANTED)
    image = next((places[0] for name in _IMAGES if (places := found.bytes.get(name))), None)
    number = next((numbers[0] for name in _NUMBERS if (numbers := found.ints.get(name))), None)
    name = next((places[0] for name in _NAMES if (places := found.bytes.get(name))), None)
    synset = next(iter(found.bytes.get(_SYNSET, ())), None)
    edges = [found.floats.get(edge, []) for edge in _EDGES]
    names: list[str | None] = [str(number) for number in found.ints.get(_BOX_NUMBERS, ())]
    names = names or [_text(fd, place) for place in found.bytes.get(_BOX_TEXTS, ())]
    n = len(edges[0])
    counts = ", ".join(str(count) for count in (*map(len, edges), len(names)))
    if any(len(edge) != n for edge in edges) or len(names) not in (0, n):
        problem = f"lists of {counts} edges and classes; expected as many of each: the image is kept without boxes"
        return Example(image, _text(fd, name), number, _text(fd, synset) or None, [], problem)
    rows = zip(*edges, names or [None] * n, strict=True)
    boxes = [Boxed(left, top, right, bottom, said) for left, top, right, bottom, said in rows]
    return Example(image, _text(fd, name), number, _text(fd, synset) or None, boxes, "")


def _text(fd: int, place: Range | None) -> str:
    return os.pread(fd, min(place.length, _LONGEST), place.offset).decode(errors="replace") if place else ""
