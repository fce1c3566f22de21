"""Gather the rows of the table images for one unit, and find the class, split and photograph of each image."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from imagenet_tools.catalogue import image_lists, labels
from imagenet_tools.catalogue.releases import RELEASES, RESPLIT, title
from imagenet_tools.containers.gzip_stream import GZIP_MAGIC, gunzip
from imagenet_tools.errors import FormatError
from imagenet_tools.images import probe as probing
from imagenet_tools.images.jpeg import ImageFacts, reader_of
from imagenet_tools.images.probe import probe
from imagenet_tools.schema import arrow_schema
from imagenet_tools.wordnet.wnid import hashes32, photo_of, shares_names, split_of_copy, stem_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from imagenet_tools.images.jpeg import More
    from imagenet_tools.units import Unit


# Problems of images in any source, for the table problems.
PROBLEMS = probing.PROBLEMS | {
    "class_differs": "the name says another class than the folder; the folder's is kept",
    "split_differs": "the name says another split than the place; the name's is kept",
    "other_name": "a name that the release never gives; the image shares no photo with it",
    "label_contradiction": "the folder of a validation image is another class than the official ground truth's",
}

# Suffixes that the releases use, in lower case; other files beside images are reported as stray.
IMAGE_SUFFIXES = frozenset({".jpeg", ".jpg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"})

# First bytes that are read of an image: the headers of 87 % of ImageNet's images end within them.
HEAD = 4096

# The largest class of ImageNet has 3,047 images, so a class is one batch.
_BATCH_ROWS = 16_384

_UNUSABLE = "the image's bytes cannot be used as they are"
_UNPROBED = ImageFacts(None, None, None, None, None, None)

# Columns of a gathered image.
_COLUMNS = (
    "image_id", "photo", "wnid", "split", "file", "member", "offset", "length", "position", "compression",
    *ImageFacts._fields,
)  # fmt: skip
_PROBLEM_COLUMNS = ("code", "file", "reason", "member", "image_id")


class UnitRows:
    """Gathers the problems of one unit, and makes record batches with the columns that all its rows share.

    Args:
        unit: The unit.
        prefix: The beginning of every image id, if the names of images alone are not unique in the release.
    """

    def __init__(self, unit: Unit, *, prefix: str = ""):
        self.unit = unit
        self._prefix = prefix
        self._shared = {"dataset": unit.dataset, "source": unit.source, "unit": unit.key}
        self._problems: list[tuple[str | None, ...]] = []

    def problem(
        self, code: str, file: str, reason: str, member: str | None = None, image_id: str | None = None
    ) -> None:
        """Add a row to the table problems; `reason` says what was found and what was expected."""
        self._problems.append((code, file, reason, member, image_id))

    def record_batch(self, table: str, n: int, columns: Mapping[str, object]) -> pa.RecordBatch:
        """Return n rows of a table: `columns`, of n values each or one value for all rows; absent ones are null."""
        import pyarrow as pa

        schema = arrow_schema(table)
        columns = {**self._shared, **columns}
        arrays: list[pa.Array] = []
        for field in schema:
            values = columns.get(field.name)
            if isinstance(values, pa.Array):
                arrays.append(values)
            elif values is None or isinstance(values, str | int):
                arrays.append(pa.repeat(pa.scalar(values, field.type), n))
            else:
                arrays.append(pa.array(values, field.type))
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _rows_of(
        self, table: str, columns: Sequence[str], rows: list[tuple[str | None, ...]]
    ) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield gathered rows as (table, rows) if there are any, and forget them."""
        if rows:
            yield table, self.record_batch(table, len(rows), dict(zip(columns, zip(*rows, strict=True), strict=True)))
            rows.clear()

    def problem_rows(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the gathered problems as (table, rows), and forget them."""
        return self._rows_of("problems", _PROBLEM_COLUMNS, self._problems)


class ImageRows(UnitRows):
    """Gathers the images and the problems of one unit, and hands them on as record batches.

    Args:
        unit: The unit.
        bundled: Whether the bundled labels of ILSVRC2012's validation images hold for this release.
        split_of: Returns the split of a stem that a list of the release states; None for other stems.
        prefix: The beginning of every image id, if the names of images alone are not unique in the release.
    """

    def __init__(
        self,
        unit: Unit,
        *,
        bundled: bool = True,
        split_of: Callable[[str], str | None] | None = None,
        prefix: str = "",
    ):
        super().__init__(unit, prefix=prefix)
        self._bundled = bundled
        self._split_of = split_of
        self._is_ilsvrc = unit.dataset.startswith("ilsvrc")
        self._is_release = unit.dataset in RELEASES
        self._has_superclasses = unit.superclasses and not self._is_release
        self._is_resplit = unit.dataset.startswith(tuple(RESPLIT))
        self._rows: list[tuple[object, ...]] = []
        self._batches: list[pa.RecordBatch] = []

    @property
    def takes_plain_names(self) -> bool:
        """Return True if a name such as n01440764_10026 is the photograph's, and no list states its split."""
        return self._split_of is None and not self._prefix and shares_names(self.unit.dataset)

    def add(
        self,
        stem: str,
        *,
        file: str,
        head: bytes,
        length: int,
        more: Callable[[int, int], bytes],
        offset: int | None = 0,
        member: str | None = None,
        position: int | None = None,
        compression: str | None = None,
        size: int | None = None,
        wnid: str | None = None,
        split: str | None = None,
        photo: str | None = None,
        facts: ImageFacts | None = None,
    ) -> ImageFacts:
        """Add an image and return its facts.

        Args:
            stem: The image id, without the prefix: the file name without its suffix.
            file: The file that holds the image, relative to the source's root.
            head: First bytes of the image.
            length: Bytes in the file, compressed if the image is.
            more: Returns n bytes at an offset from the beginning of the image.
            offset: Position in the file; None inside a compressed container.
            member: Name in an archive; None if it is image id + .JPEG.
            position: Row or byte in a container without offsets.
            compression: What the image is wrapped in.
            size: Bytes of the image without its wrapping, if they differ from `length`.
            wnid: Class by the image's own place, if it differs within the unit.
            split: Split by the image's own place, if it differs within the unit.
            photo: The photograph, if neither the stem nor the data set identifies it.
            facts: Facts of the image, if they are known: then no bytes are read.
        """
        unit, stem = self.unit, self._prefix + stem
        if facts is None:
            facts = probe(head, length if size is None else size, more) if unit.probed else _UNPROBED
        listed = self._split_of(stem) if self._split_of else None
        wnid, split = self._class_and_split(stem, file, member, wnid or unit.wnid, split or listed or unit.split)
        photo = photo or photo_of(unit.dataset, stem)
        if member is None and photo != stem and not is_image_name(file):
            member = f"{stem}.JPEG"  # the image ids of such data sets are not their file names
        self._rows.append((stem, photo, wnid, split, file, member, offset, length, position, compression, *facts))
        if facts.problem is not None:
            self.problem(facts.problem, file, _UNUSABLE, member, stem)
        return facts

    def add_batch(self, batch: pa.RecordBatch, probed: Mapping[int, ImageFacts]) -> None:
        """Add finished rows of the table images; `probed` holds the facts of rows that may have a problem."""
        self._finish_rows()
        self._batches.append(batch)
        for row, facts in probed.items():
            if facts.problem is not None:
                file, stem = (batch.column(name)[row].as_py() for name in ("file", "image_id"))
                self.problem(facts.problem, file, _UNUSABLE, None, stem)

    def _class_and_split(
        self, stem: str, file: str, member: str | None, wnid: str | None, split: str | None
    ) -> tuple[str | None, str | None]:
        """Return class and split of an image, whose place says `wnid` and `split`; report contradictions."""
        name_wnid, number, year, name_split = stem_parts(stem)
        if year is None:
            if number is None and self._is_release:
                reason = f"{title(self.unit.dataset)} has no such name; expected one such as n01440764_10026. "
                self.problem("other_name", file, reason + "The image shares no photo with it", member, stem)
            if wnid is not None and name_wnid is not None and name_wnid != wnid and not self._has_superclasses:
                reason = f"the name says {name_wnid}, the folder {wnid}; the folder's is kept, "
                reason += f"unless it is in {name_wnid} too"
                self.problem("class_differs", file, reason, member, stem)
            # A copy of an official image, "ILSVRC2012_val_00000293 (1)", has the same pixels.
            name_split = split_of_copy(stem) if number is None and self._is_release else None
            if name_split is None:
                # ILSVRC names images by their class in its training set only.
                known_split = "train" if self._is_ilsvrc and number is not None else None
                return wnid or name_wnid, split or known_split
        is_labelled = self._bundled and (year, name_split) == ("2012", "val")
        official = labels.validation_wnid(stem) if is_labelled else None
        if split is not None and not self._is_ilsvrc and (split != "train" or self._is_resplit):
            name_split = split  # other data sets have their own splits: Imagenette trains on validation images
        elif split is not None and split != name_split:
            # An official validation image must never enter a training split, whatever folder it is in.
            reason = f"the name says {name_split}, the place {split}; the name's split is kept"
            self.problem("split_differs", file, reason, member, stem)
        if wnid is not None and official is not None and wnid != official and not self._has_superclasses:
            reason = f"the folder says {wnid}, the official ground truth {official}"
            self.problem("label_contradiction", file, reason, member, stem)
        return wnid or name_wnid or official, name_split

    def full(self) -> bool:
        """Return True when the rows should be handed on."""
        rows = len(self._rows) + len(self._problems)
        return rows >= _BATCH_ROWS or (bool(self._batches) and rows + sum(map(len, self._batches)) >= _BATCH_ROWS)

    def batches(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the gathered rows as (table, rows), and forget them."""
        self._finish_rows()
        for batch in self._batches:
            yield "images", batch
        self._batches.clear()
        yield from self.problem_rows()

    def _finish_rows(self) -> None:
        """Make a batch of the rows that were gathered one by one."""
        if not self._rows:
            return
        columns: dict[str, Any] = dict(zip(_COLUMNS, zip(*self._rows, strict=True), strict=True))
        columns["hash32"] = hashes32(columns["photo"])
        self._batches.append(self.record_batch("images", len(self._rows), columns | {"n_boxes": 0}))
        self._rows.clear()


def is_image_name(path: str) -> bool:
    """Return True if a file name, or the name at the end of a path, is that of an image; a leading dot hides a file."""
    name = path.rpartition("/")[2]
    return name[name.rfind(".") :].lower() in IMAGE_SUFFIXES and name[0] != "."


def unwrapped(head: bytes, length: int, more: More) -> tuple[bytes, More, int, str | None]:
    """Return (head, more, size, compression) of an image that may be wrapped in gzip.

    A few files of the fall 2011 release are. A damaged wrapping is left on.
    """
    if not head.startswith(GZIP_MAGIC):
        return head, more, length, None
    try:
        data = gunzip(more(0, length))
    except FormatError:
        return head, more, length, None
    return data[:HEAD], reader_of(data), len(data), "gzip"


@functools.cache
def _converted() -> Mapping[str, str]:
    """Return the encoding or mode of the 23 training images that TensorFlow's converters encode again, by stem."""
    kinds = {"PNG": "ilsvrc2012-png", "CMYK": "ilsvrc2012-cmyk"}
    return {stem: kind for kind, name in kinds.items() for stem in image_lists.get(name).images}


def reencoded(stem: str, head: bytes, length: int, more: More) -> str | None:
    """Return a sentence if an image is one of the 23 that converters encode again, and was; None otherwise."""
    kind = _converted().get(stem)
    if kind is None:
        return None
    facts = probe(head, length, more)
    if facts.encoding == "png" if kind == "PNG" else facts.mode == "CMYK":
        return None
    original = "a PNG" if kind == "PNG" else "a CMYK JPEG"
    converted = f"a {facts.mode} {facts.encoding}"
    return f"the image is {original} in ILSVRC2012, and here {converted}: encoded again, as converters do"
