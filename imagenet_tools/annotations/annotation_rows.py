"""The rows of boxes, labels and problems as a reader of annotations gathers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.annotations import bbox
from imagenet_tools.annotations.annotation import PLAIN, class_of, filename_differs, parse, plain
from imagenet_tools.schema import arrow_schema
from imagenet_tools.wordnet.wnid import is_wnid, photo_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from imagenet_tools.units import Unit

# Boxes gathered before they are handed on: few enough that a processor's cache holds what they are made of.
_BATCH = 4096


class _Numbers(dict[str, Any]):
    """Texts as numbers: looking up those that boxes are made of is thrice as fast as reading them each time."""

    def __init__(self, kind: type[int] | type[float]):
        super().__init__((str(n), kind(n)) for n in range(4096))
        self._kind = kind

    def __missing__(self, text: str) -> float:
        return self._kind(text)


_INTEGERS, _FLOATS = _Numbers(int), _Numbers(float)

_NAME = 3  # which text of an object's, by plain(), its name is

_RANK = {flag: rank for rank, flag in enumerate(bbox.FLAGS)}


class AnnotatedBox(NamedTuple):
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
    subcategory: str | None = None


class AnnotationRows:
    """Gathers the boxes, labels and problems of one unit, and hands them on as record batches.

    With a `label_set` an image may hold objects of many classes, or none: the class of each is the one that its own
    name says, which is expected to be one of `classes`, and each is a label of the image in that set.
    """

    def __init__(self, unit: Unit, *, label_set: str | None = None, classes: frozenset[str] = frozenset()):
        self._unit = unit
        self._label_set = label_set
        self._classes = classes
        # By column: a hundred thousand tuples would keep the garbage collector busy for a third of the time.
        self._boxes: dict[str, list[object]] = {name: [] for name in AnnotatedBox._fields}
        self._add = tuple(column.append for column in self._boxes.values())
        self._ids = self._boxes["image_id"]
        # The texts of plain files, which belong to the last boxes whose ids are there: see _settle.
        self._texts: list[str] = []
        self._labels: dict[str, list[str]] = {"image_id": [], "label_set": [], "wnid": []}
        self._problems: list[dict[str, object]] = []

    def box(self, box: AnnotatedBox) -> None:
        """Add a box; its flags are put in the order of bbox.FLAGS, each once."""
        if self._texts:
            self._settle()
        if len(box.flags) > 1:
            box = box._replace(flags=_in_order(box.flags))
        for append, value in zip(self._add, box, strict=True):
            append(value)

    def xml(self, data: bytes, stem: str, *, folder: str | None, file: str, member: str | None = None) -> None:
        """Add the boxes of a box XML, and what is wrong with it; `folder` is the wnid that its folder is called by."""
        if self._label_set is None:
            texts = plain(data)
            if texts is not None and (len(texts) == PLAIN or len(set(texts[_NAME::PLAIN])) == 1):
                self._plain(texts, stem, folder, file)
                return
        found = parse(data)
        shared = found.flags
        if found.filename != stem and filename_differs(found.filename, stem):
            shared = (*shared, "filename_differs")
        several = self._label_set is not None
        classes: dict[str | None, tuple[str | None, tuple[str, ...]]] = {}  # by name: nearly always one
        for name, pose, truncated, difficult, xmin, ymin, xmax, ymax, own, narrower in found.objects:
            if name not in classes:
                classes[name] = _said(name, self._classes) if several else class_of(name, stem, folder)
            wnid, by_name = classes[name]
            flags = by_name + shared + own
            size = found.width, found.height
            rest = flags, *size, pose, truncated, difficult, narrower
            self.box(AnnotatedBox(stem, wnid, xmin, ymin, xmax, ymax, file, name, *rest))
        for code, reason in found.problems:
            if not (several and code == "xml_no_object"):
                self.problem(code, file, reason, member, stem)
        if self._label_set is not None:
            for wnid in sorted({wnid for wnid, _ in classes.values() if wnid is not None}):
                self.label(stem, self._label_set, wnid)

    def _plain(self, texts: tuple[str, ...], stem: str, folder: str | None, file: str) -> None:
        """Add the boxes of a file of the published shape, all of one name, by the texts that plain() gives of it."""
        wnid, flags = class_of(texts[_NAME], stem, folder)
        if texts[0] != stem and filename_differs(texts[0], stem):
            flags = _in_order((*flags, "filename_differs"))
        self._texts += texts
        boxes, n = self._boxes, len(texts) // PLAIN
        boxes["wnid"] += (wnid,) * n
        boxes["file"] += (file,) * n
        boxes["flags"] += (flags,) * n
        self._ids += (stem,) * n

    def _settle(self) -> None:
        """Put the texts of plain files into the columns that they are of."""
        texts, boxes = self._texts, self._boxes
        for n, name in enumerate(("stated_width", "stated_height"), 1):
            boxes[name] += map(_INTEGERS.__getitem__, texts[n::PLAIN])
        for n, name in enumerate(("name", "pose"), _NAME):
            boxes[name] += texts[n::PLAIN]
        for n, name in enumerate(("truncated", "difficult"), _NAME + 2):
            boxes[name] += map("1".__eq__, texts[n::PLAIN])
        for n, name in enumerate(("xmin", "ymin", "xmax", "ymax"), _NAME + 4):
            boxes[name] += map(_FLOATS.__getitem__, texts[n::PLAIN])
        boxes["subcategory"] += (None,) * (len(texts) // PLAIN)
        texts.clear()

    def label(self, image_id: str, label_set: str, wnid: str) -> None:
        """Add a label of an image."""
        labels = self._labels
        labels["image_id"].append(image_id)
        labels["label_set"].append(label_set)
        labels["wnid"].append(wnid)

    def problem(
        self, code: str, file: str, reason: str, member: str | None = None, image_id: str | None = None
    ) -> None:
        """Add a row to the table problems: what was found, and what was expected."""
        row: dict[str, object] = {"code": code, "file": file, "member": member, "image_id": image_id, "reason": reason}
        self._problems.append(row)

    def full(self) -> bool:
        """Whether it is time to hand the rows on."""
        return len(self._ids) + len(self._labels["wnid"]) + len(self._problems) >= _BATCH

    def batches(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Hand on what was gathered, as (table, rows), and begin anew."""
        if self._texts:
            self._settle()
        if self._ids:
            photos = {image_id: photo_of(self._unit.dataset, str(image_id)) for image_id in set(self._ids)}
            yield "boxes", self._batch("boxes", self._boxes | {"photo": [photos[image_id] for image_id in self._ids]})
            for column in self._boxes.values():
                column.clear()
        if self._labels["wnid"]:
            yield "labels", self._batch("labels", self._labels)
            for texts in self._labels.values():
                texts.clear()
        if self._problems:
            rows = self._problems
            yield "problems", self._batch("problems", {name: [row[name] for row in rows] for name in rows[0]})
            self._problems.clear()

    def _batch(self, table: str, columns: Mapping[str, Sequence[object]]) -> pa.RecordBatch:
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


def _in_order(flags: tuple[str, ...]) -> tuple[str, ...]:
    """Flags in the order of bbox.FLAGS, each once."""
    return tuple(sorted(set(flags), key=_RANK.__getitem__))


def _said(name: str | None, classes: frozenset[str]) -> tuple[str | None, tuple[str, ...]]:
    """The class that an object's own name says, where its place says nothing of it."""
    if name is None or not is_wnid(name):
        return None, ("no_name" if name is None else "name_is_word",)
    return name, () if name in classes else ("not_det_class",)
