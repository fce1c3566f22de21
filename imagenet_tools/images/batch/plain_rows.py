"""Make the rows of images with plain names as columns.

A plain name is n01440764_10026.JPEG in an archive where such a name states image id, photograph and class.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from imagenet_tools.images.batch.jpeg_batch import NONE
from imagenet_tools.images.image_rows import record_batch
from imagenet_tools.images.jpeg import MODES
from imagenet_tools.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from imagenet_tools.images.batch.jpeg_batch import HeaderBatch
    from imagenet_tools.images.jpeg import ImageFacts
    from imagenet_tools.units import Unit

    Numbers = NDArray[np.int64]
    Names = NDArray[np.uint8]

NAME_BYTES = 32  # longest name that is looked at, with the 0 behind it

_SUFFIX = b".JPEG"
_WNID_BYTES = 9
_PREFIX_BYTES = _WNID_BYTES + 1  # n01440764_


def plain_names(names: Names, wnid: str | None) -> tuple[NDArray[np.bool_], Numbers]:
    """Return which names are plain, and the length of their stems in bytes.

    `names` has a row of NAME_BYTES for each name, 0 behind its end. With a wnid, names of other classes are not plain.
    """
    import numpy as np

    lengths = (names == 0).argmax(axis=1) - len(_SUFFIX)  # below 0 for a name that is too long
    digits = (names - np.uint8(0x30) < 10) & (np.arange(NAME_BYTES) < lengths[:, None])
    plain = (names[:, 0] == ord("n")) & (names[:, _WNID_BYTES] == ord("_")) & (lengths > _PREFIX_BYTES)
    plain &= digits[:, 1:_WNID_BYTES].all(axis=1)
    plain &= digits[:, _PREFIX_BYTES:].sum(axis=1) == lengths - _PREFIX_BYTES
    rows, place = np.arange(len(names)), np.maximum(lengths, 0)
    for n, letter in enumerate(_SUFFIX):
        plain &= names[rows, place + n] == letter
    if wnid is not None:
        plain &= (names[:, :_WNID_BYTES] == np.frombuffer(wnid.encode(), np.uint8)).all(axis=1)
    return plain, lengths


def plain_batch(
    unit: Unit,
    names: Names,
    lengths: Numbers,
    *,
    offset: Numbers,
    size: Numbers,
    headers: HeaderBatch | None,
    probed: Mapping[int, ImageFacts],
) -> pa.RecordBatch:
    """Return rows of the table images for members of a unit with plain names, whose stems have `lengths` bytes.

    Args:
        unit: The unit of the images.
        names: As in `plain_names`.
        lengths: As from `plain_names`.
        offset: File positions.
        size: Bytes of each image.
        headers: Facts of the images; None if they are not read.
        probed: Facts of the rows that are not plain in `headers`.
    """
    import numpy as np

    n = len(names)
    stems = np.where(np.arange(NAME_BYTES) < lengths[:, None], names, 0)
    stem = _text_column(stems, lengths)
    columns: dict[str, object] = {
        "dataset": unit.dataset,
        "image_id": stem,
        "photo": stem,
        "wnid": _text_column(names[:, :_WNID_BYTES], np.full(n, _WNID_BYTES)),
        # The same rule as in ImageRows: ILSVRC names images by their class in the training set only.
        "split": unit.split or ("train" if unit.dataset.startswith("ilsvrc") else None),
        "source": unit.source,
        "file": unit.file,
        "offset": offset,
        "length": size,
        "n_boxes": 0,
        "hash32": _hashes(stems),
        "unit": unit.key,
    }
    if headers is not None:
        columns |= _fact_columns(headers, probed)
    return record_batch("images", n, columns)


def _text_column(letters: Names, lengths: Numbers) -> pa.StringArray:
    """Return a column of texts: the bytes of each row that are not 0, whose number is `lengths`."""
    import numpy as np
    import pyarrow as pa

    ends = np.zeros(len(letters) + 1, np.int32)
    lengths.cumsum(out=ends[1:])
    return pa.StringArray.from_buffers(len(letters), pa.py_buffer(ends), pa.py_buffer(letters[letters != 0].tobytes()))


def _hashes(stems: Names) -> NDArray[np.uint32]:
    """Return hash32 of each stem: the first four bytes of its SHA-256."""
    import numpy as np

    texts = stems.view(f"S{NAME_BYTES}").ravel().tolist()
    digests = b"".join([digest.digest() for digest in map(hashlib.sha256, texts)])
    return np.frombuffer(digests, ">u4")[::8].astype(np.uint32)


def _fact_columns(headers: HeaderBatch, probed: Mapping[int, ImageFacts]) -> dict[str, object]:
    """Return the columns of ImageFacts: those of `headers`, with the rows in `probed` replaced."""
    import numpy as np
    import pyarrow as pa

    n = len(headers.plain)
    modes = np.array([MODES.get(layers) for layers in range(5)], np.object_)
    texts = {
        "mode": modes[np.where(headers.plain, headers.layers, 0)],
        "encoding": np.full(n, "jpeg", np.object_),
        "problem": np.full(n, None, np.object_),
    }
    numbers = {"width": headers.width, "height": headers.height, "orientation": headers.orientation}
    numbers = {name: number.astype(np.int32) for name, number in numbers.items()}
    nulls = {name: np.zeros(n, np.bool_) for name in numbers} | {"orientation": headers.orientation == NONE}
    for row, facts in probed.items():
        for name, text in texts.items():
            text[row] = getattr(facts, name)
        for name, number in numbers.items():
            value = getattr(facts, name)
            nulls[name][row], number[row] = value is None, value or 0
    kinds = {field.name: field.type for field in arrow_schema("images")}
    return {
        **{name: pa.array(number, kinds[name], mask=nulls[name]) for name, number in numbers.items()},
        **{name: pa.array(text, kinds[name]) for name, text in texts.items()},
    }
