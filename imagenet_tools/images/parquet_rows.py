"""The rows of a Parquet shard of the hub: each image, the path that names it, and its label.

image { bytes, path }, label: a whole number, or a text
metadata of the schema, under `huggingface`: {"info": {"features": {"label": {"names": [...]}}}}
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.containers.parquet_images import ParquetShard, leaf_of
from imagenet_tools.images.numbering import ListedNumbering
from imagenet_tools.wordnet.wnid import is_wnid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from imagenet_tools.storage.blob import Descriptors

_LABEL = "label"

# A key of the schema's metadata in exports of this project whose images were resized.
RESIZED = b"imagenet-tools resized"


class Own(NamedTuple):
    """What an export of this project says of an image."""

    dataset: str
    image_id: str
    photo: str
    wnid: str


class Said(NamedTuple):
    """What stands beside an image."""

    name: str | None
    label: int | str | None
    own: Own | None = None


class LabelledShard(NamedTuple):
    """An open shard, the columns of it that are read beside the images, and what its numbers mean."""

    file: ParquetShard
    beside: tuple[str, ...]  # the names, and the labels where there are some
    unread: list[str]  # columns that nothing reads
    meaning: ListedNumbering | None  # where it lists the wnids of its numbers itself
    resized: bool  # whether it is an export of this project that resized its images

    @classmethod
    def open(cls, files: Descriptors, path: Path, label: str) -> LabelledShard:
        """FormatError, with the code parquet_damaged, where it cannot be read, or has no column of images."""
        shard = ParquetShard(files, str(path), label=label)
        with shard.told("a schema that cannot be read"):
            schema = shard.file.schema_arrow
            own = Own._fields if all(_is_text(schema, name) for name in Own._fields) else ()
            labels = (_LABEL,) if _LABEL in schema.names and _is_read(schema.field(_LABEL).type) else ()
            listed = _listed(schema.metadata or {})
            unread = [name for name in schema.names if name not in (shard.column.partition(".")[0], *labels, *own)]
        names = shard.column.removesuffix("bytes") + "path"
        return cls(
            shard,
            (names, *(own or labels)),
            unread,
            ListedNumbering(listed) if listed else None,
            RESIZED in (schema.metadata or {}),
        )

    def first(self, n: int) -> list[Said]:
        """What is said of the first images, which themselves are not read."""
        import pyarrow as pa

        with self.file.told("names or labels that cannot be read"):
            batches = self.file.file.iter_batches(n, columns=list(self.beside), use_threads=False)
            first = pa.Table.from_batches([batch for batch, _ in zip(batches, range(1), strict=False)] or [])
            return _said([leaf_of(first, column) for column in self.beside])

    def rows(self, group: int) -> Iterator[tuple[pa.Buffer | None, Said]]:
        """The images of a row group, and what is said of them; FormatError, before any, where it is damaged."""
        images, beside = self.file.images(group, self.beside)
        return zip((image.as_buffer() for image in images), _said(beside), strict=True)


def _is_read(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_text(schema: pa.Schema, name: str) -> bool:
    import pyarrow as pa

    return name in schema.names and bool(pa.types.is_string(schema.field(name).type))


def _said(columns: Sequence[pa.ChunkedArray]) -> list[Said]:
    names, *labels = (_values(column) for column in columns)
    if len(labels) == len(Own._fields):
        own = [Own(*map(str, values)) if None not in values else None for values in zip(*labels, strict=True)]
        return [Said(None if name is None else str(name), None, one) for name, one in zip(names, own, strict=True)]
    rows = zip(names, labels[0] if labels else [None] * len(names), strict=True)
    return [Said(None if name is None else str(name), label) for name, label in rows]


def _values(column: pa.ChunkedArray) -> list[int | str | None]:
    """The values of a column of texts or of whole numbers; a text that is no UTF-8 keeps what can be read of it."""
    import pyarrow as pa

    if pa.types.is_integer(column.type):
        found: list[int | str | None] = column.to_pylist()
        return found
    texts = column.cast(pa.large_binary()).to_pylist()
    return [None if text is None else text.decode(errors="replace") for text in texts]


def _listed(metadata: dict[bytes, bytes]) -> Sequence[str]:
    """The names of the classes in the schema's metadata where every one is a wnid; else nothing."""
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"][_LABEL]["names"]
    except (KeyError, TypeError, ValueError):
        return ()
    return names if isinstance(names, list) and names and all(map(is_wnid, names)) else ()
