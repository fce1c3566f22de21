"""Gather the rows of boxes, labels and problems for one unit of annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.annotations import bbox
from imagenet_tools.annotations.annotation import class_of, filename_differs, parse
from imagenet_tools.images.image_rows import UnitRows
from imagenet_tools.wordnet.wnid import is_wnid, photo_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from imagenet_tools.units import Unit

# Rows of a batch: few enough to stay in a processor's cache.
_BATCH = 4096

_RANK = {flag: rank for rank, flag in enumerate(bbox.FLAGS)}


class AnnotatedBox(NamedTuple):
    """A box as its annotation states it; the fields are columns of the table boxes."""

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


class AnnotationRows(UnitRows):
    """Gathers the boxes, labels and problems of one unit, and hands them on as record batches.

    Args:
        unit: The unit.
        label_set: For annotations with objects of many classes, or none. The class of each object is its name, and
            each class becomes a label of the image in this set.
        classes: The classes that are expected with a label set.
    """

    def __init__(self, unit: Unit, *, label_set: str | None = None, classes: frozenset[str] = frozenset()):
        super().__init__(unit)
        self._label_set = label_set
        self._classes = classes
        # Columns and not tuples: garbage collection of a hundred thousand tuples took a third of the time.
        self._boxes: dict[str, list[object]] = {name: [] for name in AnnotatedBox._fields}
        self._append = tuple(column.append for column in self._boxes.values())
        self._labels: dict[str, list[str]] = {"image_id": [], "label_set": [], "wnid": []}

    def box(self, box: AnnotatedBox) -> None:
        """Add a box, with its flags in the order of bbox.FLAGS and without repeats."""
        if len(box.flags) > 1:
            box = box._replace(flags=tuple(sorted(set(box.flags), key=_RANK.__getitem__)))
        for append, value in zip(self._append, box, strict=True):
            append(value)

    def xml(self, data: bytes, stem: str, *, folder: str | None, file: str, member: str | None = None) -> None:
        """Add the boxes of a box XML, and its problems.

        Args:
            data: Content of the XML file.
            stem: Name of the XML file without its suffix: the image id.
            folder: The wnid that its folder is called by.
            file: The file that holds it, relative to the source's root.
            member: Its name in an archive.
        """
        annotation = parse(data)
        width, height = annotation.width, annotation.height
        shared = annotation.flags
        if filename_differs(annotation.filename, stem):
            shared = (*shared, "filename_differs")
        classes: dict[str | None, tuple[str | None, tuple[str, ...]]] = {}  # by name: nearly always one
        for name, pose, truncated, difficult, xmin, ymin, xmax, ymax, flags, subcategory in annotation.objects:
            if name not in classes:
                by_place = self._label_set is None
                classes[name] = class_of(name, stem, folder) if by_place else _class_by_name(name, self._classes)
            wnid, class_flags = classes[name]
            rest = class_flags + shared + flags, width, height, pose, truncated, difficult, subcategory
            self.box(AnnotatedBox(stem, wnid, xmin, ymin, xmax, ymax, file, name, *rest))
        for code, reason in annotation.problems:
            if self._label_set is None or code != "xml_no_object":
                self.problem(code, file, reason, member, stem)
        if self._label_set is not None:
            for wnid in sorted({wnid for wnid, _ in classes.values() if wnid is not None}):
                self.label(stem, self._label_set, wnid)

    def label(self, image_id: str, label_set: str, wnid: str) -> None:
        """Add a label of an image."""
        labels = self._labels
        labels["image_id"].append(image_id)
        labels["label_set"].append(label_set)
        labels["wnid"].append(wnid)

    def full(self) -> bool:
        """Return True when the rows should be handed on."""
        return len(self._boxes["image_id"]) + len(self._labels["wnid"]) + len(self._problems) >= _BATCH

    def batches(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the gathered rows as (table, rows), and forget them."""
        image_ids = self._boxes["image_id"]
        if image_ids:
            photos = {image_id: photo_of(self.unit.dataset, str(image_id)) for image_id in set(image_ids)}
            columns = self._boxes | {"photo": [photos[image_id] for image_id in image_ids]}
            yield "boxes", self.record_batch("boxes", len(image_ids), columns)
            for column in self._boxes.values():
                column.clear()
        if self._labels["wnid"]:
            yield "labels", self.record_batch("labels", len(self._labels["wnid"]), self._labels)
            for texts in self._labels.values():
                texts.clear()
        yield from self._problem_batches()


def _class_by_name(name: str | None, classes: frozenset[str]) -> tuple[str | None, tuple[str, ...]]:
    """Return the class of an object and its flags, from its name alone."""
    if name is None:
        return None, ("no_name",)
    if not is_wnid(name):
        return None, ("name_is_word",)
    return name, () if name in classes else ("not_det_class",)
