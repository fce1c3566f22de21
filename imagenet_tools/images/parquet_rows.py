"""Read the rows of a Parquet shard of the hub: each image, its path and its label.

image { bytes, path }, label: a whole number, or a text
metadata of the schema, under `huggingface`: {"info": {"features": {"label": {"names": [...]}}}}
"""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.containers.parquet_images import ParquetShard, leaf_of
from imagenet_tools.wordnet.wnid import is_wnid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.images.numbering import Meaning
    from imagenet_tools.storage.blob import Descriptors

_LABEL = "label"
_LABEL_KINDS = re.compile(r"u?int\d+|(?:large_)?string")

# A key of the schema's metadata in exports of this project whose images were resized.
RESIZED = b"imagenet-tools resized"


class ExportedRow(NamedTuple):
    """The facts that an export of this project states about an image."""

    dataset: str
    image_id: str
    photo: str
    wnid: str


class RowValues(NamedTuple):
    """The values beside an image."""

    name: str | None
    label: int | str | None
    exported: ExportedRow | None = None


class LabelledShard:
    """An open shard.

    Attributes:
        file: The shard.
        beside: The columns that are read beside the images: of names and, if there are any, of labels.
        unread: Other columns.
        names: The names that the shard gives the class numbers, from 0; empty if it gives none.
        meaning: The meaning of class numbers, if these names are wnids.
        resized: Whether an export of this project resized the images.

    Raises:
        FormatError: It cannot be read or has no column of images. Its code is parquet_damaged.
    """

    def __init__(self, files: Descriptors, path: Path, label: str):
        self.file = ParquetShard(files, str(path), label=label)
        with self.file.damage_as_error("a schema that cannot be read"):
            schema = self.file.file.schema_arrow
            metadata: dict[bytes, bytes] = schema.metadata or {}
            is_exported = all(_kind(schema, name) == "string" for name in ExportedRow._fields)
            labels = (_LABEL,) if _LABEL_KINDS.fullmatch(_kind(schema, _LABEL)) else ()
            columns = ExportedRow._fields if is_exported else labels
            image = self.file.column.partition(".")[0]
            self.unread = [name for name in schema.names if name not in (image, *labels, *columns)]
        self.beside = (self.file.column.removesuffix("bytes") + "path", *columns)
        self.names = _names(metadata)
        is_listed = self.names and all(map(is_wnid, self.names))
        self.meaning: Meaning | None = dict(enumerate(self.names)).get if is_listed else None
        self.resized = RESIZED in metadata

    def first(self, n: int) -> list[RowValues]:
        """Return the values beside the first n images, without reading the images."""
        import pyarrow as pa

        with self.file.damage_as_error("names or labels that cannot be read"):
            batches = self.file.file.iter_batches(n, columns=list(self.beside), use_threads=False)
            first = pa.Table.from_batches(itertools.islice(batches, 1))
            return _row_values([leaf_of(first, column) for column in self.beside])

    def rows(self, group: int) -> Iterator[tuple[pa.Buffer | None, RowValues]]:
        """Return the images of a row group, and the values beside them.

        Raises:
            FormatError: The row group is damaged. Raised before any image.
        """
        images, beside = self.file.images(group, self.beside)
        return zip((image.as_buffer() for image in images), _row_values(beside), strict=True)


def _kind(schema: pa.Schema, name: str) -> str:
    """Return the name of a column's type; "" if there is no such column."""
    return str(schema.field(name).type) if name in schema.names else ""


def _row_values(columns: Sequence[pa.ChunkedArray]) -> list[RowValues]:
    """Return the values of the columns `LabelledShard.beside`, row by row."""
    names, *others = (_values(column) for column in columns)
    texts = [None if name is None else str(name) for name in names]
    if len(others) == len(ExportedRow._fields):
        exported = [
            row if None not in values and is_wnid(row.wnid) else None
            for values in zip(*others, strict=True)
            for row in (ExportedRow(*map(str, values)),)
        ]
        return [RowValues(name, None, row) for name, row in zip(texts, exported, strict=True)]
    labels = others[0] if others else [None] * len(texts)
    return [RowValues(name, label) for name, label in zip(texts, labels, strict=True)]


def _values(column: pa.ChunkedArray) -> list[int | str | None]:
    """Return the values of a column of texts or whole numbers; bytes that are not UTF-8 become U+FFFD."""
    import pyarrow as pa

    if pa.types.is_integer(column.type):
        numbers: list[int | str | None] = column.to_pylist()
        return numbers
    texts = column.cast(pa.large_binary()).to_pylist()
    return [None if text is None else text.decode(errors="replace") for text in texts]


def _names(metadata: dict[bytes, bytes]) -> tuple[str, ...]:
    """Return the names of the classes in the schema's metadata; empty if it has none."""
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"][_LABEL]["names"]
    except (KeyError, TypeError, ValueError):
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()
