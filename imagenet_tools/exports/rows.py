"""The rows of a piece as a target's loader will find them, made column by column: a million images go this way."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, compress, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.annotations import bbox
from imagenet_tools.containers.payload import STREAMED, Place
from imagenet_tools.exports.options import StoredFacts
from imagenet_tools.exports.writer import Box, Origin, Row
from imagenet_tools.images.transform import mode_after
from imagenet_tools.storage.files import inside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from imagenet_tools.exports.options import Options
    from imagenet_tools.exports.pieces import Columns
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.images.transform import Change
    from imagenet_tools.store.store import Store


# What the suffix of ImageNet's own names stands for, also where it is not true.
_AS_JPEG = ("jpeg", "png")
_WHERE = ("source", "file", "offset", "length", "member", "position", "compression", "encoding")


class Changed(NamedTuple):
    """What is done to an image, None for nothing, and the rules of --repair that made it so."""

    change: Change | None
    rules: tuple[str, ...]


_UNCHANGED = Changed(None, ())


def changes(options: Options, columns: Columns) -> list[Changed]:
    """What is done to each image."""
    if not options.changes:
        return [_UNCHANGED] * len(columns["encoding"])
    sizes = zip(columns["out_width"], columns["out_height"], strict=True)
    return [Changed(*options.change(facts, size)) for facts, size in zip(facts_of(columns), sizes, strict=True)]


def facts_of(columns: Columns) -> Iterator[StoredFacts]:
    """What the index says of each image."""
    return map(StoredFacts._make, zip(*(columns[name] for name in StoredFacts._fields), strict=True))


class Places:
    """Says where the bytes of images lie on this machine."""

    def __init__(self, index: Store):
        self._index = index
        self._roots = {source: str(root) for source, root in index.roots.items()}

    def of(self, columns: Columns) -> Iterator[Place]:
        """The place of each image, as the index itself says it, but for the type of its path."""
        for one in zip(*(columns[name] for name in _WHERE), strict=True):
            source, file, offset, length, member, position, compression, encoding = one
            if compression in STREAMED:
                yield self._index.image_place(*one)
            else:
                path = inside(self._roots[source], file)
                yield Place(path, offset, length, member, position, compression, None, encoding)


class Rows:
    """Makes the rows of one target."""

    def __init__(self, plan: Plan, target: int):
        """`target` is its number among the targets of the same pass."""
        self._plan, self._target = plan, target

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return self._plan.index_of

    def of(self, columns: Columns, changed: Sequence[Changed], number: int, first_box: int) -> list[Row]:
        """The images of a batch that the target takes; `number` and `first_box` are those of the first of them."""
        taken = [targets >> self._target & 1 for targets in columns["targets"]]
        if not all(taken):
            columns = {name: list(compress(column, taken)) for name, column in columns.items()}
            changed = list(compress(changed, taken))
        writer, n = self._plan.writer, len(columns["targets"])
        width, height = columns["out_width"], columns["out_height"]
        raster: Columns = {name: columns[name] for name in ("mode", "encoding", "orientation")}
        turned: list[int | None] = [None] * n  # what the pixels are turned by
        if self._plan.options.changes:
            turned = [one.change and one.change.orientation for one in changed]
            raster = _raster_after(raster, changed)
            width, height = _turned(width, height, turned)
        shown = raster["orientation"] if writer.WRITES.turned else [None] * n
        box_width, box_height = _turned(width, height, shown)
        boxes: Sequence[tuple[Box, ...]] = [()] * n
        if writer.WRITES.boxes and any(columns["found"]):
            ways = (one or other for one, other in zip(turned, shown, strict=True))
            boxes = [self._boxes(found, way) for found, way in zip(columns["found"], ways, strict=True)]
        made: dict[str, Iterable[Any]] = {
            **{name: columns[name] for name in Row._fields if name in columns},
            **raster,
            "number": range(number, number + n),
            "class_index": map(self._index_of.__getitem__, columns["wnid"]),
            "stem": [image_id.replace("/", "_") for image_id in columns["image_id"]],
            "suffix": _suffixes(columns, changed),
            "width": width,
            "height": height,
            "box_width": box_width,
            "box_height": box_height,
            "boxes": boxes,
            "first_box": list(accumulate(map(len, boxes), initial=first_box))[:n],
            "fields": self._fields(columns),
            "origin": map(Origin._make, zip(*(columns[name] for name in Origin._fields), strict=True)),
        }
        return list(map(Row._make, zip(*(made[name] for name in Row._fields))))  # noqa: B905 (one of them is endless)

    def _fields(self, columns: Columns) -> Iterable[dict[str, object]]:
        keys = [key for key, _ in self._plan.options.fields]
        if not keys:
            return repeat({})
        values = zip(*(columns[f"field {key}"] for key in keys), strict=True)
        return (dict(zip(keys, one, strict=True)) for one in values)

    def _boxes(self, found: list[dict[str, Any]] | None, orientation: int | None) -> tuple[Box, ...]:
        made = []
        for box in found or ():
            index = self._index_of.get(box["wnid"])
            if index is None:
                continue
            edges = (box["left"], box["top"], box["right"], box["bottom"])
            if orientation is not None and 1 < orientation <= 8:
                left, top, right, bottom = (float(edge) for edge in bbox.turn(*edges, orientation))
                edges = (left, top, right, bottom)
            made.append(Box(index, *edges, box["pose"], box["truncated"], box["difficult"]))
        return tuple(made)


def _turned(width: list[Any], height: list[Any], orientations: Sequence[int | None]) -> tuple[list[Any], list[Any]]:
    """Width and height, exchanged where an orientation lays the image on its side."""
    sideways = [orientation in bbox.TRANSPOSED for orientation in orientations]
    if not any(sideways):
        return width, height
    both = list(zip(width, height, sideways, strict=True))
    return [h if aside else w for w, h, aside in both], [w if aside else h for w, h, aside in both]


def _raster_after(raster: Columns, changed: Sequence[Changed]) -> Columns:
    """Mode, encoding and orientation of what becomes of the images."""
    made: Columns = {name: list(column) for name, column in raster.items()}
    for n, (change, _) in enumerate(changed):
        if change is not None:
            made["mode"][n] = mode_after(raster["mode"][n], rgb=change.rgb)
            made["encoding"][n] = "jpeg"
            made["orientation"][n] = None if change.orientation else raster["orientation"][n]
    return made


def _suffixes(columns: Columns, changed: Sequence[Changed]) -> list[str]:
    of = zip(columns["file"], columns["offset"], columns["compression"], columns["encoding"], changed, strict=True)
    return [
        ".JPEG"
        if change is not None
        else _own_suffix(file)
        if offset == 0 and compression is None  # a file of its own
        else ".JPEG"
        if encoding in _AS_JPEG
        else f".{encoding}"
        for file, offset, compression, encoding, (change, _) in of
    ]


def _own_suffix(file: str) -> str:
    name = file.rpartition("/")[2]
    return name[name.rindex(".") :] if "." in name[1:] else ".JPEG"
