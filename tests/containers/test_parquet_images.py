"""Images in Parquet files are what pyarrow wrote, by row and in any order; damage is said with the file's name."""

import contextlib
import io
import os
import threading
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagenet_tools.containers import parquet_images
from imagenet_tools.containers.parquet_images import ParquetShard, RowGroups, image_column
from imagenet_tools.containers.payload import Place, read, reading_order
from imagenet_tools.errors import FormatError, SourceError
from imagenet_tools.storage.blob import Descriptors
from tests.examples import examples

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def table(values: list[bytes | None]) -> pa.Table:
    rows = [None if value == b"no struct" else {"bytes": value, "path": str(n)} for n, value in enumerate(values)]
    return pa.table({"label": list(range(len(values))), "image": pa.array(rows, IMAGE)})


def place(path: Path, row: int, length: int) -> Place:
    return Place(path, None, length, None, row, "parquet")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each row group was decoded."""
    counts: Counter[int] = Counter()
    original = pq.ParquetFile.read_row_group

    def counting(self: pq.ParquetFile, group: int, **options: object) -> pa.Table:
        counts[group] += 1
        return original(self, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counting)
    return counts


VALUES = [None, b"no struct", b"", b"x" * 3000, *(bytes([n]) * n for n in range(60)), b"x" * 3000, os.urandom(70_000)]


@pytest.mark.parametrize("group", [1, 7, 1000])
@pytest.mark.parametrize("options", [
    {"compression": "none", "use_dictionary": False},
    {"compression": "snappy", "data_page_size": 64, "write_batch_size": 3},
    {"compression": "gzip", "data_page_version": "2.0", "write_page_checksum": True},
    {"compression": "zstd", "use_dictionary": False, "column_encoding": {"image.bytes": "DELTA_BYTE_ARRAY"}},
])  # fmt: skip
def test_every_row_is_read_whatever_the_writer_chose(group: int, options: dict[str, object], tmp_path: Path) -> None:
    pq.write_table(table(VALUES), tmp_path / "x.parquet", row_group_size=group, **options)
    expected = [None if value == b"no struct" else value for value in VALUES]
    with Descriptors() as files:
        groups = RowGroups.of(files)
        shuffled = sorted(range(len(VALUES)), key=lambda row: row * 29 % len(VALUES))
        assert [groups.read(str(tmp_path / "x.parquet"), row) for row in shuffled] == [expected[n] for n in shuffled]
        shard = ParquetShard(files, str(tmp_path / "x.parquet"))
        columns = [shard.images(n, ("image.path", "label")) for n in shard.groups]
        assert [value for images, _ in columns for value in images.to_pylist()] == expected
        assert [value for _, (_, labels) in columns for value in labels.to_pylist()] == list(range(len(VALUES)))


def test_rows_in_their_order_cost_one_decoding_a_row_group(tmp_path: Path, decoded: Counter[int]) -> None:
    values = [os.urandom(1000) for _ in range(60)]
    pq.write_table(table(values), tmp_path / "x.parquet", row_group_size=20)
    places = [place(tmp_path / "x.parquet", n, 1000) for n in range(60)]
    with Descriptors() as files:
        shuffled = sorted(places, key=lambda one: (one.position or 0) * 7 % 60)
        for one in sorted(shuffled, key=reading_order):
            assert read(one, files) == values[one.position or 0]
    assert decoded == {0: 1, 1: 1, 2: 1}


def test_what_is_kept_is_bounded_in_bytes(
    tmp_path: Path, decoded: Counter[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_images, "_MAX_DECODED_BYTES", 50_000)
    values = [os.urandom(1000) for _ in range(60)]
    pq.write_table(table(values), tmp_path / "x.parquet", row_group_size=20)
    with Descriptors() as files:
        for row in (0, 20, 40, 41, 21, 1):  # two row groups of 20,000 bytes fit, a third does not
            assert read(place(tmp_path / "x.parquet", row, 1000), files) == values[row]
    assert decoded == {0: 2, 1: 1, 2: 1}
    monkeypatch.setattr(parquet_images, "_MAX_DECODED_BYTES", 0)  # below one row group: the last is kept
    with Descriptors() as files:
        for row in (0, 1, 2):
            assert read(place(tmp_path / "x.parquet", row, 1000), files) == values[row]
    assert decoded[0] == 3


def test_threads_share_one_decoding(tmp_path: Path, decoded: Counter[int]) -> None:
    values = [bytes([n]) * 50_000 for n in range(100)]
    pq.write_table(table(values), tmp_path / "x.parquet", row_group_size=50)
    wrong: list[int] = []
    with Descriptors() as files:

        def work(first: int) -> None:
            for row in [*range(first, 100), *range(first)]:
                if read(place(tmp_path / "x.parquet", row, 50_000), files) != values[row]:
                    wrong.append(row)

        threads = [threading.Thread(target=work, args=(first,)) for first in (0, 25, 50, 99)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert decoded == {0: 1, 1: 1}


def test_a_forked_process_reads_on(tmp_path: Path) -> None:
    values = [bytes([n]) * 500 for n in range(40)]
    pq.write_table(table(values), tmp_path / "x.parquet", row_group_size=20)
    with Descriptors() as files:
        assert read(place(tmp_path / "x.parquet", 3, 500), files) == values[3]
        with RowGroups.of(files)._lock:  # as another thread of the parent may hold it
            child = os.fork()
            if child == 0:
                same = read(place(tmp_path / "x.parquet", 30, 500), files) == values[30]
                os._exit(0 if same else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_a_file_that_has_changed_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(table([b"abc", b"defg", None]), path)
    with Descriptors() as files:
        for row in (0, 2):
            with pytest.raises(SourceError, match="expected 5"):
                read(place(path, row, 5), files)
        with pytest.raises(SourceError, match="3 rows, expected a row 3"):
            read(place(path, 3, 5), files)
        with pytest.raises(SourceError, match="--root"):
            read(place(tmp_path / "gone.parquet", 2, 5), files)


def test_the_column_of_images_is_told_by_its_kind() -> None:
    def found(**columns: pa.DataType) -> str | None:
        sink = io.BytesIO()
        pq.write_table(pa.schema(columns.items()).empty_table(), sink)
        return image_column(pq.ParquetFile(sink).schema)

    assert found(label=pa.int64(), image=IMAGE) == "image.bytes"
    assert found(thumbnail=IMAGE, image=IMAGE) == "image.bytes"
    assert found(img=IMAGE) == "img.bytes"
    assert found(image=pa.binary(), path=pa.string()) is None
    assert found(image=pa.struct([("bytes", pa.int64()), ("path", pa.string())])) is None
    assert found(images=pa.list_(IMAGE)) is None


def test_a_checksum_that_was_written_is_held(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    options = {"compression": "none", "use_dictionary": False}
    pq.write_table(table([b"first", b"second"]), path, write_page_checksum=True, **options)
    path.write_bytes(path.read_bytes().replace(b"second", b"Second"))
    with Descriptors() as files, pytest.raises(FormatError, match="checksum") as error:
        read(place(path, 0, 5), files)
    assert error.value.code == "parquet_damaged"
    assert str(path) in str(error.value)


def test_a_row_group_too_large_for_memory_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_images, "_MAX_GROUP_BYTES", 1000)
    pq.write_table(table([os.urandom(600)] * 2), tmp_path / "x.parquet", use_dictionary=False)
    with Descriptors() as files, pytest.raises(FormatError, match="in row groups of some 100 rows"):
        read(place(tmp_path / "x.parquet", 0, 600), files)


def test_a_disk_that_fails_is_no_damage(tmp_path: Path) -> None:
    pq.write_table(table([b"abc"]), tmp_path / "x.parquet")
    with Descriptors() as files:
        shard = ParquetShard(files, str(tmp_path / "x.parquet"))
        with pytest.raises(OSError, match="Input/output error"), shard.damage_as_error("anything"):
            raise OSError(5, "Input/output error")


def test_a_flipped_bit_in_the_schema_does_not_end_the_process(tmp_path: Path) -> None:
    """The columns contradict the schema then, and pyarrow 26 aborts where their metadata are asked for."""
    path = tmp_path / "x.parquet"
    pq.write_table(table([bytes([n]) * (5 * n) for n in range(40)]), path, row_group_size=10)
    whole = path.read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for place_of_bit in (19, 20, 29, 43, 55):
        damaged = bytearray(whole)
        damaged[footer + place_of_bit] ^= 1
        path.write_bytes(damaged)
        with Descriptors() as files, contextlib.suppress(SourceError):
            read(place(path, 0, 0), files)


@examples(80, many=400)
@given(data=st.data())
def test_damage_is_an_error_of_ours_that_names_the_file(tmp_path_factory, data) -> None:
    values = [bytes([n]) * (5 * n) for n in range(40)]
    path = tmp_path_factory.mktemp("damage") / "x.parquet"
    checked = data.draw(st.booleans())
    pq.write_table(table(values), path, row_group_size=10, data_page_size=200, write_page_checksum=checked)
    whole = bytearray(path.read_bytes())
    flipped = data.draw(st.integers(4, len(whole) - 1))
    whole[flipped] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole[: data.draw(st.sampled_from([len(whole), flipped]))])
    with Descriptors() as files:
        for row in range(0, 40, 5):
            try:
                read(place(path, row, 5 * row), files)
            except SourceError as error:
                assert str(path) in str(error)
