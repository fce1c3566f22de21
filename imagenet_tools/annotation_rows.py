"""The rows of boxes, labels and problems as a reader of annotations gathers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools import bbox
from imagenet_tools.annotation import class_of, filename_differs, parse
from imagenet_tools.schema import arrow_schema
from imagenet_tools.wnid import photo_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from imagenet_tools.units import Unit

# Boxes gathered before they are handed on: some 20 MB.
_BATCH = 65_536

_RANK = {flag: rank for rank, flag in enumerate(bbox.FLAGS)}


class Box(NamedTuple):
    """A box as its annotation gives it, under the names of the table boxes."""

    image_id: str
    wnid: str | None
    xmin: float | None
    ymin: float | None
    xmax: float | None
    ymax: float | None
    file: str
    name: str | None
    flags: tuple[str, ...] = ()
    stated_width: int | None = None
    stated_height: int | None = None
    pose: str | None = None
    truncated: bool | None = None
    difficult: bool | None = None


class AnnotationRows:
    """Gathers the boxes, labels and problems of one unit, and hands them on as record batches."""

    def __init__(self, unit: Unit):
        self._unit = unit
        self._boxes: list[Box] = []
        self._labels: list[dict[str, object]] = []
        self._problems: list[dict[str, object]] = []

    def box(self, box: Box) -> None:
        """Add a box; its flags are put in the order of bbox.FLAGS, each once."""
        if len(box.flags) > 1:
            box = box._replace(flags=tuple(sorted(set(box.flags), key=_RANK.__getitem__)))
        self._boxes.append(box)

    def xml(self, data: bytes, stem: str, *, folder: str | None, file: str, member: str | None = None) -> None:
        """Add the boxes of a box XML, and what is wrong with it; `folder` is the wnid that its folder is called by."""
        found = parse(data)
        shared = found.flags
        if filename_differs(found.filename, stem):
            shared = (*shared, "filename_differs")
        for name, pose, truncated, difficult, xmin, ymin, xmax, ymax, own in found.objects:
            wnid, by_name = class_of(name, stem, folder)
            flags = by_name + shared + own
            size = found.width, found.height
            self.box(Box(stem, wnid, xmin, ymin, xmax, ymax, file, name, flags, *size, pose, truncated, difficult))
        for code, reason in found.problems:
            self.problem(code, file, reason, member, stem)

    def label(self, image_id: str, label_set: str, wnid: str) -> None:
        """Add a label of an image."""
        self._labels.append({"image_id": image_id, "label_set": label_set, "wnid": wnid})

    def problem(
        self, code: str, file: str, reason: str, member: str | None = None, image_id: str | None = None
    ) -> None:
        """Add a row to the table problems: what was found, and what was expected."""
        row: dict[str, object] = {"code": code, "file": file, "member": member, "image_id": image_id, "reason": reason}
        self._problems.append(row)

    def full(self) -> bool:
        """Whether it is time to hand the rows on."""
        return len(self._boxes) + len(self._labels) + len(self._problems) >= _BATCH

    def batches(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Hand on what was gathered, as (table, rows), and begin anew."""
        if self._boxes:
            columns: dict[str, list[object]] = {
                name: [box[n] for box in self._boxes] for n, name in enumerate(Box._fields)
            }
            columns["photo"] = [photo_of(self._unit.dataset, box.image_id) for box in self._boxes]
            yield "boxes", self._batch("boxes", columns)
            self._boxes.clear()
        for table, rows in (("labels", self._labels), ("problems", self._problems)):
            if rows:
                yield table, self._batch(table, {name: [row[name] for row in rows] for name in rows[0]})
                rows.clear()

    def _batch(self, table: str, columns: dict[str, list[object]]) -> pa.RecordBatch:
        """A batch of the columns given, with those that are one value in all of a unit; the rest is null."""
        import pyarrow as pa

        same = {"dataset": self._unit.dataset, "source": self._unit.source, "unit": self._unit.key}
        schema = arrow_schema(table)
        n = len(next(iter(columns.values())))
        arrays = [
            pa.array(columns[field.name], field.type)
            if field.name in columns
            else pa.repeat(pa.scalar(same.get(field.name), field.type), n)
            for field in schema
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)
