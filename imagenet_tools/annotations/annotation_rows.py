"""Gather the rows of boxes, labels and problems for one unit of annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.annotations import bbox
from imagenet_tools.annotations.annotation import Object, class_of, filename_differs, parse
from imagenet_tools.images.image_rows import UnitRows
from imagenet_tools.wordnet.wnid import is_wnid, photo_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from imagenet_tools.units import Unit

# Rows of a batch: few enough to stay in a processor's cache.
_BATCH = 4096

_RANK = {flag: rank for rank, flag in enumerate(bbox.FLAGS)}


# Columns of a gathered box.
_COLUMNS = ("image_id", "wnid", "file", "stated_width", "stated_height", *Object._fields)


class AnnotationRows(UnitRows):
    """Gathers the boxes, labels and problems of one unit, and hands them on as record batches.

    Args:
        unit: The unit.
        label_set: For annotations with objects of many classes, or none. The class of each object is its name, and
            each class becomes a label of the image in this set.
        classes: The classes that are expected with a label set.
        prefix: The beginning of every image id, if the names of images alone are not unique in the release.
    """

    def __init__(
        self, unit: Unit, *, label_set: str | None = None, classes: frozenset[str] = frozenset(), prefix: str = ""
    ):
        super().__init__(unit, prefix=prefix)
        self._label_set = label_set
        self._classes = classes
        # The values of all boxes, one box after the other, and not tuples: garbage collection of a hundred thousand
        # tuples took a third of the time.
        self._boxes: list[object] = []
        self._labels: list[tuple[str | None, ...]] = []

    def box(
        self,
        image_id: str,
        wnid: str | None,
        file: str,
        box: Object,
        *,
        flags: tuple[str, ...] = (),
        size: tuple[int | None, int | None] = (None, None),
    ) -> None:
        """Add a box of a class, in an image of a stated size (width, height), with its own flags and `flags`."""
        if flags or len(box.flags) > 1:
            box = box._replace(flags=tuple(sorted({*box.flags, *flags}, key=_RANK.__getitem__)))
        self._boxes += (self._prefix + image_id, wnid, file, *size, *box)

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
        shared, size = annotation.flags, (annotation.width, annotation.height)
        if filename_differs(annotation.filename, stem):
            shared = (*shared, "filename_differs")
        classes: dict[str | None, tuple[str | None, tuple[str, ...]]] = {}  # by name: nearly always one
        for box in annotation.objects:
            if box.name not in classes:
                classes[box.name] = self._class_of(box.name, stem, folder)
            wnid, flags = classes[box.name]
            self.box(stem, wnid, file, box, flags=flags + shared, size=size)
        for code, reason in annotation.problems:
            if self._label_set is None or code != "xml_no_object":
                self.problem(code, file, reason, member, stem)
        if self._label_set is not None:
            for wnid in sorted({wnid for wnid, _ in classes.values() if wnid is not None}):
                self.label(stem, self._label_set, wnid)

    def _class_of(self, name: str | None, stem: str, folder: str | None) -> tuple[str | None, tuple[str, ...]]:
        """Return the class of an object and its flags; with a label set, from its name alone."""
        if self._label_set is None:
            return class_of(name, stem, folder)
        if name is None:
            return None, ("no_name",)
        if not is_wnid(name):
            return None, ("name_is_word",)
        return name, () if name in self._classes else ("not_det_class",)

    def label(self, image_id: str, label_set: str, wnid: str) -> None:
        """Add a label of an image."""
        self._labels.append((self._prefix + image_id, label_set, wnid))

    def full(self) -> bool:
        """Return True when the rows should be handed on."""
        return len(self._boxes) // len(_COLUMNS) + len(self._labels) + len(self._problems) >= _BATCH

    def batches(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the gathered rows as (table, rows), and forget them."""
        if self._boxes:
            columns = {name: self._boxes[n :: len(_COLUMNS)] for n, name in enumerate(_COLUMNS)}
            image_ids = columns["image_id"]
            photos = {image_id: photo_of(self.unit.dataset, str(image_id)) for image_id in set(image_ids)}
            columns["photo"] = [photos[image_id] for image_id in image_ids]
            yield "boxes", self.record_batch("boxes", len(image_ids), columns)
            self._boxes.clear()
        yield from self._rows_of("labels", ("image_id", "label_set", "wnid"), self._labels)
        yield from self.problem_rows()
