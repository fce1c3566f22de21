"""The images in a column of Parquet files, decoded by pyarrow, one row group at a time.

    row group     rows, column by column: `image.bytes` of all rows are stored and decoded together
    footer        the place of each column of each row group

Reading one image decodes its row group: 11 MB in 100 rows of ILSVRC/imagenet-1k, 100 MB in files of Hugging Face's
datasets library since version 4. Rows read in order, or in any order within a row group, are decoded once.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.errors import FormatError
from imagenet_tools.storage.blob import changed
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    import pyarrow.parquet as pq

    from imagenet_tools.storage.blob import Descriptors

_MAX_OPEN_SHARDS = 64
_MAX_DECODED_BYTES = 64 << 20  # of row groups in memory: about six of the hub's
_MAX_GROUP_BYTES = 2 << 30  # a row group is decoded whole, so a larger one is refused
_READ_BYTES = 1 << 20  # of a column, read at a time; else pyarrow holds the packed row group beside the unpacked one


class ParquetShard:
    """An open Parquet file with a column of images.

    Args:
        files: Open files, for the error if the file is gone.
        path: The file.
        label: The name of the file in errors that an index stores; default: the path.

    Raises:
        FormatError: parquet_damaged: the file is no Parquet, or has no column of images.
    """

    def __init__(self, files: Descriptors, path: str, *, label: str = ""):
        import pyarrow.parquet as pq

        files.read(path, 0, 0)  # raises the project's error if the file is gone
        self.label = label or path
        self.lock = threading.Lock()
        head = files.read(path, 0, min(8, Path(path).stat().st_size))
        with self.damage_as_error(f"no footer that can be read, in a file that begins with {head!r}"):
            self.file: pq.ParquetFile = pq.ParquetFile(
                path, buffer_size=_READ_BYTES, pre_buffer=False, page_checksum_verification=True
            )
            column = image_column(self.file.schema)
            meta = self.file.metadata
            lengths = [meta.row_group(n).num_rows for n in range(meta.num_row_groups)]
        if column is None:
            raise self._damaged("no column of images")
        self.column = column
        self.starts = [0, *accumulate(lengths)]

    @property
    def groups(self) -> range:
        """Return the numbers of the row groups."""
        return range(len(self.starts) - 1)

    def group_of(self, row: int) -> int:
        """Return the row group of a row; raise SourceError if the file has no such row."""
        group = bisect_right(self.starts, row) - 1
        if group not in self.groups:
            raise changed(self.label, count_of(self.starts[-1], "row"), f"a row {row}")
        return group

    def images(self, group: int, columns: Sequence[str] = ()) -> tuple[pa.ChunkedArray, list[pa.ChunkedArray]]:
        """Return (the images of a row group, other columns of it), by row; a row without an image has null.

        Raises:
            FormatError: parquet_damaged: the row group cannot be decoded, or is too large.
        """
        size = self.size(group)
        if size > _MAX_GROUP_BYTES:
            message = (
                f"{self.label}: found row group {group} of {size:,} bytes; at most {_MAX_GROUP_BYTES:,} are decoded "
                "at once. Write the file again in row groups of some 100 rows."
            )
            raise FormatError(message, code="parquet_damaged")
        with self.damage_as_error(f"row group {group} that cannot be decoded"):
            table = self.file.read_row_group(group, columns=[self.column, *columns], use_threads=False)
            table.validate()
            first, *others = [leaf_of(table, name) for name in (self.column, *columns)]
            if len(first) != self.starts[group + 1] - self.starts[group]:
                raise self._damaged(f"row group {group} of {len(first):,} rows")
        return first, others

    def size(self, group: int) -> int:
        """Return the unpacked bytes of a row group, as the footer states them.

        The bytes of the column of images alone are in the metadata of columns, but pyarrow 26 ends the process where
        a flipped bit makes those contradict the schema.
        """
        with self.damage_as_error(f"row group {group} that its footer does not describe"):
            return int(self.file.metadata.row_group(group).total_byte_size)

    @contextmanager
    def damage_as_error(self, found: str) -> Iterator[None]:
        """Raise pyarrow's errors about damage as FormatError with the file's name; let errors of the disk pass."""
        import pyarrow as pa

        try:
            yield
        except FormatError:
            raise
        except (IndexError, KeyError, TypeError, ValueError, OverflowError, OSError, pa.ArrowException) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise self._damaged(f"{found} ({error})") from error

    def _damaged(self, found: str) -> FormatError:
        message = f"{self.label}: found {found}; expected Parquet as its writer left it. Fetch or copy it again."
        return FormatError(message, code="parquet_damaged")


class RowGroups:
    """A cache of open Parquet files and of decoded row groups, about 64 MB; threads may share it."""

    def __init__(self, files: Descriptors):
        self._shard = lru_cache(_MAX_OPEN_SHARDS)(partial(ParquetShard, files))
        self._decoded: OrderedDict[tuple[str, int], pa.ChunkedArray] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, files: Descriptors) -> RowGroups:
        """Return the cache of some open files; a forked process, in which the locks may be held, has its own."""
        groups: RowGroups = files.kept.setdefault(f"{__name__} {os.getpid()}", cls(files))
        return groups

    def read(self, path: str, row: int) -> bytes | None:
        """Return the image in a row, counted from 0, or None if it has none."""
        with self._lock:  # so that threads share one opening of a file
            shard = self._shard(path)
        group = shard.group_of(row)
        images = self._recent(path, group)
        if images is None:
            with shard.lock:  # so that threads share one decoding of a row group
                images = self._recent(path, group)
                if images is None:
                    images, _ = shard.images(group)
                    with self._lock:
                        self._decoded[path, group] = images
                        while len(self._decoded) > 1 and self._decoded_bytes() > _MAX_DECODED_BYTES:
                            self._decoded.popitem(last=False)
        value: bytes | None = images[row - shard.starts[group]].as_py()
        return value

    def _recent(self, path: str, group: int) -> pa.ChunkedArray | None:
        with self._lock:
            if (path, group) not in self._decoded:
                return None
            self._decoded.move_to_end((path, group))
            return self._decoded[path, group]

    def _decoded_bytes(self) -> int:
        return sum(images.nbytes for images in self._decoded.values())


def image_column(schema: pq.ParquetSchema) -> str | None:
    """Return the column that holds the bytes of images: `image.bytes`, else the first x.bytes beside an x.path.

    None if there is none, or if it is inside a list.
    """
    leaves = {(leaf := schema.column(n)).path: leaf for n in range(len(schema))}
    pairs = (path for path in ("image.bytes", *leaves) if path.endswith(".bytes") and f"{path[:-5]}path" in leaves)
    leaf = next((leaves[path] for path in pairs if path in leaves), None)
    if leaf is None or leaf.physical_type != "BYTE_ARRAY" or leaf.max_repetition_level:
        return None
    path: str = leaf.path
    return path


def leaf_of(table: pa.Table, path: str) -> pa.ChunkedArray:
    """Return a column by its path, such as image.bytes; a row in which a struct on the path is null has null."""
    import pyarrow.compute as pc

    top = next(name for name in table.column_names if path == name or path.startswith(f"{name}."))
    inside = path[len(top) + 1 :].split(".") if path != top else []
    return pc.struct_field(table.column(top), inside) if inside else table.column(top)
