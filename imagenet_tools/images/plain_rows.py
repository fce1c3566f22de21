"""The rows of images that are called n01440764_10026.JPEG and lie where such a name says all: columns made at once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from imagenet_tools.images.jpeg import MODES
from imagenet_tools.images.jpeg_batch import NONE
from imagenet_tools.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from imagenet_tools.images.jpeg import Facts
    from imagenet_tools.images.jpeg_batch import Told
    from imagenet_tools.units import Unit

    Numbers = NDArray[np.int64]
    Bytes = NDArray[np.uint8]

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
    told: Told | None,
    beside: Mapping[int, Facts],
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


def _facts(told: Told, beside: Mapping[int, Facts]) -> dict[str, object]:
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
