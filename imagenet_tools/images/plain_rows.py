"""The rows of images that are called n01440764_10026.JPEG and lie where such a name says all: columns made at once."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.containers.payload import GZIP_MAGIC
from imagenet_tools.images.jpeg import MODES
from imagenet_tools.images.jpeg_batch import NONE, facts_of
from imagenet_tools.images.probe import probe
from imagenet_tools.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from imagenet_tools.images.jpeg import ImageFacts
    from imagenet_tools.images.jpeg_batch import HeaderBatch
    from imagenet_tools.units import Unit

    Numbers = NDArray[np.int64]
    Bytes = NDArray[np.uint8]
    from collections.abc import Callable, Iterator

    from imagenet_tools.images.image_rows import ImageRows
    from imagenet_tools.storage.blob import ReadBuffer

    # (number of an image, offset, n): n bytes at an offset from the image's beginning.
    Read = Callable[[int, int, int], bytes]
    # Adds the nth of a batch by itself, whatever it is; with its facts, where they are known.
    Add = Callable[[int, ImageFacts | None], None]


# Bytes of a name that are looked at; a plain one is shorter.
NAME = 32
_SUFFIX = b".JPEG"
_BEHIND_WNID = 10  # n01440764_


def plain_names(names: Bytes, wnid: str | None) -> tuple[NDArray[np.bool_], Numbers]:
    """(which names are plain, how many bytes the stems of those have): n, eight digits, _, digits, .JPEG.

    `names` has a row of NAME bytes for each, 0 behind its end. With a wnid, a name must begin with it.
    """
    import numpy as np

    ends = names == 0
    length = ends.argmax(axis=1) - len(_SUFFIX)  # of the stem; below 0 where the name has no end here
    digits = (names - np.uint8(0x30) < 10) & (np.arange(NAME) < length[:, None])
    plain = (names[:, 0] == ord("n")) & (names[:, _BEHIND_WNID - 1] == ord("_")) & (length > _BEHIND_WNID)
    plain &= digits[:, 1 : _BEHIND_WNID - 1].all(axis=1)
    plain &= digits[:, _BEHIND_WNID:].sum(axis=1) == length - _BEHIND_WNID
    rows, place = np.arange(len(names)), np.maximum(length, 0)
    for n, letter in enumerate(_SUFFIX):
        plain &= names[rows, place + n] == letter
    if wnid is not None:
        plain &= (names[:, : _BEHIND_WNID - 1] == np.frombuffer(wnid.encode(), np.uint8)).all(axis=1)
    return plain, length


def plain_batch(
    unit: Unit,
    names: Bytes,
    lengths: Numbers,
    *,
    file: str | list[str],
    offset: Numbers | None,
    size: Numbers,
    told: HeaderBatch | None,
    beside: Mapping[int, ImageFacts],
) -> pa.RecordBatch:
    """The rows of images with plain names, whose stems have `lengths` bytes; `file` is one for all, or one each.

    `told` are their facts, None where they were not read; `beside` those of rows that it does not tell.
    """
    import numpy as np
    import pyarrow as pa

    n = len(names)
    stems = np.where(np.arange(NAME) < lengths[:, None], names, 0)
    stem = _texts(stems, lengths)
    known = "train" if unit.dataset.startswith("ilsvrc") else None  # as ImageRows says of such names
    columns: dict[str, object] = {
        "dataset": unit.dataset,
        "image_id": stem,
        "photo": stem,
        "wnid": _texts(names[:, : _BEHIND_WNID - 1], np.full(n, _BEHIND_WNID - 1)),
        "split": unit.split or known,
        "source": unit.source,
        "file": file,
        "offset": 0 if offset is None else offset,
        "length": size,
        "n_boxes": 0,
        "hash32": _hashes(stems.view(f"S{NAME}").ravel().tolist()),
        "unit": unit.key,
    } | (_facts(told, beside) if told else {})
    schema = arrow_schema("images")
    arrays = [_array(columns.get(field.name), field.type, n) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _texts(letters: Bytes, lengths: Numbers) -> pa.StringArray:
    """A column of texts, each the letters of a row that are not 0; `lengths` is how many those are."""
    import numpy as np
    import pyarrow as pa

    ends = np.zeros(len(letters) + 1, np.int32)
    lengths.cumsum(out=ends[1:])
    return pa.StringArray.from_buffers(len(letters), pa.py_buffer(ends), pa.py_buffer(letters[letters != 0].tobytes()))


def _array(value: object, kind: pa.DataType, n: int) -> pa.Array:
    """A column of values, or of one value n times."""
    import numpy as np
    import pyarrow as pa

    if value is None:
        return pa.nulls(n, kind)
    if isinstance(value, pa.Array):
        return value
    if isinstance(value, np.ndarray | list):
        return pa.array(value, kind)
    return pa.repeat(pa.scalar(value, kind), n)


def _hashes(stems: list[bytes]) -> NDArray[np.uint32]:
    """The hash32 of stems."""
    import numpy as np

    digests = b"".join([digest.digest() for digest in map(hashlib.sha256, stems)])
    return np.frombuffer(digests, ">u4")[::8].astype(np.uint32)


def _facts(told: HeaderBatch, beside: Mapping[int, ImageFacts]) -> dict[str, object]:
    """The columns of facts: most images are alike in most of them, and the facts of some rows are said beside."""
    import numpy as np
    import pyarrow as pa

    n = len(told.plain)
    numbers: dict[str, Numbers] = {name: getattr(told, name).copy() for name in ("width", "height", "orientation")}
    nulls = {name: np.zeros(n, np.bool_) for name in numbers} | {"orientation": told.orientation == NONE}
    modes = np.array([MODES.get(layers) for layers in range(5)], np.object_)
    texts = {"mode": modes[np.where(told.plain, told.layers, 0)]}
    if beside:
        texts |= {"encoding": np.full(n, "jpeg", np.object_), "problem": np.full(n, None, np.object_)}
    for row, facts in beside.items():
        for name, text in texts.items():
            text[row] = getattr(facts, name)
        for name, number in numbers.items():
            said = getattr(facts, name)
            nulls[name][row], number[row] = said is None, said or 0
    kinds = {"width": np.int32, "height": np.int32, "orientation": np.int16}
    columns = {name: pa.array(numbers[name].astype(kind), mask=nulls[name]) for name, kind in kinds.items()}
    return {"encoding": "jpeg"} | columns | texts


# ---- Images gathered a batch at a time: rows that are plain as columns, others one by one, in the order they lie in.


# Fewer plain rows than these, between two that are not, are no faster as columns.
RUN = 32


class ImageBatch(NamedTuple):
    """A batch: files, or members of a tar, a row each."""

    names: NDArray[np.uint8]  # the first NAME bytes of each name, 0 behind its end
    file: str | list[str]  # what lies in rows: one for all, or one each
    start: Numbers  # where in the buffer its bytes begin
    held: Numbers  # how many of its first bytes lie there
    offset: Numbers | None  # where in its file it begins, bytes; None where each is a file
    size: Numbers  # how many bytes it has
    known: NDArray[np.bool_]  # whether it is a file, and the rest is said of it


def add_images(rows: ImageRows, images: ImageBatch, buffer: ReadBuffer, *, read: Read, add: Add) -> None:
    """Add a batch to the rows: what is plain at once, and each of the others by `add`; `read` reads on in an image."""

    unit = rows.unit
    if len(images.size) < RUN:
        for n in range(len(images.size)):
            add(n, None)
        return
    told = facts_of(buffer, images.start, images.held, images.size) if unit.probed else None
    plain = images.known.copy()
    lengths = images.size
    if rows.takes_plain:
        named, lengths = plain_names(images.names, unit.wnid)
        plain &= named
    else:
        plain[:] = False
    if told:
        wrapped = buffer.words[images.start] >> 48 & 0xFFFF == int.from_bytes(GZIP_MAGIC, "big")
        plain &= ~(wrapped & (images.held >= len(GZIP_MAGIC)))
    for start, end in _runs(plain):
        if not plain[start] or end - start < RUN:
            for n in range(start, end):
                add(n, told.of(n) if told and images.known[n] else None)
            continue
        run = slice(start, end)
        beside = _beside(images, buffer, told, run, read) if told else {}
        batch = plain_batch(
            unit,
            images.names[run],
            lengths[run],
            file=images.file if isinstance(images.file, str) else images.file[run],
            offset=None if images.offset is None else images.offset[run],
            size=images.size[run],
            told=told.rows(run) if told else None,
            beside=beside,
        )
        rows.add_batch(batch, beside)


def _runs(plain: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """(first, end) of each run of rows that are plain, or are not."""
    import numpy as np

    bounds = [0, *(np.flatnonzero(plain[1:] != plain[:-1]) + 1).tolist(), len(plain)]
    return itertools.pairwise(bounds)


def _beside(images: ImageBatch, buffer: ReadBuffer, told: HeaderBatch, run: slice, read: Read) -> dict[int, ImageFacts]:
    """The facts of those images of a run that were not told with the others, by their place in the run."""
    import numpy as np

    found = {}
    for row in np.flatnonzero(~told.plain[run]).tolist():
        n = run.start + row
        start = int(images.start[n])
        head = buffer.raw[start : start + int(images.held[n])]

        def more(offset: int, size: int, n: int = n) -> bytes:
            return read(n, offset, size)

        found[row] = probe(bytes(head), int(images.size[n]), more, told.begun(n, buffer))
    return found
