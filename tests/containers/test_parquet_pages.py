"""Values of a Parquet column by page are what pyarrow reads by row group, whatever the writer chose."""

import io
import os
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagenet_tools.containers.blob import Descriptors
from imagenet_tools.containers.parquet_pages import Column, image_column
from imagenet_tools.containers.payload import Place, read
from imagenet_tools.errors import FormatError, ImagenetToolsError, SourceError

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def table(values: list[bytes | None]) -> pa.Table:
    rows = [None if value == b"no struct" else {"bytes": value, "path": str(n)} for n, value in enumerate(values)]
    return pa.table({"label": list(range(len(values))), "image": pa.array(rows, IMAGE)})


def values_of(path: Path) -> list[bytes | None]:
    with Descriptors() as files:
        return [None if value is None else bytes(value) for value in Column(files, str(path))]


VALUES = st.lists(
    st.one_of(st.none(), st.just(b"no struct"), st.binary(max_size=40), st.sampled_from([b"x" * 3000, b"same"])),
    max_size=60,
)


@settings(deadline=None, max_examples=150)
@given(
    values=VALUES,
    compression=st.sampled_from(["none", "snappy", "gzip", "zstd", "brotli", "lz4"]),
    dictionary=st.booleans(),
    version=st.sampled_from(["1.0", "2.0"]),
    page=st.sampled_from([64, 1000, 1 << 20]),
    group=st.sampled_from([1, 7, 1000]),
    encoding=st.sampled_from([None, "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]),
    checksum=st.booleans(),
    data=st.data(),
)
def test_every_row_is_read_as_pyarrow_reads_it(
    tmp_path_factory, values, compression, dictionary, version, page, group, encoding, checksum, data
) -> None:
    path = tmp_path_factory.mktemp("pages") / "x.parquet"
    pq.write_table(
        table(values),
        path,
        compression=compression,
        use_dictionary=dictionary and encoding is None,
        data_page_version=version,
        data_page_size=page,
        dictionary_pagesize_limit=200,
        write_batch_size=5,
        row_group_size=group,
        column_encoding={"image.bytes": encoding} if encoding else None,
        write_page_checksum=checksum,
        write_statistics=data.draw(st.booleans()),
    )
    expected = [None if value == b"no struct" else value for value in values]
    assert values_of(path) == expected
    with Descriptors() as files:
        for row in data.draw(st.lists(st.integers(0, len(values) - 1), max_size=20)) if values else []:
            value = expected[row]
            place = Place(path, None, len(value or b""), None, row, "parquet")
            assert read(place, files) == (value or b"")


def test_a_column_without_nulls_has_no_levels(tmp_path: Path) -> None:
    struct = pa.struct([pa.field("bytes", pa.binary(), nullable=False), pa.field("path", pa.string(), nullable=False)])
    schema = pa.schema([pa.field("image", struct, nullable=False)])
    rows = [{"bytes": bytes([n]) * n, "path": ""} for n in range(200)]
    pq.write_table(pa.Table.from_pylist([{"image": row} for row in rows], schema), tmp_path / "x.parquet")
    assert values_of(tmp_path / "x.parquet") == [row["bytes"] for row in rows]


def test_one_row_costs_a_page_and_not_the_row_group(tmp_path: Path) -> None:
    values = [os.urandom(100_000) for _ in range(200)]
    # As Hugging Face's library writes since its version 4: 20 MB in one row group, pages cut by content.
    pq.write_table(table(values), tmp_path / "x.parquet", compression="snappy", use_content_defined_chunking=True)

    class Counting(Descriptors):
        n = 0

        def read(self, path: str | os.PathLike[str], offset: int, length: int) -> bytes:
            self.n += length
            return super().read(path, offset, length)

    with Counting() as files:
        place = Place(tmp_path / "x.parquet", None, 100_000, None, 150, "parquet")
        assert read(place, files) == values[150]
        assert files.n < 1_600_000
        before = files.n
        for row in range(150, 160):
            assert read(place._replace(position=row), files) == values[row]
        assert files.n - before < 2_500_000


def test_threads_share_what_is_open(tmp_path: Path) -> None:
    values = [bytes([n]) * 50_000 for n in range(100)]
    pq.write_table(table(values), tmp_path / "x.parquet", use_dictionary=False)
    wrong: list[int] = []
    with Descriptors() as files:

        def work(first: int) -> None:
            for row in [*range(first, 100), *range(first)]:
                if read(Place(tmp_path / "x.parquet", None, 50_000, None, row, "parquet"), files) != values[row]:
                    wrong.append(row)

        threads = [threading.Thread(target=work, args=(first,)) for first in (0, 25, 50, 99)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_file_that_has_changed_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(table([b"abc", b"defg"]), path)
    with Descriptors() as files:
        with pytest.raises(SourceError, match="expected 5"):
            read(Place(path, None, 5, None, 0, "parquet"), files)
        with pytest.raises(SourceError, match="2 rows, expected a row 2"):
            read(Place(path, None, 5, None, 2, "parquet"), files)
        with pytest.raises(SourceError, match="--root"):
            read(Place(tmp_path / "gone.parquet", None, 5, None, 2, "parquet"), files)


def test_the_column_of_images_is_told_by_its_kind() -> None:
    def found(**columns: pa.DataType) -> int | None:
        sink = io.BytesIO()
        pq.write_table(pa.schema(columns.items()).empty_table(), sink)
        return image_column(pq.ParquetFile(sink).schema)

    assert found(label=pa.int64(), image=IMAGE) == 1
    assert found(thumbnail=IMAGE, image=IMAGE) == 2
    assert found(img=IMAGE) == 0
    assert found(image=pa.binary(), path=pa.string()) is None
    assert found(image=pa.struct([("bytes", pa.int64()), ("path", pa.string())])) is None


def test_a_checksum_that_was_written_is_held(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    options = {"compression": "none", "use_dictionary": False}
    pq.write_table(table([b"first", b"second"]), path, write_page_checksum=True, **options)
    path.write_bytes(path.read_bytes().replace(b"second", b"Second"))
    with pytest.raises(FormatError, match="checksum") as error:
        values_of(path)
    assert error.value.code == "parquet_damaged"


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_damage_is_an_error_of_ours_or_leaves_the_other_values_right(tmp_path_factory, data) -> None:
    values = [bytes([n]) * (5 * n) for n in range(40)]
    path = tmp_path_factory.mktemp("damage") / "x.parquet"
    pq.write_table(
        table(values), path, data_page_size=200, write_batch_size=3, write_page_checksum=data.draw(st.booleans())
    )
    whole = bytearray(path.read_bytes())
    place = data.draw(st.integers(4, len(whole) - 9))
    whole[place] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.sampled_from([len(whole), place]))])
    try:
        values_of(path)
    except ImagenetToolsError as error:
        assert isinstance(error, FormatError | SourceError)
