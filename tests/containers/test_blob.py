"""Byte ranges are read exactly, or the error says which source has changed."""

import os
import pickle
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagenet_tools.errors import SourceError
from imagenet_tools.storage import blob
from imagenet_tools.text import count_of

DATA = random.Random(0).randbytes(300_000)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.tar"
    path.write_bytes(DATA)
    return path


def read(path: Path, offset: int, length: int) -> bytes:
    with blob.Descriptors(capacity=1) as files:
        return files.read(path, offset, length)


def open_files(folder: Path) -> int:
    """The number of descriptors of files in a folder: other tests' leftovers may be closed at any time."""
    return sum(fd.readlink().is_relative_to(folder) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink())


@settings(deadline=None, max_examples=50)
@given(offset=st.integers(0, len(DATA)), length=st.integers(0, len(DATA)))
def test_a_range_is_read_and_copied_exactly_or_refused(
    tmp_path_factory: pytest.TempPathFactory, offset: int, length: int
) -> None:
    folder = tmp_path_factory.mktemp("range")
    (folder / "source").write_bytes(DATA)
    expected = DATA[offset : offset + length]
    out = os.open(folder / "out", os.O_RDWR | os.O_CREAT)
    with blob.Descriptors() as files:
        if len(expected) < length:
            found = count_of(len(expected), "byte")
            message = f"found {found} from byte {offset} on, expected {length:,}: the source has changed"
            with pytest.raises(SourceError, match=message):
                read(folder / "source", offset, length)
            with pytest.raises(SourceError, match=message):
                files.copy_to(folder / "source", offset, length, out)
        else:
            assert read(folder / "source", offset, length) == expected
            files.copy_to(folder / "source", offset, length, out)
            assert (folder / "out").read_bytes() == expected
    os.close(out)


def test_copies_follow_one_another(source: Path, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb", buffering=0) as out, blob.Descriptors() as files:
        for offset in (100, 5, 200_000):
            out.write(b"|")
            files.copy_to(source, offset, 50_000, out.fileno())
    parts = [DATA[offset : offset + 50_000] for offset in (100, 5, 200_000)]
    assert (tmp_path / "out").read_bytes() == b"|" + b"|".join(parts)


def test_what_the_kernel_cannot_copy_is_read_and_written(source: Path, tmp_path: Path) -> None:
    # sendfile refuses a file that is only appended to.
    out = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with blob.Descriptors() as files:
        files.copy_to(source, 7, 250_000, out)
        with pytest.raises(SourceError, match="has changed"):
            files.copy_to(source, 7, 300_000, out)
    os.close(out)
    assert (tmp_path / "out").read_bytes()[:250_000] == DATA[7:250_007]


def test_a_pipe_takes_a_copy_too(source: Path) -> None:
    reader, writer = os.pipe()
    got: list[bytes] = []

    def drain() -> None:
        while part := os.read(reader, 65_536):
            got.append(part)

    thread = threading.Thread(target=drain)
    thread.start()
    with blob.Descriptors() as files:
        files.copy_to(source, 1, 200_000, writer)
    os.close(writer)
    thread.join()
    os.close(reader)
    assert b"".join(got) == DATA[1:200_001]


def test_a_missing_source_says_what_to_do(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.tar", tmp_path / "gone" / "gone.tar"):
        with pytest.raises(SourceError, match=r"no file .*gone\.tar.*--root NAME=PATH"):
            read(path, 0, 1)


def test_a_length_that_cannot_be_does_not_ask_for_its_memory(source: Path) -> None:
    with pytest.raises(SourceError, match="has changed"):
        read(source, 0, 1 << 60)


def test_a_folder_in_place_of_a_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        read(tmp_path, 0, 1)
    assert caught.value.filename == str(tmp_path)


def test_memory_is_filled_with_a_range_or_the_source_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(bytes(range(256)) * 40)
    room = memoryview(bytearray(300))
    with blob.Descriptors() as files:
        files.read_into(path, 200, room[10:290])
        assert bytes(room) == bytes(10) + path.read_bytes()[200:480] + bytes(10)
        with pytest.raises(SourceError, match="found 240 bytes from byte 10000 on, expected 300"):
            files.read_into(path, 10_000, room)


def test_no_more_files_stay_open_than_the_capacity(tmp_path: Path) -> None:
    paths = [tmp_path / str(n) for n in range(10)]
    for n, path in enumerate(paths):
        path.write_bytes(bytes([n]) * 10)
    before = open_files(tmp_path)
    with blob.Descriptors(capacity=3) as files:
        for _ in range(2):
            assert [files.read(path, 2, 1)[0] for path in paths] == list(range(10))
            assert open_files(tmp_path) == before + 3
    assert open_files(tmp_path) == before
    assert read(paths[0], 0, 1) == b"\0"
    assert open_files(tmp_path) == before


def test_the_file_used_last_stays_open(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode())
    with blob.Descriptors(capacity=2) as files:
        for name in "abac":  # c takes the place of b
            files.read(tmp_path / name, 0, 1)
        for name in "abc":
            (tmp_path / name).unlink()
        assert [files.read(tmp_path / name, 0, 1) for name in "ac"] == [b"a", b"c"]
        with pytest.raises(SourceError):
            files.read(tmp_path / "b", 0, 1)


def test_descriptors_go_to_another_process_empty(source: Path) -> None:
    with blob.Descriptors(capacity=7) as files:
        files.read(source, 0, 1)
        before = open_files(source.parent)
        arrived = pickle.loads(pickle.dumps(files))
        assert open_files(source.parent) == before
        assert arrived.read(source, 3, 4) == DATA[3:7]
        arrived.close()


def test_threads_share_descriptors_while_files_come_and_go(tmp_path: Path) -> None:
    paths = [tmp_path / str(n) for n in range(8)]
    for n, path in enumerate(paths):
        path.write_bytes(bytes([n]) * 5000)
    with blob.Descriptors(capacity=2) as files, ThreadPoolExecutor(8) as pool:

        def right(n: int) -> bool:
            return files.read(paths[n % 8], n % 1000, 4000) == bytes([n % 8]) * 4000

        assert all(pool.map(right, range(2000)))
