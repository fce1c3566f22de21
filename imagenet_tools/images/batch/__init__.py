"""Scan many images of a tar or of a folder together: the only door to the faster twin of the scans.

`scan_members` and `scan_files` add the same rows, in the same order, as adding each image by itself;
tests/images/test_plain_images.py checks that. They read the first bytes of up to 1,024 members (`tar_batch`) or 256
files into one buffer, and read their JPEG headers together (`jpeg_batch`). Images with plain names become columns:
n01440764_10026.JPEG in a source where such a name states image id, photograph and class. All other images are added
one by one.

A twin stays if it brings 1.5x or more end to end. `make bench` holds both in one process: 2.4x for 1.4 million small
images in a tar of class tars, 3 to 4x for class folders on a disk. By hand, two cores, CPU seconds of
build_index(workers=2) on small JPEGs, best of 3, batch against one by one:

    class tars, 100,000 images      1.22 s against 2.12 s   1.74x; 1.60x under load
      without jpeg_batch            1.22 s against 1.70 s   1.40x
      without the columns           1.22 s against 1.79 s   1.47x
    class folders, 100,000 images   2.6 s against 3.3 s     1.2x, by one worker: opening each file dominates
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import numpy as np

from imagenet_tools import system
from imagenet_tools.containers.gzip_stream import GZIP_MAGIC
from imagenet_tools.containers.tar_header import BLOCK
from imagenet_tools.images.batch import tar_batch
from imagenet_tools.images.batch.jpeg_batch import NONE, read_headers
from imagenet_tools.images.image_rows import HEAD
from imagenet_tools.images.jpeg import MODES, reader_at
from imagenet_tools.images.probe import probe
from imagenet_tools.schema import arrow_schema
from imagenet_tools.storage.blob import read_buffer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any, Protocol

    import pyarrow as pa
    from numpy.typing import NDArray

    from imagenet_tools.containers.tar import Member
    from imagenet_tools.images.batch.jpeg_batch import HeaderBatch
    from imagenet_tools.images.batch.tar_batch import MemberBatch
    from imagenet_tools.images.image_rows import ImageRows
    from imagenet_tools.images.jpeg import ImageFacts, More
    from imagenet_tools.storage.blob import ReadBuffer
    from imagenet_tools.units import Unit

    Numbers = NDArray[np.int64]
    Names = NDArray[np.uint8]  # a row for each name: its first _NAME_BYTES bytes; 0 ends it, anything may follow

    class AddMember(Protocol):
        """A function that adds any member by itself."""

        def __call__(self, member: Member, head: bytes, more: More, *, facts: ImageFacts | None = None) -> None:
            """Add a member, with its facts if they are known."""


_MIN_RUN = 32  # fewer plain members between two that are not plain are no faster as columns

_MAX_FILES = 256  # open at once

# Batches of files that the threads of a process have open at a time: one is read while another is parsed. More files
# would exceed the usual limit of 1,024 descriptors.
_open_batches = threading.BoundedSemaphore(2)

# Files of a folder are opened and read by threads if the first ones took this long to open: a network file system, or a
# disk from which inodes are read. From memory it takes 4 us.
_MAX_REQUESTS = 16
_TRIED_FILES = 2
_SLOW_SECONDS = 200e-6
_READ = os.O_RDONLY | os.O_CLOEXEC
_PLAIN_NAME = re.compile(r"(n\d{8})_\d{1,16}\.JPEG", re.ASCII)

_NAME_BYTES = 32  # longest name that is looked at, with the 0 behind it
_SUFFIX = b".JPEG"
_WNID_BYTES = 9
_PREFIX_BYTES = _WNID_BYTES + 1  # n01440764_

# Pillow's mode by the number of layers, for every number that a header can hold.
_MODES = np.array([MODES.get(layers) for layers in range(256)], np.object_)


def scan_members(rows: ImageRows, fd: int, start: int, end: int, *, ahead: int, add: AddMember) -> Iterator[int]:
    """Add the members of a tar while their headers are plain; yield the place of the next header after each batch.

    Args:
        rows: Where images with plain names are added.
        fd: The open file; the tar begins at byte `start` and ends at `end`.
        start: A file position.
        end: A file position.
        ahead: Bytes read of each member; 0 if facts are not wanted.
        add: Called for every other member, in order.
    """
    with read_buffer() as buffer:
        while (members := tar_batch.read_members(fd, start, end, ahead, buffer)) is not None:
            _add_batch(rows, fd, members, buffer, add)
            start = members.end
            yield start


def scan_files(
    rows: ImageRows,
    folder_fd: int,
    prefix: str,
    entries: Sequence[os.DirEntry[str]],
    *,
    add: Callable[[os.DirEntry[str]], None],
) -> Iterator[None]:
    """Add the files of a folder, and yield after each batch.

    Args:
        rows: Where images with plain names are added.
        folder_fd: The open folder.
        prefix: Its path in the source, with "/" at the end.
        entries: Its files, sorted by name.
        add: Called for every other file, in order.
    """
    takes_plain = rows.takes_plain_names and rows.unit.probed and prefix.isascii()
    with read_buffer() as buffer, ThreadPoolExecutor(_MAX_REQUESTS) as threads:
        for plain, group in itertools.groupby(entries, lambda entry: takes_plain and _is_plain(entry, rows.unit.wnid)):
            files = list(group)
            for first in range(0, len(files), _MAX_FILES):
                some = files[first : first + _MAX_FILES]
                together = plain and len(some) >= _MIN_RUN
                if together:
                    with _open_batches:
                        together = _add_files(rows, folder_fd, prefix, some, buffer, threads)
                if not together:
                    for entry in some:
                        add(entry)
                yield


def _is_plain(entry: os.DirEntry[str], wnid: str | None) -> bool:
    """Return True for a file, not a link, with a plain name; with a wnid, of this class."""
    match = _PLAIN_NAME.fullmatch(entry.name)
    return match is not None and (wnid is None or match[1] == wnid) and entry.is_file(follow_symlinks=False)


def _add_files(
    rows: ImageRows,
    folder_fd: int,
    prefix: str,
    entries: Sequence[os.DirEntry[str]],
    buffer: ReadBuffer,
    threads: ThreadPoolExecutor,
) -> bool:
    """Add files with plain names; return False, and add none, if one cannot be read or is compressed."""
    files = _OpenFiles(folder_fd, entries, buffer)
    try:
        is_slow = files.read_all(threads)
        fds, sizes = files.fds, files.sizes
        start, held, length = np.arange(len(fds)) * HEAD, np.array(files.held), np.array(sizes)
        if (_are_gzipped(buffer, start) & (held >= len(GZIP_MAGIC))).any():
            return False
        headers = read_headers(buffer, start, held, length)

        def probed_row(row: int) -> ImageFacts:
            head = bytes(buffer.raw[start[row] : start[row] + held[row]])
            return probe(head, sizes[row], reader_at(fds[row], 0))

        odd = (~headers.plain).nonzero()[0].tolist()
        probed = dict(zip(odd, (threads.map if is_slow else map)(probed_row, odd), strict=True))
    except OSError:
        return False
    finally:
        files.close()
    names = np.array([entry.name for entry in entries], f"S{_NAME_BYTES}")
    stems = np.char.str_len(names) - len(_SUFFIX)
    columns = _name_columns(rows.unit, names.view(np.uint8).reshape(len(names), _NAME_BYTES), stems)
    columns |= {"file": [prefix + entry.name for entry in entries], "offset": 0, "length": length}
    columns |= _fact_columns(headers, probed)
    rows.add_batch(rows.record_batch("images", len(entries), columns), probed)
    return True


class _OpenFiles:
    """Open files of a folder, whose first HEAD bytes are in a buffer, one after the other."""

    def __init__(self, folder_fd: int, entries: Sequence[os.DirEntry[str]], buffer: ReadBuffer):
        self._folder_fd, self._entries, self._view = folder_fd, entries, buffer.view
        self.fds, self.sizes, self.held = ([-1] * len(entries) for _ in range(3))

    def read_all(self, threads: ThreadPoolExecutor) -> bool:
        """Open and read all files; return True if `threads` did so because opening is slow."""
        numbers = range(len(self.fds))
        if min(self._seconds_to_open(n) for n in numbers[:_TRIED_FILES]) <= _SLOW_SECONDS:
            self._open(numbers[_TRIED_FILES:])
            self._read(numbers)
            return False
        shares = [numbers[n::_MAX_REQUESTS] for n in range(_MAX_REQUESTS)]
        futures = [threads.submit(self._open_and_read, share) for share in shares]
        wait(futures)  # the files may be closed only then
        for future in futures:
            future.result()
        return True

    def _seconds_to_open(self, n: int) -> float:
        start = time.perf_counter()
        self._open([n])
        return time.perf_counter() - start

    def _open_and_read(self, numbers: Sequence[int]) -> None:
        self._open([n for n in numbers if self.fds[n] < 0])
        self._read(numbers)

    def _open(self, numbers: Iterable[int]) -> None:
        folder_fd, entries, advise, willneed = self._folder_fd, self._entries, system.advise, system.WILLNEED
        for n in numbers:
            fd = os.open(entries[n].name, _READ, dir_fd=folder_fd)
            self.fds[n] = fd
            # The disk reads these bytes of many files at once. Without advice the kernel would read 16 KiB or more.
            advise(fd, 0, HEAD, willneed)
            self.sizes[n] = os.lseek(fd, 0, os.SEEK_END)  # a third of the time of fstat

    def _read(self, numbers: Iterable[int]) -> None:
        view, preadv = self._view, system.preadv
        for n in numbers:
            self.held[n] = preadv(self.fds[n], (view[n * HEAD : (n + 1) * HEAD],), 0)

    def close(self) -> None:
        """Close the files that are open."""
        for fd in self.fds:
            if fd >= 0:
                os.close(fd)


def _are_gzipped(buffer: ReadBuffer, start: Numbers) -> NDArray[np.bool_]:
    """Return which of the images that begin at these buffer positions begin as gzip does."""
    gzipped: NDArray[np.bool_] = buffer.words[start] >> 48 & 0xFFFF == int.from_bytes(GZIP_MAGIC, "big")
    return gzipped


def _add_batch(rows: ImageRows, fd: int, members: MemberBatch, buffer: ReadBuffer, add: AddMember) -> None:
    payload = members.header + BLOCK

    def head(row: int) -> bytes:
        return bytes(buffer.raw[payload[row] : payload[row] + members.held[row]])

    def more(row: int) -> More:
        return reader_at(fd, int(members.offset[row]))

    unit, n = rows.unit, len(members.size)
    # A name that ends in a slash makes a member a folder all the same: it is no plain name, and `add` knows it.
    is_file = np.isin(members.kind, tar_batch.FILE_KINDS)
    headers: HeaderBatch | None = None
    plain, lengths = is_file & False, members.size
    if n >= _MIN_RUN:
        names = buffer.bytes[members.header[:, None] + np.arange(_NAME_BYTES)]
        if rows.takes_plain_names:
            plain, lengths = _plain_names(names, unit.wnid)
            plain &= is_file
        if unit.probed:
            headers = read_headers(buffer, payload, members.held, members.size)
            plain &= ~(_are_gzipped(buffer, payload) & (members.held >= len(GZIP_MAGIC)))
    for first, last in _runs(plain):
        run = slice(first, last)
        if not plain[first] or last - first < _MIN_RUN:
            for row in range(first, last):
                facts = headers.facts(row) if headers and is_file[row] else None
                add(members.member(row, buffer), head(row), more(row), facts=facts)
            continue
        odd = (~headers.plain[run]).nonzero()[0].tolist() if headers else []
        probed = {row: probe(head(first + row), int(members.size[first + row]), more(first + row)) for row in odd}
        columns = _name_columns(unit, names[run], lengths[run])
        columns |= {"offset": members.offset[run], "length": members.size[run]}
        if headers:
            columns |= _fact_columns(headers.rows(run), probed)
        rows.add_batch(rows.record_batch("images", last - first, columns), probed)


def _runs(plain: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Return (first, end) of each run of rows that all are plain, or all are not."""
    changes = (plain[1:] != plain[:-1]).nonzero()[0] + 1
    return itertools.pairwise([0, *changes.tolist(), len(plain)])


def _plain_names(names: Names, wnid: str | None) -> tuple[NDArray[np.bool_], Numbers]:
    """Return which names are plain, and the length of their stems in bytes.

    With a wnid, names of other classes are not plain.
    """
    lengths = (names == 0).argmax(axis=1) - len(_SUFFIX)  # below 0 for a name that is too long
    digits = (names - np.uint8(0x30) < 10) & (np.arange(_NAME_BYTES) < lengths[:, None])
    plain = (names[:, 0] == ord("n")) & (names[:, _WNID_BYTES] == ord("_")) & (lengths > _PREFIX_BYTES)
    plain &= digits[:, 1:_WNID_BYTES].all(axis=1)
    plain &= digits[:, _PREFIX_BYTES:].sum(axis=1) == lengths - _PREFIX_BYTES
    rows, place = np.arange(len(names)), np.maximum(lengths, 0)
    for n, letter in enumerate(_SUFFIX):
        plain &= names[rows, place + n] == letter
    if wnid is not None:
        plain &= (names[:, :_WNID_BYTES] == np.frombuffer(wnid.encode(), np.uint8)).all(axis=1)
    return plain, lengths


def _name_columns(unit: Unit, names: Names, lengths: Numbers) -> dict[str, object]:
    """Return the columns of images with plain names, whose stems have `lengths` bytes, without places and facts."""
    n = len(names)
    stems = np.where(np.arange(_NAME_BYTES) < lengths[:, None], names, 0)
    stem = _text_column(stems, lengths)
    return {
        "image_id": stem,
        "photo": stem,
        "wnid": _text_column(names[:, :_WNID_BYTES], np.full(n, _WNID_BYTES)),
        # The same rule as in ImageRows: ILSVRC names images by their class in the training set only.
        "split": unit.split or ("train" if unit.dataset.startswith("ilsvrc") else None),
        "file": unit.file,
        "n_boxes": 0,
        "hash32": _hashes(stems),
    }


def _text_column(letters: Names, lengths: Numbers) -> pa.StringArray:
    """Return a column of texts: the bytes of each row that are not 0, whose number is `lengths`."""
    import pyarrow as pa

    ends = np.zeros(len(letters) + 1, np.int32)
    lengths.cumsum(out=ends[1:])
    return pa.StringArray.from_buffers(len(letters), pa.py_buffer(ends), pa.py_buffer(letters[letters != 0].tobytes()))


def _hashes(stems: Names) -> NDArray[np.uint32]:
    """Return hash32 of each stem: the first four bytes of its SHA-256."""
    texts = stems.view(f"S{_NAME_BYTES}").ravel().tolist()
    digests = b"".join([digest.digest() for digest in map(hashlib.sha256, texts)])
    return np.frombuffer(digests, ">u4")[::8].astype(np.uint32)


def _fact_columns(headers: HeaderBatch, probed: Mapping[int, ImageFacts]) -> dict[str, object]:
    """Return the columns of ImageFacts: those of `headers`, with the rows in `probed` replaced."""
    import pyarrow as pa

    kinds = {field.name: field.type for field in arrow_schema("images")}
    if not probed:
        orientation = pa.array(headers.orientation, kinds["orientation"], mask=headers.orientation == NONE)
        modes = pa.array(_MODES[headers.layers], kinds["mode"])
        numbers = {"width": headers.width, "height": headers.height, "orientation": orientation}
        return {**numbers, "mode": modes, "encoding": "jpeg", "problem": None}
    n = len(headers.plain)
    # Numbers are floats, in which an assigned None becomes nan: pyarrow converts objects 40 times slower.
    columns: dict[str, NDArray[Any]] = {
        "width": headers.width.astype(np.float64),
        "height": headers.height.astype(np.float64),
        "mode": _MODES[headers.layers],
        "encoding": np.full(n, "jpeg", np.object_),
        "orientation": np.where(headers.orientation == NONE, np.nan, headers.orientation),
        "problem": np.full(n, None, np.object_),
    }
    for row, facts in probed.items():
        for name, column in columns.items():
            column[row] = getattr(facts, name)
    return {name: pa.array(column, kinds[name], from_pandas=True) for name, column in columns.items()}
