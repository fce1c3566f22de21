"""Make the rows that a writer takes, column by column from the columns of a piece: 14 million images pass through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, pairwise, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imagenet_tools import arrays
from imagenet_tools.annotations import bbox
from imagenet_tools.containers.payload import STREAMED, Place
from imagenet_tools.containers.planar import DEFLATED_PLANAR, INTERLEAVED, PLANAR
from imagenet_tools.exports.writer import Box, Origin, Row
from imagenet_tools.images.transform import Change, mode_after
from imagenet_tools.storage.files import inside
from imagenet_tools.wordnet.wnid import keeps_imagenet_name

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from imagenet_tools.exports.options import Options
    from imagenet_tools.exports.pieces import Columns
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.writer import Shard
    from imagenet_tools.store.store import Store

_RAW = (PLANAR, INTERLEAVED, DEFLATED_PLANAR)
_PLACE_COLUMNS = ("source", "file", "offset", "length", "member", "position", "compression", "encoding")


class Changed(NamedTuple):
    """The change of an image, None for none, and the rules of --repair that ask for it."""

    change: Change | None
    rules: tuple[str, ...]


_UNCHANGED = Changed(None, ())
_CHANGE_COLUMNS = ("width", "height", "out_width", "out_height", "mode", "encoding", "orientation")


def changes(options: Options, columns: Columns) -> list[Changed]:
    """Return the change of each image."""
    if not options.changes:
        return [_UNCHANGED] * len(columns["encoding"])
    changed = []
    for old_width, old_height, width, height, mode, encoding, orientation in zip(
        *(columns[name] for name in _CHANGE_COLUMNS), strict=True
    ):
        needed = {"cmyk": mode == "CMYK", "png": encoding != "jpeg", "exif": 2 <= (orientation or 1) <= 8}
        rules = tuple(rule for rule in needed if needed[rule] and rule in options.repair)
        resized = options.resize is not None and ((width, height) != (old_width, old_height) or encoding != "jpeg")
        rgb = "cmyk" in options.repair or "png" in rules
        turn = orientation if "exif" in rules else None
        change = Change(width, height, options.square, rgb, turn, options.quality)
        changed.append(Changed(change, rules) if rules or resized else _UNCHANGED)
    return changed


def places(index: Store, columns: Columns) -> Iterator[Place]:
    """Yield the place of the bytes of each image, as Store.image_place() returns it."""
    roots = {source: str(root) for source, root in index.roots.items()}
    for row in zip(*(columns[name] for name in _PLACE_COLUMNS), strict=True):
        source, file, offset, length, member, position, compression, encoding = row
        if compression in STREAMED:
            yield index.image_place(*row)
        else:  # as image_place(), but the path is a text, not a Path
            yield Place(inside(roots[source], file), offset, length, member, position, compression, None, encoding)


class BoxColumns(NamedTuple):
    """The boxes of a batch of images by the fields of Box, one image after the other."""

    lengths: npt.NDArray[np.int64]  # the number of boxes of each image
    class_index: npt.NDArray[np.int64]
    edges: bbox.Edges  # left, top, right, bottom
    marks: tuple[Sequence[Any], Sequence[Any], Sequence[Any]]  # pose, truncated, difficult

    def of_images(self, images: npt.NDArray[np.bool_]) -> BoxColumns:
        """Return the boxes of the images that a mask marks, without boxes of no class (class_index -1)."""
        boxes = np.repeat(images, self.lengths) & (self.class_index >= 0)
        if images.all() and boxes.all():
            return self
        image_of = np.repeat(np.arange(len(images)), self.lengths)
        lengths = np.bincount(image_of[boxes], minlength=len(images))[images]
        left, top, right, bottom = (edge[boxes] for edge in self.edges)
        pose, truncated, difficult = (list(compress(mark, boxes)) for mark in self.marks)
        return BoxColumns(lengths, self.class_index[boxes], (left, top, right, bottom), (pose, truncated, difficult))

    def by_image(self) -> list[tuple[Box, ...]]:
        """Return the boxes of each image."""
        edges = (edge.tolist() for edge in self.edges)
        boxes = list(map(Box._make, zip(self.class_index.tolist(), *edges, *self.marks, strict=True)))
        ends = np.cumsum(self.lengths).tolist()
        return [tuple(boxes[start:end]) for start, end in pairwise([0, *ends])]


class RowMaker:
    """Makes the rows of one target, batch by batch, from the first image of a shard on."""

    def __init__(self, plan: Plan, target: int, shard: Shard):
        self._plan = plan
        self._target = target  # its number among the targets of the pass
        self._index_of = plan.index_of
        self._number = shard.first  # of the next row
        self._first_box = shard.first_box  # of the next row

    def rows(self, columns: Columns, changed: Sequence[Changed]) -> list[Row]:
        """Return the rows of the images of the next batch that the target takes; `changed` has the change of each."""
        values, boxes = self.columns(columns, changed)
        values["boxes"] = boxes.by_image()
        return list(map(Row._make, zip(*(values[name] for name in Row._fields))))  # noqa: B905 (fields may be endless)

    def columns(self, columns: Columns, changed: Sequence[Changed]) -> tuple[dict[str, Iterable[Any]], BoxColumns]:
        """Return the same as columns: the fields of Row without `boxes`, and the boxes."""
        taken = [targets >> self._target & 1 for targets in columns["targets"]]
        boxes = self._boxes(columns["found"]).of_images(np.array(taken, bool))
        if not all(taken):
            columns = {name: list(compress(column, taken)) for name, column in columns.items() if name != "found"}
            changed = list(compress(changed, taken))
        n = len(columns["targets"])
        width, height = columns["out_width"], columns["out_height"]
        raster: Columns = {name: columns[name] for name in ("mode", "encoding", "orientation")}
        pixels_turned: list[int | None] = [None] * n  # the EXIF orientation that --repair exif applies
        if self._plan.options.changes:
            pixels_turned = [change and change.orientation for change, _ in changed]
            raster = _raster_after(raster, changed)
            width, height = _turned(width, height, pixels_turned)
        loader_turns = raster["orientation"] if self._plan.writes.turned else [None] * n
        box_width, box_height = _turned(width, height, loader_turns)
        orientations = [a or b or 1 for a, b in zip(pixels_turned, loader_turns, strict=True)]
        if any(1 < orientation <= 8 for orientation in orientations):
            boxes = boxes._replace(edges=bbox.turn(*boxes.edges, np.repeat(orientations, boxes.lengths)))
        first_boxes = self._first_box + np.cumsum(boxes.lengths) - boxes.lengths
        values: dict[str, Iterable[Any]] = {
            **{name: columns[name] for name in Row._fields if name in columns},
            **raster,
            "number": range(self._number, self._number + n),
            "class_index": map(self._index_of.__getitem__, columns["wnid"]),
            "stem": [image_id.replace("/", "_") for image_id in columns["image_id"]],
            "suffix": _suffixes(columns, changed),
            "width": width,
            "height": height,
            "box_width": box_width,
            "box_height": box_height,
            "first_box": first_boxes.tolist(),
            "fields": self._fields(columns),
            "origin": map(Origin._make, zip(*(columns[name] for name in Origin._fields), strict=True)),
        }
        self._number += n
        self._first_box += int(boxes.lengths.sum())
        return values, boxes

    def _fields(self, columns: Columns) -> Iterable[dict[str, object]]:
        keys = [key for key, _ in self._plan.options.fields]
        if not keys:
            return repeat({})
        values = zip(*(columns[f"field {key}"] for key in keys), strict=True)
        return (dict(zip(keys, row, strict=True)) for row in values)

    def _boxes(self, found: pa.Array) -> BoxColumns:
        """Return the boxes of a batch; class_index is -1 for a class that the target does not have."""
        if not self._plan.writes.boxes or found.null_count == len(found):
            none = np.zeros(0)
            return BoxColumns(np.zeros(len(found), np.int64), np.zeros(0, np.int64), (none,) * 4, ((),) * 3)
        boxes = found.flatten()
        classes = [self._index_of.get(wnid, -1) for wnid in boxes.field("wnid").to_pylist()]
        left, top, right, bottom = (
            np.asarray(np.from_dlpack(boxes.field(edge)), np.float64) for edge in ("left", "top", "right", "bottom")
        )
        pose, truncated, difficult = (boxes.field(mark).to_pylist() for mark in ("pose", "truncated", "difficult"))
        marks = pose, truncated, difficult
        return BoxColumns(arrays.lengths(found), np.array(classes, np.int64), (left, top, right, bottom), marks)


def _turned(width: list[Any], height: list[Any], orientations: Sequence[int | None]) -> tuple[list[Any], list[Any]]:
    """Return widths and heights, exchanged where an orientation turns the image by 90 degrees."""
    sideways = [orientation in bbox.TRANSPOSED for orientation in orientations]
    if not any(sideways):
        return width, height
    sizes = list(zip(width, height, sideways, strict=True))
    return [h if side else w for w, h, side in sizes], [w if side else h for w, h, side in sizes]


def _raster_after(raster: Columns, changed: Sequence[Changed]) -> Columns:
    """Return mode, encoding and orientation of the images after their changes."""
    after: Columns = {name: list(column) for name, column in raster.items()}
    for n, (change, _) in enumerate(changed):
        if change is not None:
            after["mode"][n] = mode_after(raster["mode"][n], rgb=change.rgb)
            after["encoding"][n] = "jpeg"
            after["orientation"][n] = None if change.orientation else raster["orientation"][n]
    return after


def _suffixes(columns: Columns, changed: Sequence[Changed]) -> Iterator[str]:
    names = ("image_id", "file", "offset", "compression", "encoding")
    for (image_id, file, offset, compression, encoding), (change, _) in zip(
        zip(*(columns[name] for name in names), strict=True), changed, strict=True
    ):
        if change is None and offset == 0 and compression is None:  # a file of its own
            name = file.rpartition("/")[2]
            yield name[name.rindex(".") :] if "." in name[1:] else ".JPEG"
        elif change is not None or encoding in (None, "jpeg") or _is_imagenets_png(image_id, encoding, compression):
            yield ".JPEG"
        else:
            yield f".{encoding}"


def _is_imagenets_png(image_id: str, encoding: str, compression: str | None) -> bool:
    """Return True for the PNG that ImageNet's archives call .JPEG; a PNG made of raw values is none of them."""
    return encoding == "png" and compression not in _RAW and keeps_imagenet_name(image_id)
