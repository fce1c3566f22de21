"""Single values of a column of bytes in Parquet files, by page: one page is read, not its row group.

    PAR1
    row group         rows, column by column
        column chunk
            page header       Thrift's compact protocol: kind, sizes, number of values, encoding, crc32
            dictionary page   perhaps: values that the pages after it name by number
            page header
            page              definition levels, then values; compressed as a whole
            page header ...
    footer            where each column chunk lies; read by pyarrow
    PAR1

pyarrow reads row groups alone. Where pages are cut by content, as Hugging Face's library does since its version 4,
they have about 1 MB, and an image costs a thousandth of its row group; older files of 100 rows a row group have one
page in each. Of what pyarrow decodes this is a part: a column outside of lists, encoded PLAIN or by dictionary; a row
group of any other kind is left to pyarrow. Layout: Apache Parquet, 2.x.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.containers.thrift import Struct, read_struct, read_varint
from imagenet_tools.errors import FormatError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow.parquet as pq

    from imagenet_tools.containers.blob import Descriptors

# Bytes of a page that is decoded, and what is read where a row has no value.
Value = memoryview | None

_DATA, _INDEX, _DICTIONARY, _DATA_V2 = range(4)  # kinds of page
_PLAIN, _PLAIN_DICTIONARY, _RLE, _RLE_DICTIONARY = 0, 2, 3, 8  # encodings
_CODECS = {"UNCOMPRESSED": "", "SNAPPY": "snappy", "GZIP": "gzip", "BROTLI": "brotli", "ZSTD": "zstd"}

# What a page may swell to: 1,024 images that pyarrow writes at once make one of 112 MB.
_LARGEST = 512 << 20
# Headers are some 30 bytes; statistics, which may repeat two whole values, make them longer.
_HEADER, _HEADER_LIMIT = 256, 1 << 20


class _Page(NamedTuple):
    first: int  # row of the file that it begins with
    rows: int
    offset: int  # of its body, bytes; -1: the whole row group, by pyarrow
    header: Struct
    group: int


class Column:
    """The images of one Parquet file, by row: the leaf `bytes` of its column of images."""

    def __init__(self, files: Descriptors, path: str):
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._files, self._path = files, path
        files.read(path, 0, 4)  # says what a user should hear where the file is gone
        try:
            self._file: pq.ParquetFile = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(f"no readable footer ({error})") from error
        self._meta = self._file.metadata
        column = image_column(self._file.schema)
        if column is None:
            raise self._damaged("no column of images")
        self._leaf = column
        self._levels = self._file.schema.column(column).max_definition_level
        lengths = [self._meta.row_group(n).num_rows for n in range(self._meta.num_row_groups)]
        self._starts = [sum(lengths[:n]) for n in range(len(lengths) + 1)]
        self._of_group: dict[int, list[_Page]] = {}
        self._dictionary: tuple[int, Sequence[Value]] = (-1, ())

    def __iter__(self) -> Iterator[Value]:
        """The image of every row, in order; FormatError after the last whole page before damage."""
        for group in range(len(self._starts) - 1):
            for page in self._pages(group):
                yield from self.decode(page)

    def page_of(self, row: int) -> _Page:
        """The page that a row lies in."""
        group = bisect_right(self._starts, row) - 1
        if not 0 <= group < len(self._starts) - 1:
            message = f"{self._path}: found {self._starts[-1]:,} rows, expected a row {row:,}: the source has changed "
            raise SourceError(message + "since it was indexed. Build the index again with it.")
        pages = self._pages(group)
        return pages[bisect_right(pages, row, key=lambda page: page.first) - 1]

    # ---- pages

    def _pages(self, group: int) -> list[_Page]:
        """The data pages of a row group, from one small read a page."""
        found = self._of_group.get(group)
        if found is None:
            found = self._of_group[group] = self._walk(group)
        return found

    def _walk(self, group: int) -> list[_Page]:
        whole = [_Page(self._starts[group], self._starts[group + 1] - self._starts[group], -1, {}, group)]
        chunk = self._meta.row_group(group).column(self._leaf)
        if self._file.schema.column(self._leaf).max_repetition_level or chunk.compression not in _CODECS:
            return whole
        place = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
        end = place + chunk.total_compressed_size
        if not 0 <= place <= end <= Path(self._path).stat().st_size:
            raise self._damaged(f"a column from byte {place:,} to {end:,}")
        pages: list[_Page] = []
        row = self._starts[group]
        while row < self._starts[group + 1]:
            header, offset = self._header(place, end)
            place = offset + header[3]
            if place > end or not 0 <= header[2] <= _LARGEST or header[3] < 0:
                raise self._damaged(f"a page of {header[3]:,} bytes at byte {offset:,}")
            if header[1] == _DICTIONARY:
                pages.append(_Page(row, 0, offset, header, group))
            elif header[1] in {_DATA, _DATA_V2}:
                about = header[5 if header[1] == _DATA else 8]
                encoding = about[2 if header[1] == _DATA else 4]
                if encoding not in {_PLAIN, _PLAIN_DICTIONARY, _RLE_DICTIONARY}:
                    return whole
                if about[1] < 1:
                    raise self._damaged(f"a page of {about[1]} rows at byte {offset:,}")
                pages.append(_Page(row, about[1], offset, header, group))
                row += about[1]
        if row != self._starts[group + 1]:
            raise self._damaged(f"pages of {row:,} rows, not {self._starts[group + 1]:,}")
        return pages

    def _header(self, place: int, end: int) -> tuple[Struct, int]:
        """(the page header at a byte, where its page begins)."""
        size = _HEADER
        while True:
            data = self._files.read(self._path, place, max(min(size, end - place), 0))
            try:
                header, used = read_struct(data, 0)
            except IndexError:
                if size < min(end - place, _HEADER_LIMIT):
                    size *= 8
                    continue
                raise self._damaged(f"no page header at byte {place:,}") from None
            kind = header.get(1)
            about = header.get({_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}.get(kind, 1)) if isinstance(kind, int) else None
            whole = isinstance(about, dict) and isinstance(about.get(1), int)
            if not (whole or kind == _INDEX) or not all(isinstance(header.get(n), int) for n in (2, 3)):
                raise self._damaged(f"no page header at byte {place:,}")
            return header, place + used

    # ---- values

    def decode(self, page: _Page) -> Sequence[Value]:
        """The values of the rows of a page, in order."""
        if page.offset < 0:
            return self._by_pyarrow(page.group)
        header = page.header
        if header[1] == _DICTIONARY:
            return ()
        try:
            body = self._body(page)
            if header[1] == _DATA:
                encoding, place = header[5][2], 0
                if self._levels:
                    place = 4 + int.from_bytes(body[:4], "little")
                levels = body[4:place]
            else:
                encoding, place = header[8][4], header[8][5] + header[8][6]
                levels = body[header[8][6] : place]
            defined = _hybrid(levels, self._levels.bit_length(), page.rows) if self._levels else [0] * page.rows
            n = defined.count(self._levels)
            if encoding == _PLAIN:
                values = _plain(body[place:], n)
            else:
                named = self._named(page.group)
                values = [named[number] for number in _hybrid(body[place + 1 :], body[place], n)] if n else []
        except (IndexError, KeyError, OSError, zlib.error) as error:
            raise self._damaged(f"a page at byte {page.offset:,} that cannot be decoded ({error})") from error
        if n == page.rows:
            return values
        filled = iter(values)
        return [next(filled) if level == self._levels else None for level in defined]

    def _body(self, page: _Page) -> memoryview:
        """The bytes of a page, unpacked; its levels included."""
        import pyarrow as pa

        header = page.header
        data = self._files.read(self._path, page.offset, header[3])
        if isinstance(header.get(4), int) and zlib.crc32(data) != header[4] & 0xFFFFFFFF:
            raise self._damaged(f"a page at byte {page.offset:,} whose checksum is wrong")
        codec = _CODECS[self._meta.row_group(page.group).column(self._leaf).compression]
        bare = b""
        if header[1] == _DATA_V2:  # levels stand before what is compressed
            size = header[8][5] + header[8][6]
            bare, data = data[:size], data[size:]
            codec = codec if header[8].get(7, True) else ""
        if codec and data:
            size = header[2] - len(bare)
            data = pa.Codec(codec).decompress(data, decompressed_size=size, asbytes=not bare)
        return memoryview(bare + data if bare else data)

    def _named(self, group: int) -> Sequence[Value]:
        """The values of a row group's dictionary, kept until another's is asked for."""
        if self._dictionary[0] != group:
            page = next(page for page in self._pages(group) if page.header[1] == _DICTIONARY)
            self._dictionary = (group, _plain(self._body(page), page.header[7][1]))
        return self._dictionary[1]

    def _by_pyarrow(self, group: int) -> Sequence[Value]:
        import pyarrow as pa

        try:
            table = self._file.read_row_group(group, columns=[self._file.schema.column(self._leaf).path])
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(f"a row group that cannot be decoded ({error})") from error
        column = table.column(0)
        while pa.types.is_struct(column.type):
            column = pa.chunked_array([part.flatten()[0] for part in column.chunks])
        return [None if value is None else memoryview(value) for chunk in column.chunks for value in chunk.to_pylist()]

    def _damaged(self, found: str) -> FormatError:
        message = f"{self._path}: found {found}; expected Parquet as its writer left it. Fetch or copy it again."
        return FormatError(message, code="parquet_damaged")


def image_column(schema: pq.ParquetSchema) -> int | None:
    """The place among a file's leaves of the bytes of its images: of `image.bytes`, else of the first x.bytes that
    stands beside an x.path; None where there is none.
    """
    paths = {schema.column(n).path: n for n in range(len(schema))}
    pairs = (path for path in ("image.bytes", *paths) if path.endswith(".bytes") and f"{path[:-5]}path" in paths)
    found = next((path for path in pairs if path in paths), None)
    return None if found is None or schema.column(paths[found]).physical_type != "BYTE_ARRAY" else paths[found]


def _plain(data: memoryview, n: int) -> list[Value]:
    """n values, each behind its length of 4 bytes; IndexError where the bytes end before."""
    values: list[Value] = []
    place = 0
    for _ in range(n):
        start = place + 4
        place = start + int.from_bytes(data[start - 4 : start], "little")
        if start > len(data) or place > len(data):
            raise IndexError(place)
        values.append(data[start:place])
    return values


def _hybrid(data: Sequence[int], width: int, n: int) -> list[int]:
    """n numbers of `width` bits, from runs of one number and runs of packed ones; IndexError where the bytes end."""
    numbers: list[int] = []
    place = 0
    mask = (1 << width) - 1
    while len(numbers) < n:
        run, place = read_varint(data, place)
        if run & 1:
            count = min((run >> 1) * 8, n - len(numbers))
            size = (run >> 1) * width
            packed = int.from_bytes(bytes(data[place : place + (count * width + 7) // 8]), "little")
            numbers += [packed >> (k * width) & mask for k in range(count)]
        else:
            size = (width + 7) // 8
            number = int.from_bytes(bytes(data[place : place + size]), "little")
            numbers += [number] * min(run >> 1, n - len(numbers))
        place += size
        if place > len(data) or not run >> 1:
            raise IndexError(place)
    return numbers
