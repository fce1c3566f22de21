"""The images in a column of Parquet files, decoded by pyarrow, a row group at a time.

    row group     rows, column by column: the `image.bytes` of all its rows lie, and are decoded, together
    footer        where each column of each row group lies

What one image costs is its row group: 11 MB in 100 rows of ILSVRC/imagenet-1k, 100 MB in files that Hugging Face's
library writes since its version 4. Rows read in their order, or in any order within a row group, cost one decoding.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.errors import FormatError
from imagenet_tools.storage.blob import changed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    import pyarrow.parquet as pq

    from imagenet_tools.storage.blob import Descriptors

# Files whose footers are kept, and bytes of decoded row groups: some six of the hub's.
_FILES, _KEPT = 64, 64 << 20
# A row group is decoded whole, so one that says it is larger than this is refused.
_LARGEST = 2 << 30
# Bytes of a column that pyarrow reads at once; without it, it holds the packed row group beside the unpacked.
_READ_AT_ONCE = 1 << 20


class ParquetShard:
    """An open Parquet file with a column of images; FormatError, with the code parquet_damaged, where it is none.

    Errors call it `label`, which an index that may be moved holds: else its path.
    """

    def __init__(self, files: Descriptors, path: str, *, label: str = ""):
        import pyarrow.parquet as pq

        files.read(path, 0, 0)  # says what a user should hear where the file is gone
        self.label = label or path
        self.lock = threading.Lock()
        begins = files.read(path, 0, min(8, Path(path).stat().st_size))
        with self.told(f"no footer that can be read, in a file that begins with {begins!r}"):
            self.file: pq.ParquetFile = pq.ParquetFile(
                path, buffer_size=_READ_AT_ONCE, pre_buffer=False, page_checksum_verification=True
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
        """The numbers of its row groups."""
        return range(len(self.starts) - 1)

    def group_of(self, row: int) -> int:
        """The row group that a row lies in; SourceError where the file has no such row."""
        group = bisect_right(self.starts, row) - 1
        if group not in self.groups:
            raise changed(self.label, f"{self.starts[-1]:,} rows", f"a row {row:,}")
        return group

    def images(self, group: int, columns: Sequence[str] = ()) -> tuple[pa.ChunkedArray, list[pa.ChunkedArray]]:
        """(the images of a row group, other columns of it), by row; null where a row has no image."""
        size = self.size(group)
        if size > _LARGEST:
            message = (
                f"{self.label}: found row group {group} of {size:,} bytes; at most {_LARGEST:,} are decoded at once. "
                "Write the file again in row groups of some 100 rows."
            )
            raise FormatError(message, code="parquet_damaged")
        with self.told(f"row group {group} that cannot be decoded"):
            table = self.file.read_row_group(group, columns=[self.column, *columns], use_threads=False)
            table.validate()
            first, *others = [leaf_of(table, name) for name in (self.column, *columns)]
            if len(first) != self.starts[group + 1] - self.starts[group]:
                raise self._damaged(f"row group {group} of {len(first):,} rows")
        return first, others

    def size(self, group: int) -> int:
        """The bytes of the images of a row group, unpacked, as the footer states them."""
        with self.told(f"row group {group} that its footer does not describe"):
            found = self.file.metadata.row_group(group)
            columns = [found.column(n) for n in range(found.num_columns)]
            sizes = [int(one.total_uncompressed_size) for one in columns if one.path_in_schema == self.column]
        return sum(sizes)

    @contextmanager
    def told(self, found: str) -> Iterator[None]:
        """What pyarrow raises on damage, as a FormatError that names the file; a disk that fails is left as it is."""
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
    """The Parquet files that are open and the row groups last decoded, some 64 MB of them; threads may share it."""

    def __init__(self, files: Descriptors):
        self._files = files
        self._shards: OrderedDict[str, ParquetShard] = OrderedDict()
        self._decoded: OrderedDict[tuple[str, int], pa.ChunkedArray] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, files: Descriptors) -> RowGroups:
        """Those that are kept with some open files; a process that was forked, whose locks may be held, has its own."""
        found: RowGroups = files.kept.setdefault(f"{__name__} {os.getpid()}", cls(files))
        return found

    def read(self, path: str, row: int) -> bytes | None:
        """The image in a row, counted from 0; None where it has none."""
        shard = self._shard(path)
        group = shard.group_of(row)
        images = self._find(path, group)
        if images is None:
            with shard.lock:  # threads that want one row group wait for one decoding of it
                images = self._find(path, group)
                if images is None:
                    images, _ = shard.images(group)
                    self._keep(path, group, images)
        value: bytes | None = images[row - shard.starts[group]].as_py()
        return value

    def _shard(self, path: str) -> ParquetShard:
        with self._lock:
            shard = self._shards.get(path)
        if shard is None:
            shard = ParquetShard(self._files, path)
        with self._lock:
            shard = self._shards.setdefault(path, shard)
            self._shards.move_to_end(path)
            if len(self._shards) > _FILES:
                self._shards.popitem(last=False)
        return shard

    def _find(self, path: str, group: int) -> pa.ChunkedArray | None:
        with self._lock:
            if (path, group) not in self._decoded:
                return None
            self._decoded.move_to_end((path, group))
            return self._decoded[path, group]

    def _keep(self, path: str, group: int, images: pa.ChunkedArray) -> None:
        with self._lock:
            self._decoded[path, group] = images
            while len(self._decoded) > 1 and sum(one.nbytes for one in self._decoded.values()) > _KEPT:
                self._decoded.popitem(last=False)


def image_column(schema: pq.ParquetSchema) -> str | None:
    """The leaf of a file's columns that holds the bytes of its images: `image.bytes`, else the first x.bytes that
    stands beside an x.path; None where there is none, or one in lists.
    """
    leaves = {(leaf := schema.column(n)).path: leaf for n in range(len(schema))}
    pairs = (path for path in ("image.bytes", *leaves) if path.endswith(".bytes") and f"{path[:-5]}path" in leaves)
    leaf = next((leaves[path] for path in pairs if path in leaves), None)
    if leaf is None or leaf.physical_type != "BYTE_ARRAY" or leaf.max_repetition_level:
        return None
    path: str = leaf.path
    return path


def leaf_of(table: pa.Table, path: str) -> pa.ChunkedArray:
    """A column of a table by the path of its leaf, such as image.bytes; null where a struct around it is."""
    import pyarrow.compute as pc

    top = next(name for name in table.column_names if path == name or path.startswith(f"{name}."))
    inside = path[len(top) + 1 :].split(".") if path != top else []
    return pc.struct_field(table.column(top), inside) if inside else table.column(top)
